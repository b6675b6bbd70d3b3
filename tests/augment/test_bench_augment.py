from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_bench_explains_itself_and_measures() -> None:
    command = [sys.executable, "-m", "scripts.bench_augment"]
    done = subprocess.run(
        [*command, "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "milliseconds an image" in done.stdout
    small = ["--image", "60", "80", "--crop", "32", "48", "--presets", "light", "--repeats", "8"]
    done = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, check=True)
    assert "60x80 -> 32x48" in done.stdout
    row = next(line.split() for line in done.stdout.splitlines() if line.startswith("light"))
    assert all(float(value) > 0 for value in row[1:])
