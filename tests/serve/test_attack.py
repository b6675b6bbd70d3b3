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
    few = ["--requests", "210", "--slow-seconds", "6", "--at-once", "60"]
    done = subprocess.run([*command, *few], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    tried = re.search(r"^(\d+) hostile requests", done.stdout)
    assert tried is not None, done.stdout
    assert int(tried[1]) == 210 + 60 + 60 + 210, done.stdout
    assert "WRONG" not in done.stdout
