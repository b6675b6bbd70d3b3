"""What a trial says: a stand-in for its study, and what W&B wrote down of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any


class Channel:
    """Writes down what a trial says; gives it up at a step."""

    study, number = "lr-0a1b2c", 7

    def __init__(self, stop_at: int | None = None) -> None:
        self.stop_at = stop_at
        self.reports: list[tuple[int, float]] = []
        self.facts: list[dict[str, Any]] = []

    def report(self, value: float, step: int) -> bool:
        self.reports.append((step, value))
        return step == self.stop_at

    def progress(self, **facts: Any) -> None:
        self.facts.append(facts)


def tracked(run_dir: Path) -> str:
    """Return the offline W&B run of a training as JSON lines."""
    files = list((run_dir / "wandb").glob("offline-run-*/run-*.wandb"))
    assert len(files) == 1
    wandb = Path(sys.executable).parent / "wandb"
    return subprocess.run(
        [str(wandb), "leet", "inspect", "--json", str(files[0])],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
