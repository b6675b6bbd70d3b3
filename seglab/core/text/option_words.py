"""An option of an importer as one types it: a key of the configuration, or for `seglab data import`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from seglab.core.text.shell import shell_command

_as_flags: ContextVar[bool] = ContextVar("as_flags", default=False)


@contextmanager
def typed_as_flags() -> Iterator[None]:
    """Let messages name options as `--option KEY=VALUE`, the way `seglab data import` takes them."""
    former = _as_flags.set(True)
    try:
        yield
    finally:
        _as_flags.reset(former)


def option_name(key: str) -> str:
    """Return how an option is named.

    >>> option_name("masks")
    'data.options.masks'
    """
    return f"--option {key}" if _as_flags.get() else f"data.options.{key}"


def option_word(key: str, value: str) -> str:
    """Return what is typed to give an option a value, quoted for a shell.

    >>> option_word("masks", "labels/{stem}_L.png")
    "'data.options.masks=labels/{stem}_L.png'"
    >>> with typed_as_flags():
    ...     option_word("raw_ids", "identity")
    '--option raw_ids=identity'
    """
    word = f"{key}={value}"
    if _as_flags.get():
        return f"--option {shell_command(word)}"
    return shell_command(f"data.options.{word}")
