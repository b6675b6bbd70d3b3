"""Hostile requests of every family against a real server: a small part of what the script can do."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_server_stands_an_attack(bundle: Path) -> None:
    command = [sys.executable, "scripts/attack_server.py", "--bundle", str(bundle)]
    few = ["--requests", "280", "--slow-seconds", "7", "--at-once", "100"]
    done = subprocess.run([*command, *few], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^7[0-9]+ hostile requests", done.stdout), done.stdout
    assert "WRONG" not in done.stdout
