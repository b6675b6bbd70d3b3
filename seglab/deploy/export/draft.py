"""A bundle that grows: opened, scored and asked for what its networks get, before it is sealed."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seglab.bundle.loader import Bundle
from seglab.data.loading.decoding import SourceFiles
from seglab.deploy.export.scoring import Reference, Rescored, rescore
from seglab.deploy.export.trained import TrainedRun
from seglab.deploy.options import ExportOptions

FP32, INT8 = "fp32", "int8"


@dataclass
class Draft:
    """An export under way.

    Attributes:
        options: What was asked for.
        run: What is exported.
        folder: Where the bundle grows.
        info: Content of `bundle.json` so far.
    """

    options: ExportOptions
    run: TrainedRun
    folder: Path
    info: dict[str, Any]

    def open(self, variant: str = FP32, kind: type[Bundle] = Bundle) -> Bundle:
        """Open a variant of what there is so far."""
        names = self.info["variants"][variant]
        files = {name: (self.folder / name).read_bytes() for name in names}
        return kind({"bundle.json": json.dumps(self.info).encode(), **files}, variant, None)

    def score(self, variant: str, reference: Reference, tell: Callable[[str], None]) -> Rescored:
        """Hold a variant against the run, and note what came of it."""
        found = rescore(self.run, self.open(variant), reference, tell)
        size = sum((self.folder / name).stat().st_size for name in self.info["variants"][variant])
        noted = {**found.to_dict(), "megabytes": round(size / 1e6, 2)}
        self.info["export"]["variants"][variant] = noted
        return found

    def network_inputs(self, sources: Sequence[SourceFiles]) -> list[tuple[int, np.ndarray]]:
        """Return what the networks get of images, padded and in windows as in service.

        Returns:
            Number of the network, and raw values float32 `(1, C, H, W)`.
        """
        bundle = self.open(kind=_Recording)
        assert isinstance(bundle, _Recording)  # noqa: S101 - it was asked for
        for source in sources:
            bundle.predict(bundle.decode(source.image.read_bytes()))
        return bundle.seen


class _Recording(Bundle):
    """Keeps what goes into the networks."""

    def __init__(self, files: dict[str, bytes], variant: str | None, threads: int | None) -> None:
        super().__init__(files, variant, threads)
        self.seen: list[tuple[int, np.ndarray]] = []

    def run(self, batch: np.ndarray, net: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """As of `Bundle`."""
        self.seen.append((net, batch))
        return super().run(batch, net)
