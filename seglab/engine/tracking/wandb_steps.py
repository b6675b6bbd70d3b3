"""A local copy of the numbers logged between epochs, so that a later segment can show them again.

The record keeps one row per epoch. W&B also shows points within epochs; those are kept here, one
JSON list a line, because W&B cannot take them over from an earlier offline segment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from seglab.core.disk.files import write_text


class StepLog:
    """Lines of `[step, {key: number}]`.

    Args:
        path: The file; made at the first row.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._stream: TextIO | None = None

    def append(self, step: int, row: Mapping[str, float]) -> None:
        """Add one row; it is with the operating system when this returns."""
        if self._stream is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = self.path.open("a", encoding="utf-8", buffering=1)
        self._stream.write(json.dumps([step, dict(row)]) + "\n")

    def truncate(self, last_step: int | None) -> list[tuple[int, dict[str, float]]]:
        """Drop rows after `last_step` (None: none) and a torn last line; return those kept."""
        self.close()
        if not self.path.is_file():
            return []
        kept = []
        for line in self.path.read_text(encoding="utf-8", errors="replace").splitlines():
            try:
                step, row = json.loads(line)
            except ValueError:
                continue
            if last_step is None or step <= last_step:
                kept.append((step, row))
        write_text(self.path, "".join(f"{json.dumps(row)}\n" for row in kept))
        return kept

    def close(self) -> None:
        """Close the file; a later row opens it again."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None
