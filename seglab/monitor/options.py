"""What the log of requests may be told."""

from __future__ import annotations

import datetime
from typing import Annotated, Literal

from annotated_types import Interval
from pydantic import AfterValidator

from seglab.core.options import Name, Options, Positive, PositiveFloat, broken_rule

Privacy = Literal["statistics", "thumbnails", "images"]
Share = Annotated[float, Interval(gt=0, le=1)]


def _a_moment(text: str) -> str:
    try:
        datetime.datetime.fromisoformat(text)
    except ValueError:
        raise broken_rule(
            "expected a time such as 2026-11-27 or 2026-11-27T09:30, in UTC where no zone is told, got "
            f"{text!r}"
        ) from None
    return text


Moment = Annotated[Name, AfterValidator(_a_moment)]
"""A time of the log, as people write it."""


class LogOptions(Options):
    """A row for each image that was asked about: what it looked like, and what was answered."""

    folder: Name
    """Folder of the log; made where it is not there. Several workers and servers may share one."""
    sample: Share = 1.0
    """Share of the requests that are logged, drawn at random."""
    privacy: Privacy = "statistics"
    """What is kept of an image: statistics alone; a thumbnail too; the image itself."""
    names: bool = True
    """Whether the callers' file names are kept."""
    thumbnail: Positive = 160
    """Longer side of a thumbnail, pixels."""
    flush_seconds: PositiveFloat = 10.0
    """Seconds after which a row is in a file; what a killed process loses at most."""
    max_bytes: Positive = 2**30
    """Bytes of the folder at most; beyond them the oldest rows and images are removed."""
    memory: Positive = 64
    """MiB of images that may wait to be measured; further ones are not logged, and counted as lost."""
