"""What a long command is at, where nobody sees a live line."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from seglab.core.text import terminal


def test_speaks_now_and_then_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(terminal.time, "monotonic", lambda: now)
    stream = io.StringIO()
    with terminal.telling(Console(file=stream, width=40), "at first") as tell:
        for now in (1.0, 14.0, 15.0, 16.0, 29.0, 31.0):
            tell(f"image [{now:.0f}]")
    assert stream.getvalue().splitlines() == ["image [15]", "image [31]"]


def test_a_live_line_shows_text_as_it_is() -> None:
    stream = io.StringIO()
    console = Console(file=stream, width=40, force_terminal=True)
    with terminal.telling(console, "at [b]first[/b]") as tell:
        tell("then [i]that[/i]")
    assert "then [i]that[/i]" in stream.getvalue()
