"""How a command ends: one message where the user can act on it, a traceback only when asked for."""

from __future__ import annotations

import contextlib
import os
import re
import sys
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path

from seglab.core.disk.files import write_text
from seglab.core.disk.places import place_error
from seglab.core.errors import DiskFullError, PlaceError, SeglabError

_ASKS_FOR_TRACEBACK = ("SEGLAB_TRACEBACK", "HYDRA_FULL_ERROR")
TRACEBACK_NAME = "traceback.txt"
# The folders of a machine, as in conf/paths: key, variable, and the place where neither says one.
_FOLDERS = {
    "paths.runs_dir": ("SEGLAB_RUNS", "runs"),
    "paths.cache_dir": ("SEGLAB_CACHE", "~/.cache/seglab"),
    "paths.data_dir": ("SEGLAB_DATA", "data"),
}
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
    ours = find_seglab_error(error) or place_error(error)
    wants_traceback = any(os.environ.get(key, "0") not in ("", "0") for key in _ASKS_FOR_TRACEBACK)
    text = "".join(traceback.format_exception(error))
    if wants_traceback:
        sys.stderr.write(text)
    if ours is not None:
        hint = _place_hint(ours, sys.argv[1:]) if isinstance(ours, PlaceError) else ""
        sys.stderr.write(f"{name}: {ours}{hint}\n")
        return ours.exit_code
    kept = ""
    if run_dir is not None and run_dir.is_dir():
        with contextlib.suppress(PlaceError):
            write_text(run_dir / TRACEBACK_NAME, text)
            kept = f" The traceback is in {run_dir / TRACEBACK_NAME}."
    first_line = (str(error).strip() or "no message").splitlines()[0]
    hint = "" if wants_traceback else " Set SEGLAB_TRACEBACK=1 to see it all."
    sys.stderr.write(f"{name}: {type(error).__name__}: {first_line}.{kept}{hint}\n")
    return 1


def _place_hint(error: PlaceError, words: Sequence[str]) -> str:
    """Say which setting named the place of an error, as far as one did."""
    setting = setting_of(error.path, words) if error.path is not None else None
    # As a word: `-o` is found in many a path.
    if setting is not None and setting.partition(" ")[0] in re.split(r"[\s,;()]+", str(error)):
        return ""
    if isinstance(error, DiskFullError):
        other = f", or set {setting} to another disk" if setting else ""
        return f"; free some space{other}"
    return f"; set {setting} to another place" if setting else ""


def setting_of(path: Path, words: Sequence[str]) -> str | None:
    """Return the setting that a path lies at or below: a key, a flag, or the word itself.

    Args:
        path: Of what could not be used.
        words: Of the command line; folders that none of them names have their usual places.
    """
    wanted = path.absolute()
    named = []
    for before, word in zip(("", *words), words, strict=False):
        key, sign, text = word.lstrip("+").partition("=")
        flag = before if before.startswith("-") and "=" not in before else f"'{word}'"
        named.append((key, text.strip("'\"")) if sign else (flag, word))
    named += [
        (f"{key} (or {variable})", os.environ.get(variable, usual))
        for key, (variable, usual) in _FOLDERS.items()
    ]
    places = [(Path(text).expanduser().absolute(), setting) for setting, text in named if text]
    # The longest is the nearest; of two the one that was typed.
    above = [(len(place.parts), name) for place, name in places if wanted.is_relative_to(place)]
    # Or else what failed is on the way to a place.
    below = [(-len(place.parts), name) for place, name in places if place.is_relative_to(wanted)]
    found = above or below
    return max(found, key=lambda one: one[0])[1] if found else None


def find_seglab_error(error: BaseException | None) -> SeglabError | None:
    """Return the error raised on purpose, also where a library (Hydra's instantiate) wrapped it."""
    while error is not None:
        if isinstance(error, SeglabError):
            return error
        error = error.__cause__
    return None
