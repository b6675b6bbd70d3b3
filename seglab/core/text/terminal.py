"""The terminal: text is shown as it is.

rich reads `[...]` in every string as markup and `:name:` as a picture; a name such as `sign[/old]`
then ends the program. So strings go to a console through this module alone, and only what is asked
for by a style has a look of its own. Safe with any console, also one that a notebook brings.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.rule import Rule
from rich.table import Table
from rich.text import Text

from seglab.core.text.escape import one_line

_PIPE_WIDTH = 120
# Longest silence where nobody sees a live line, less the length of a step: 20 s are promised.
LONGEST_SILENCE_S = 15.0


def open_console(pipe_width: int = _PIPE_WIDTH) -> Console:
    """Return a console on standard output, `pipe_width` wide where nobody's window sets the width."""
    options: dict[str, Any] = {"markup": False, "emoji": False, "highlight": False}
    console = Console(**options)
    return console if console.is_terminal else Console(**options, width=pipe_width)


def literal(text: str, style: str = "") -> Text:
    """Return text for rich that shows every character; lines stay lines, control characters show."""
    return Text("\n".join(map(one_line, text.split("\n"))), style=style)


def say(console: Console, *parts: str | tuple[str, str]) -> None:
    """Print text on a line of its own, whatever its length, so that it can be searched for.

    Args:
        console: Where to.
        *parts: Text, or pairs of text and style, put together.
    """
    pairs = [(part, "") if isinstance(part, str) else part for part in parts]
    line = Text.assemble(*(literal(text, style) for text, style in pairs))
    console.print(line, soft_wrap=True, highlight=False)


@contextmanager
def telling(console: Console, text: str) -> Iterator[Callable[[str], None]]:
    """Show what a long command is at: a live line on a terminal, elsewhere a line now and then.

    Args:
        console: Where to.
        text: What it is at first.

    Yields:
        What takes the next text.
    """
    if console.is_terminal:
        with console.status(literal(text)) as status:
            yield lambda now: status.update(literal(now))
        return
    spoke = time.monotonic()

    def tell(now: str) -> None:
        nonlocal spoke
        if time.monotonic() - spoke >= LONGEST_SILENCE_S:
            spoke = time.monotonic()
            say(console, now)

    yield tell


def say_heading(console: Console, text: str) -> None:
    """Print a rule across the screen with a heading in it."""
    console.print(Rule(literal(one_line(text), "rule.text")))


def show(console: Console, drawn: Table) -> None:
    """Print a table made by `PlainTable`."""
    console.print(drawn)


class PlainTable(Table):
    """A table of rich whose title, headers and cells are shown as they are."""

    def __init__(self, *headers: str, title: str = "", **options: Any) -> None:
        shown = literal(title, "table.title") if title else None
        super().__init__(*headers, title=shown, **options)

    def add_column(self, header: str | Text = "", *more: Any, **options: Any) -> None:  # type: ignore[override]
        """Add a column; see `rich.table.Table.add_column`."""
        super().add_column(_as_text(header), *more, **options)

    def add_row(self, *cells: str | Text | None, **options: Any) -> None:  # type: ignore[override]
        """Add a row; see `rich.table.Table.add_row`."""
        super().add_row(*map(_as_text, cells), **options)


def _as_text(cell: str | Text | None) -> Text:
    return literal(cell or "") if not isinstance(cell, Text) else cell
