"""Alerts are told once, when they get worse, when they last and when they are over; silences hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglab.core.errors import DataError
from seglab.monitor.alerts.book import AlertBook, Silence
from seglab.monitor.alerts.findings import Finding, Judged

KINDS = frozenset({"drift", "slow"})
DRIFT = Finding("drift", "warn", "b", "they drifted", np.int64(2), 1.0)
NOTHING = Judged([], KINDS)


def test_an_alert_is_told_once_and_when_it_is_over(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    told = []
    for now, judged in enumerate(
        (
            Judged([DRIFT], KINDS),
            Judged([DRIFT], KINDS),
            Judged([], frozenset({"slow"})),  # it could not be told: nothing is over
            NOTHING,
            Judged([DRIFT], KINDS),  # a moment without is not its end
            Judged([DRIFT._replace(severity="page")], KINDS),
            NOTHING,
            NOTHING,
            NOTHING,
        )
    ):
        book = AlertBook.read(path)  # each evaluation may be a process of its own
        messages = book.take(judged, 100.0 * now)
        told += [(now, one.what) for one in messages]
        book.write()
    assert told == [(0, "fired"), (5, "worse"), (7, "recovered")]
    kept = AlertBook.read(path)
    assert kept.alerts == {}
    [past] = kept.past
    assert (past.key, past.severity, past.since, past.seen, past.over) == (
        *("drift/b", "page"),
        *(0.0, 500.0, 700.0),
    )


def test_what_is_over_is_kept_to_a_bound(tmp_path: Path) -> None:
    """Also of what was silenced, and from a file of before; the latest stay."""
    path = tmp_path / "alerts.json"
    path.write_text('{"version": 1, "alerts": [], "outbox": []}')
    book = AlertBook.read(path)
    quiet = [Silence("drift/*", 1e9, "snow")]
    for turn in range(600):
        book.take(Judged([DRIFT], KINDS), 10.0 * turn, quiet)
        assert book.take(NOTHING, 10.0 * turn + 5, quiet, recovers_after=1) == []
    book.write()
    past = AlertBook.read(path).past
    assert len(past) == 500
    assert (past[0].since, past[-1].since, past[-1].over) == (1000.0, 5990.0, 5995.0)


def test_an_alert_that_lasts_is_told_again_after_a_while(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.json")
    whats = [
        [one.what for one in book.take(Judged([DRIFT], KINDS), now, repeat=250)]
        for now in range(0, 600, 100)
    ]
    assert whats == [["fired"], [], [], ["still"], [], []]


def test_a_silenced_alert_is_told_when_it_outlasts_the_silence(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.json")
    silences = [Silence("drift/*", 250.0, "snow")]
    told = []
    for now in (0, 100, 200, 300):
        told += [(now, one.what) for one in book.take(Judged([DRIFT], KINDS), now, silences)]
        assert book.alerts["drift/b"].silenced == (now < 250)
    assert told == [(300, "fired")]
    other = Finding("slow", "warn", "service", "slow", 3.0, 2.0)
    assert [one.what for one in book.take(Judged([other], KINDS), 200, silences)] == ["fired"]

    quiet = AlertBook(tmp_path / "other.json")
    assert quiet.take(Judged([DRIFT], KINDS), 0, silences) == []
    assert [quiet.take(NOTHING, now, silences) for now in (100, 300)] == [[], []]


def test_a_message_says_since_when_and_what_to_do(tmp_path: Path) -> None:
    book = AlertBook(tmp_path / "alerts.json")
    [fired] = book.take(Judged([DRIFT._replace(value=float("nan"))], KINDS), 0.0)
    book.write()
    assert AlertBook.read(book.path).alerts["drift/b"].value is None
    assert fired.text.splitlines()[:3] == [
        "[fired] warn: drift (b)",
        "they drifted",
        "since 1970-01-01T00:00:00+00:00",
    ]
    assert "What to do: Compare images" in fired.text
    assert fired.to_dict()["since"] == "1970-01-01T00:00:00+00:00"
    book.take(NOTHING, 60.0)
    [over] = book.take(NOTHING, 120.0)
    assert "it was: they drifted" in over.text
    assert "over at 1970-01-01T00:02:00+00:00" in over.text


def test_a_damaged_book_is_named(tmp_path: Path) -> None:
    path = tmp_path / "alerts.json"
    for content in ("{", '{"version": 9, "alerts": [], "outbox": []}'):
        path.write_text(content)
        with pytest.raises(DataError, match=r"alerts\.json: expected alerts .* move it away"):
            AlertBook.read(path)
