"""One thing the doctor found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Status = Literal["ok", "note", "bad"]


@dataclass(frozen=True)
class Finding:
    """A fact about the machine or what is installed.

    Attributes:
        area: `packages`, `devices`, `places`, `tracking` or `gpu`.
        name: What was looked at.
        status: `ok`; `note` where something could be better; `bad` where work will fail.
        text: What was found.
        advice: What to do about it; empty when it is fine.
    """

    area: str
    name: str
    status: Status
    text: str
    advice: str = ""


def gibibytes(count: float) -> str:
    """Return a number of bytes in GiB."""
    return f"{count / 2**30:.1f} GiB"
