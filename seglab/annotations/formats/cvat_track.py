"""Tracks of CVAT for video 1.1: what is seen of them in a frame.

References:
    CVAT, XML format: https://docs.cvat.ai/docs/manual/advanced/xml_format/
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from seglab.annotations.reading import Record
from seglab.core.errors import DataError

_MOVED = {"box": ("xtl", "ytl", "xbr", "ybr"), "ellipse": ("cx", "cy", "rx", "ry")}
_OUTLINED = ("polygon", "polyline", "points")


class _Step(Record):
    frame: int
    outside: bool = False


@dataclass(frozen=True)
class Track:
    """An object over the frames of a video.

    Attributes:
        label: Class name as written.
        frames: Those that are listed, ascending.
        steps: Tag, attributes and whether it is hidden, by listed frame.
    """

    label: str
    frames: Sequence[int]
    steps: Sequence[tuple[str, Mapping[str, str], bool]]

    @property
    def last(self) -> int:
        """The last frame that is listed."""
        return self.frames[-1] if self.frames else 0

    @classmethod
    def of_element(cls, element: Any, file: str) -> Track:
        """Read a `track` element.

        Raises:
            DataError: A frame is no number, or listed twice.
        """
        name = f"{file}: track {element.get('id', '')!r}"
        listed = {}
        for one in element:
            step = _Step.of(one.attrib, f"{name}: {one.tag}")
            if step.frame in listed:
                raise DataError(f"{name}: frame {step.frame} is listed twice")
            listed[step.frame] = (one.tag, dict(one.attrib), step.outside)
        frames = sorted(listed)
        return cls(element.get("label", ""), frames, [listed[frame] for frame in frames])

    def at(self, frame: int) -> tuple[str, dict[str, str]] | None:
        """Return tag and attributes in a frame; None where it is hidden or not yet there.

        Raises:
            DataError: The frame lies between two that cannot be joined by straight lines.
        """
        place = bisect.bisect_right(self.frames, frame) - 1
        if place < 0 or self.steps[place][2]:
            return None
        tag, content, _ = self.steps[place]
        start = self.frames[place]
        found = {**content, "label": self.label}
        if start == frame or place + 1 == len(self.frames) or self.steps[place + 1][2]:
            return tag, found
        following, target, _ = self.steps[place + 1]
        if following != tag:
            raise DataError(f"a {tag} becomes a {following}; list every frame between")
        share = (frame - start) / (self.frames[place + 1] - start)
        return tag, {**found, **_moved(tag, content, target, share)}


def _moved(
    tag: str, content: Mapping[str, str], target: Mapping[str, str], share: float
) -> dict[str, str]:
    if tag in _OUTLINED:
        start, end = vertices(content.get("points", "")), vertices(target.get("points", ""))
        if start.shape != end.shape:
            raise DataError(
                f"a {tag} of {len(start)} vertices becomes one of {len(end)}; list every frame between"
            )
        between = start + share * (end - start)
        return {"points": ";".join(f"{x:.10g},{y:.10g}" for x, y in between.tolist())}
    moved = {
        key: repr(float(content[key]) + share * (float(target[key]) - float(content[key])))
        for key in _MOVED.get(tag, ())
    }
    if tag in _MOVED:
        first, last = float(content.get("rotation", 0)), float(target.get("rotation", 0))
        # The shorter way round.
        moved["rotation"] = repr(first + share * ((last - first + 180) % 360 - 180))
    return moved


def vertices(text: str) -> np.ndarray:
    """Return what is written as `x,y;x,y`, float `(N, 2)`.

    Raises:
        DataError: It is not of this form.
    """
    try:
        array = np.array([pair.split(",") for pair in text.split(";")], dtype=np.float64)
    except (ValueError, OverflowError) as error:
        raise DataError("expected points as x,y;x,y") from error
    if array.ndim != 2 or array.shape[1] != 2:
        raise DataError("expected points as x,y;x,y")
    return array


def frame_shapes(tracks: Sequence[Track], frame: int) -> list[tuple[str, Mapping[str, str]]]:
    """Return tag and attributes of what is seen in a frame, in the order of the tracks."""
    seen = [track.at(frame) for track in tracks]
    return [one for one in seen if one is not None]
