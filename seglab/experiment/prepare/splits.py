"""What splits a run's data has, from the snapshot in its record."""

from __future__ import annotations

from pathlib import Path

from seglab.data.manifest import Manifest


def has_split(run_dir: Path, split: str) -> bool:
    """Whether the data a run was trained on has images in a split.

    Args:
        run_dir: Folder of the run's record.
        split: train, val or test.
    """
    return bool(Manifest.read(run_dir / "manifest").splits()[split])
