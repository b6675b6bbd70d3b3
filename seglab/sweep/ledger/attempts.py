"""The starts of a trial: which worker ran it, from when to when, and what ended it.

A trial whose process died may be the cause itself, so it is started again a limited number of times.
A trial whose controller was killed or stopped is started again without a limit, unless controllers
vanish again and again while they run it: then the trial is what takes them down, and is given up.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence
from typing import Any

from seglab.core.trial import TrialEnd

Attempt = dict[str, Any]
# A trial during which more controllers than this vanished in a row, without it getting any
# further, is given up: it takes them down.
MOST_FRUITLESS = 5


def begun(attempts: Sequence[Attempt], worker: str, controller: str, steps: int) -> list[Attempt]:
    """Return the attempts with one more that starts now.

    Args:
        attempts: So far.
        worker: Name of the slot.
        controller: Its id.
        steps: How many scores the trial has reported before.
    """
    attempt = {
        "worker": worker,
        "host": socket.gethostname(),
        "controller": controller,
        "started": time.time(),
        "ended": None,
        "ending": None,
        "steps": steps,
        "error": None,
    }
    return [*attempts, attempt]


def ended(
    attempts: Sequence[Attempt],
    ending: TrialEnd,
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


def fault(attempts: Sequence[Attempt], steps: int, retries: int) -> str | None:
    """Return why a trial is not to be started again; None where it may be.

    Args:
        attempts: So far, all ended.
        steps: How many scores the trial has reported by now.
        retries: How often it may be started again after its process died.
    """
    deaths = [attempt["error"] for attempt in attempts if attempt["ending"] == TrialEnd.DIED]
    if len(deaths) > retries:
        often = f" {len(deaths)} times" if len(deaths) > 1 else ""
        return f"its process died{often}: {deaths[-1]}"
    lost = _fruitless(attempts, steps)
    if lost > MOST_FRUITLESS:
        return f"{lost} controllers in a row vanished while they ran it, and it got no further"
    return None


def _fruitless(attempts: Sequence[Attempt], steps: int) -> int:
    """Return how many controllers in a row vanished without the trial getting any further.

    Where controllers are killed every hour by a cluster, a long trial may see many come and go; as
    long as it gets on, that is not its fault.
    """
    count = 0
    for attempt in reversed(attempts):
        if attempt["ending"] != TrialEnd.ABANDONED or attempt["steps"] < steps:
            break
        count += 1
    return count
