"""Starts the drill application as a person would, and reads what its trials noted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path

from seglab.config.language.grammar import literal_word
from seglab.config.language.locate import conf_dir

DRILL = Path(__file__).with_name("drill.py")


def command(folder: Path, *words: str) -> list[str]:
    return [sys.executable, str(DRILL), "-m", literal_word("log", folder / "log"), *words]


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "SEGLAB_CONF": str(conf_dir()),
        "DRILL_DIR": str(folder),
        "OMP_NUM_THREADS": "1",
    }


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(folder, *words),
        env=environment(folder),
        capture_output=True,
        text=True,
        check=False,
        timeout=400,
    )


def noted(folder: Path, what: str) -> Counter[int]:
    """Return how often the trial of each x noted something."""
    lines = (folder / "log").read_text().splitlines() if (folder / "log").is_file() else []
    return Counter(int(line.split()[1]) for line in lines if line.startswith(what))
