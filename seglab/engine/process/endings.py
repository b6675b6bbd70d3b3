"""Describes how a trial's process ended: from the exception that its work raised, or its exit code."""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

from seglab.core.trial import FailureReason, TrialEnd, TrialPrunedError
from seglab.engine.process.events import Ending

_LONGEST_LINE = 1000
_LOG_TAIL_BYTES = 8000


def ending_of(error: BaseException, where: str = "") -> Ending:
    """Return the ending of a trial whose work raised, or what comes after it, which is told first."""
    error = _meant(error)
    if isinstance(error, TrialPrunedError):
        return Ending(TrialEnd.PRUNED, error=_line(str(error)))
    return Ending(
        TrialEnd.FAILED,
        reason=reason_of(error),
        error=_line(where + _text(error)),
        traceback="".join(traceback.format_exception(error)),
    )


def reason_of(error: BaseException) -> FailureReason:
    """Return why work that raised has failed."""
    if isinstance(error, _interruptions()):
        return FailureReason.INTERRUPTED
    if any(_is_out_of_memory(one) for one in _with_causes(error)):
        return FailureReason.OUT_OF_MEMORY
    return FailureReason.EXCEPTION


def death_of(exit_code: int | None, asked: str | None, log_path: Path, offset: int) -> Ending:
    """Return the ending of a process that left no message.

    Args:
        exit_code: Negative for a signal; None where nobody knows.
        asked: What it was asked to stop for, `timeout` or `stop`; None when it died by itself.
        log_path: What it printed.
        offset: Where in the log its own lines begin.
    """
    reason, error = FailureReason.KILLED, f"the process {_manner(exit_code)}"
    if asked is not None:
        reason = FailureReason.INTERRUPTED
        error = f"asked to stop, the process {_manner(exit_code)}"
    elif exit_code == -signal.SIGKILL:
        error += " (out of memory killer?)"
    return Ending(
        TrialEnd.DIED,
        reason=reason,
        error=f"{error}; see {log_path}",
        traceback=_last_lines(log_path, offset),
    )


def _manner(exit_code: int | None) -> str:
    if exit_code is None:
        return "is gone, and with it the server that would know why"
    if exit_code < 0:
        try:
            return f"was killed by {signal.Signals(-exit_code).name}"
        except ValueError:
            return f"was killed by signal {-exit_code}"
    return f"left with exit code {exit_code} and no result"


def _meant(error: BaseException) -> BaseException:
    """Return what a `SystemExit` stands for: Lightning and Hydra leave with one after others."""
    while isinstance(error, SystemExit):
        if error.__cause__ is not None:
            error = error.__cause__
        elif isinstance(error.__context__, _interruptions()):
            error = error.__context__
        else:
            break
    return error


def _interruptions() -> tuple[type[BaseException], ...]:
    # Where the module was never imported nothing can have raised it.
    module = sys.modules.get("seglab.engine.loop.callbacks")
    return (KeyboardInterrupt, *([module.TrainingInterruptedError] if module else []))


def _is_out_of_memory(error: BaseException) -> bool:
    if "torch" in sys.modules:
        from seglab.engine.step.micro_batch import is_out_of_memory

        return is_out_of_memory(error)
    return isinstance(error, MemoryError)


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__


def _text(error: BaseException) -> str:
    name = type(error).__name__
    if isinstance(error, SystemExit):
        return f"the work called sys.exit({error.code!r})"
    return f"{name}: {error}" if str(error).strip() else name


def _line(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _LONGEST_LINE else text[: _LONGEST_LINE - 4] + " ..."


def _last_lines(log_path: Path, offset: int) -> str:
    try:
        with log_path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(offset, size - _LOG_TAIL_BYTES))
            return stream.read().decode("utf-8", errors="replace")
    except OSError:
        return ""
