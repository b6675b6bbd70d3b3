"""What pages of the reference that are written by hand say, as data, for tests to hold against the code."""

from __future__ import annotations

import re
from pathlib import Path

DOCS = Path(__file__).resolve().parents[1] / "docs"
REFERENCE = DOCS / "reference"
# Of every kind, or of the command line and trackers alone.
_MAY_LACK = {".hydra", "wandb", "confusion_test.npy", "predictions", "gallery"}
_MAY_LACK |= {
    "objective.md",
    "train.log",
    "traceback.txt",
    "bad_batch.json",
    "leak_report",
    "bundle",
}


def rows(page: Path, heading: str) -> list[list[str]]:
    """Return the cells of the first table below a heading, without the table's own head."""
    section = page.read_text(encoding="utf-8").split(f"\n## {heading}")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[1:]]


def words(cell: str) -> list[str]:
    """Return what stands in backticks."""
    return re.findall(r"`([^`]+)`", cell)


def check_files(run_dir: Path, kind: str) -> None:
    """Assert that a run left what the page says of its kind, and nothing else."""
    told = {
        name.partition("/")[0]
        for cell, _, kinds in rows(REFERENCE / "run-folder.md", "Files")
        for name in words(cell)
        if kinds in ("all", "with W&B") or kind in kinds.split(", ")
    }
    there = {path.name for path in run_dir.iterdir() if not path.name.endswith("lock")}
    assert there <= told, f"docs/reference/run-folder.md lacks {sorted(there - told)}"
    assert told - there <= _MAY_LACK, f"not written: {sorted(told - there)}"
