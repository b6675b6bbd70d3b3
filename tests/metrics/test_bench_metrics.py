"""The benchmark runs, and all its competitors agree on the score."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_help() -> None:
    command = [sys.executable, "-m", "scripts.bench_metrics", "--help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "what scoring an image costs" in done.stdout


@pytest.mark.slow
def test_competitors_agree_where_every_class_occurs() -> None:
    command = [
        sys.executable,
        "-m",
        "scripts.bench_metrics",
        "--classes",
        "3",
        "--size",
        "64",
        "64",
        "--batch-size",
        "2",
        "--turns",
        "1",
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    counting = done.stdout.partition("counting")[2].partition("argmax, ms")[0].splitlines()[1:]
    assert len(counting) == 6
    assert len({line.split()[-1] for line in counting}) == 1
