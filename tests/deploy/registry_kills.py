"""Kills real processes that change a registry, and says what they left; a program of its own.

python registry_kills.py calls FOLDER WORK      before and after every call that changes the disk
python registry_kills.py times FOLDER ROUNDS    at any moment, while one promotes all the time
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seglab.deploy.registry.registry import Registry

Work = Callable[[Registry], Any]
_CHANGES = frozenset("write flush fsync replace rename mkdir rmdir unlink chmod flock".split())
_DONE = 7


def works(bundles: Path) -> dict[str, Work]:
    """Return what can be killed, by name."""
    return {
        "promote": lambda registry: registry.promote("challenger"),
        "rollback": lambda registry: registry.rollback(),
        "add": lambda registry: registry.add(bundles / "new"),
    }


def kill_at_every_call(folder: Path, work: Work, step: int) -> int:
    """Kill a work on copies of the registry, at one call after the other until it ends before.

    Args:
        folder: Holds the registry.
        work: What is killed.
        step: 1: at every call; 4: at every fourth.
    """
    number = 0
    while True:
        copy = folder / "copy"
        shutil.copytree(folder / "registry", copy)
        before = Registry(copy).aliases
        ended = _killed(copy, work, number)
        changed = require_sound(copy, work, before)
        shutil.rmtree(copy)
        if ended:
            assert changed, "it ended, and nothing changed"
            return number
        number += step


def _killed(copy: Path, work: Work, number: int) -> bool:
    """Return whether the work ended before its call of this number."""
    child = os.fork()
    if not child:
        count = 0

        def count_calls(frame: Any, event: str, function: Any) -> None:
            nonlocal count
            if event in ("c_call", "c_return") and function.__name__ in _CHANGES:
                count += 1
                if count > number:
                    os.kill(os.getpid(), signal.SIGKILL)

        sys.setprofile(count_calls)
        work(Registry(copy))
        sys.setprofile(None)
        os._exit(_DONE)
    status = os.waitpid(child, 0)[1]
    assert os.waitstatus_to_exitcode(status) in (_DONE, -signal.SIGKILL)
    return os.waitstatus_to_exitcode(status) == _DONE


def require_sound(copy: Path, work: Work, before: dict[str, str | None]) -> bool:
    """Require the state before or after, a log that agrees, and that the work can go on."""
    registry = Registry(copy)
    found = registry.aliases
    entry = registry.champion_at(datetime.now(UTC))
    assert (entry.champion if entry else None) == found["champion"], "the log says otherwise"
    assert found["champion"] is not None, "no champion"
    registry.place("champion")
    assert not registry.problems(), registry.problems()
    changed = found != before
    if not changed:
        work(registry)
        assert registry.aliases != before, "it could not be done again"
    registry.note("refused", found["champion"], "another change", {})
    numbers = [one.number for one in registry.entries()]
    assert numbers == [*range(1, len(numbers) + 1)], numbers
    assert not registry.problems(), registry.problems()
    assert not [one for one in (copy / "bundles").iterdir() if one.name.startswith(".")]
    return changed


def kill_any_time(folder: Path, rounds: int) -> int:
    """Kill one that promotes two bundles by turns; return how many promotions came through."""
    registry = Registry(folder / "registry")
    names = [str(registry.aliases[alias]) for alias in ("champion", "previous")]
    drawn = random.Random(0)
    for _ in range(rounds):
        child = os.fork()
        if not child:
            while True:
                registry.promote(names[registry.aliases["champion"] == names[0]])
        time.sleep(drawn.uniform(0.0, 0.4))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        found, entry = registry.aliases["champion"], registry.champion_at(datetime.now(UTC))
        assert entry is not None
        assert entry.champion == found, "the log says otherwise"
        assert found in names, "neither"
    registry.note("refused", names[0], "the last change", {})
    assert not registry.problems(), registry.problems()
    return len(registry.entries())


if __name__ == "__main__":
    what, place, given = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    import onnxruntime  # noqa: F401 - once, rather than in every child

    if what == "calls":
        sys.stdout.write(
            f"{kill_at_every_call(place, works(place)[given], 4 if given == 'add' else 1)}\n"
        )
    else:
        sys.stdout.write(f"{kill_any_time(place, int(given))}\n")
