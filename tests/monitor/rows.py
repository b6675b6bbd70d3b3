"""Rows of a log as a camera's images would leave them, and a bundle that knows such images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from seglab.bundle.sealing import seal
from seglab.monitor.log.parts import Parts
from seglab.monitor.log.schema import table_of
from tests.bundle.tiny import CLASSES, write_tiny_bundle

PIXELS = 10_000.0


def camera(count: int, seed: int = 0, **changes: Any) -> list[dict[str, Any]]:
    """Return the statistics of images; `changes` replace some of them, or are called with the row.

    The network is right where it says so: with probability `confidence` whatever the class.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for _ in range(count):
        shares = rng.dirichlet([40, 50, 10])
        confidence = rng.uniform(0.93, 0.97)
        spread = (1 - confidence) / 2
        given = np.full((3, 3), spread) + (confidence - spread) * np.eye(3)
        row: dict[str, Any] = {
            "size": np.array([100, 100]),
            "channel_mean": rng.normal(110, 6, 3),
            "channel_std": rng.normal(50, 3, 3),
            "sharpness": rng.normal(0.2, 0.01),
            "confidence": confidence,
            "entropy": 0.2,
            "class_shares": shares,
            "predicted_mean": shares,
            "confusion": given * shares * PIXELS,
            "features": rng.standard_normal(4),
        }
        for name, change in changes.items():
            row[name] = change(row) if callable(change) else change
        rows.append(row)
    return rows


def write_rows(
    folder: Path, rows: list[dict[str, Any]], start: float, bundle: str = "b", **told: Any
) -> pa.Table:
    """Log rows, one a second from `start` on; `told` are further columns, the same for all."""
    written = [
        {"time": start + n, "request_id": f"{start:.0f}-{n}", "image": 0, "bundle": bundle}
        | {"variant": "fp32", "status": "ok", "latency": 0.1, "stream": "cam", **row, **told}
        for n, row in enumerate(rows)
    ]
    table = table_of(written)
    Parts(folder, f"test{start:.0f}").write(table)
    return table


def reference_arrays(count: int = 240) -> dict[str, np.ndarray]:
    """Return what `reference.npz` holds of such images, with labels that agree."""
    rows = camera(count, seed=99)
    found = {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}
    return {
        **found,
        "true_confusion": found["confusion"],
        "streams": np.repeat(["a", "b"], count // 2),
    }


def known_bundle(folder: Path, count: int = 240) -> tuple[Path, str]:
    """Write a bundle with such a reference; return it and its id."""
    write_tiny_bundle(folder, golden=False)
    np.savez_compressed(folder / "reference.npz", allow_pickle=False, **reference_arrays(count))
    info = json.loads((folder / "bundle.json").read_text())
    del info["files"]
    seal(folder, info)
    from seglab.bundle.loader import load

    return folder, load(folder).id


assert len(CLASSES) == 3
