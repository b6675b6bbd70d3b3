"""The starts of a trial: which worker ran it, from when to when, and what ended it.

A trial whose process died may be at fault itself and is started again a limited number of times. A
trial whose controller was killed, or stopped, is not; but one that takes its controller down each
time would do so for ever, and is given up, too.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any, Literal

Attempt = dict[str, Any]
# died: its process, seen by its controller. released: the controller stopped. abandoned: the
# controller vanished. interrupted: never written.
Ending = Literal[
    "finished", "pruned", "failed", "interrupted", "died", "released", "abandoned"
]  # fmt: skip


def begun(attempts: Sequence[Attempt], worker: str, controller: str, steps: int) -> list[Attempt]:
    """Return the attempts with one more that starts now.

    Args:
        attempts: So far.
        worker: Name of the slot.
        controller: Its id.
        steps: How many scores the trial has reported before.
    """
    attempt = {
        "worker": worker, "host": socket.gethostname(), "controller": controller,
        "started": time.time(), "ended": None, "ending": None, "steps": steps, "error": None,
    }  # fmt: skip
    return [*attempts, attempt]


def ended(
    attempts: Sequence[Attempt],
    ending: Ending,
    when: float | None = None,
    error: str | None = None,
) -> list[Attempt]:
    """Return the attempts with the last one ended, if it was not yet.

    Args:
        attempts: So far.
        ending: What ended it.
        when: In unix seconds; None: now. Never before its start.
        error: What was seen of a death, in one line.
    """
    if not attempts or attempts[-1]["ended"] is not None:
        return list(attempts)
    last = attempts[-1]
    end = max(last["started"], time.time() if when is None else when)
    return [*attempts[:-1], {**last, "ended": end, "ending": ending, "error": error}]


def deaths(attempts: Sequence[Attempt]) -> list[str]:
    """Return what was seen of each death of the trial's process under a controller that lived."""
    return [str(attempt["error"]) for attempt in attempts if attempt["ending"] == "died"]


def fruitless(attempts: Sequence[Attempt], steps: int) -> int:
    """Return how many controllers in a row vanished without the trial getting any further.

    Where controllers are killed every hour by a cluster, a long trial may see many come and go; as
    long as it gets on, that is not its fault.

    Args:
        attempts: So far.
        steps: How many scores the trial has reported by now.
    """
    count = 0
    for attempt in reversed(attempts):
        if attempt["ending"] != "abandoned" or attempt["steps"] < steps:
            break
        count += 1
    return count
