"""One figure: the true quality of every answer over time, and what the loop did when."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt

SHOWN = {
    "night falls": "night falls",
    "alerts": "drift alert",
    "labels are back": "labels are back",
    "retrained: worse": "worse challenger kept out",
    "retrained: poisoned": "poisoned labels kept out",
    "retrained: better": "promoted",
}


def draw_timeline(results: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw a panel for each seed.

    Args:
        results: What `Loop.run` returned.
        path: PNG to write.
    """
    size = (10, 2.6 * len(results) + 0.4)
    figure, axes = plt.subplots(len(results), 1, figsize=size, squeeze=False, layout="constrained")
    for axis, result in zip(axes[:, 0], results, strict=True):
        course = result["miou"]
        axis.plot(range(1, len(course) + 1), course, color="#1f77b4", lw=1.5)
        axis.set_ylim(0, 1)
        axis.set_ylabel(f"mIoU, seed {result['seed']}")
        for frames, words in _marks(result):
            axis.axvline(frames, color="0.4", lw=0.8, ls="--")
            text = "\n".join(words)
            place = {"xytext": (4, -3), "textcoords": "offset points", "va": "top"}
            axis.annotate(text, (frames, 1.0), fontsize=8, color="0.2", **place)
        axis.axvspan(_night(result), len(course), color="#1b2a49", alpha=0.08, lw=0)
    axes[-1, 0].set_xlabel("frames answered (true mIoU of the last 16)")
    figure.savefig(path, dpi=110)
    plt.close(figure)


def _night(result: dict[str, Any]) -> int:
    return next(one["frames"] for one in result["events"] if one["what"] == "night falls")


def _marks(result: dict[str, Any]) -> list[tuple[int, list[str]]]:
    """Return what happened after how many frames; what happened at once stands together."""
    marks: dict[int, list[str]] = {}
    for event in result["events"]:
        what = SHOWN.get(event["what"])
        if what is None or (event["what"] == "alerts" and "drift" not in event["kinds"]):
            continue
        if event["what"].startswith("retrained") and (event["exit_code"] == 0) != (
            what == "promoted"
        ):
            what = f"{event['what'].partition(': ')[2]}: not as it should be"
        marks.setdefault(event["frames"], []).append(what)
    return sorted(marks.items())
