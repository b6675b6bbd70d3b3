"""How a command ends: one message where the user can act on it, a traceback only when asked for."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from seglab.core.errors import SeglabError
from seglab.core.files import write_text

_ASKS_FOR_TRACEBACK = ("SEGLAB_TRACEBACK", "HYDRA_FULL_ERROR")
TRACEBACK_NAME = "traceback.txt"
# Exit code of a command that was asked to stop.
INTERRUPTED = 130


def guarded(name: str, work: Callable[[], int]) -> int:
    """Run `work` and return its exit code; an exception becomes a message and a code.

    Args:
        name: What the user called, such as `seglab train`.
        work: The command.
    """
    try:
        return work()
    except KeyboardInterrupt:
        sys.stderr.write(f"\n{name}: interrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # The reader of our output, such as `head`, has gone; Python would complain once more.
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115 - stays open until the process ends
        return 0
    except Exception as error:  # noqa: BLE001 - this is where every failure is told to the user
        return report(name, error)


def report(name: str, error: Exception, run_dir: Path | None = None) -> int:
    """Tell the user of a failure on stderr and return the exit code.

    Args:
        name: What the user called.
        error: The exception.
        run_dir: Folder of the run, if there is one; the traceback of an unexpected exception is
            kept there.
    """
    ours = find_seglab_error(error)
    wants_traceback = any(os.environ.get(key, "0") not in ("", "0") for key in _ASKS_FOR_TRACEBACK)
    text = "".join(traceback.format_exception(error))
    if wants_traceback:
        sys.stderr.write(text)
    if ours is not None:
        sys.stderr.write(f"{name}: {ours}\n")
        return ours.exit_code
    kept = ""
    if run_dir is not None and run_dir.is_dir():
        write_text(run_dir / TRACEBACK_NAME, text)
        kept = f" The traceback is in {run_dir / TRACEBACK_NAME}."
    first_line = (str(error).strip() or "no message").splitlines()[0]
    hint = "" if wants_traceback else " Set SEGLAB_TRACEBACK=1 to see it all."
    sys.stderr.write(f"{name}: {type(error).__name__}: {first_line}.{kept}{hint}\n")
    return 1


def find_seglab_error(error: BaseException | None) -> SeglabError | None:
    """Return the error raised on purpose, also where a library (Hydra's instantiate) wrapped it."""
    while error is not None:
        if isinstance(error, SeglabError):
            return error
        error = error.__cause__
    return None
