"""What a person sees of a study: the table on a terminal, and lines elsewhere."""

from __future__ import annotations

import io
import logging
import math
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from seglab.runs.studies.study import StudyObjective
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.watch.study_watch import StudyWatch
from seglab.sweep.watch.wording import score, short_words, span

MIOU = StudyObjective("val/miou", "maximize")
LATENCY = StudyObjective("latency_ms", "minimize")
WORDS = ["optimizer.lr=0.0012345678", "data.batch_size=16", "loss=ce_dice"]


@dataclass(frozen=True)
class Numbers:
    running: int = 0
    finished: int = 0
    pruned: int = 0
    failed: int = 0
    budget: int = 40


class Study:
    """A watch with a clock of its own, and what it wrote."""

    def __init__(
        self,
        objectives: Sequence[StudyObjective] = (MIOU,),
        workers: int = 2,
        width: int = 80,
        height: int = 24,
        **more: object,
    ) -> None:
        self.now = 0.0
        self.out = io.StringIO()
        self.console = Console(file=self.out, width=width, height=height)
        plan = StudyPlan("lr_batch", tuple(objectives), 40, {}, "journal:x")
        names = [f"cpu {number}" for number in range(workers)]
        self.watch = StudyWatch(
            self.console,
            plan,
            names,
            clock=lambda: self.now,
            **more,  # type: ignore[arg-type]
        )

    def lines(self) -> list[str]:
        """What was written since the last look."""
        text = self.out.getvalue()
        self.out.seek(0)
        self.out.truncate()
        return text.splitlines()

    def table(self) -> list[str]:
        """What a terminal would show now."""
        with self.console.capture() as captured:
            self.console.print(self.watch.table())
        return [line.rstrip() for line in captured.get().splitlines()]


def test_lines_where_there_is_no_terminal() -> None:
    study = Study()
    with study.watch as watch:
        watch.started(0, "cpu 0", WORDS, 1)
        watch.started(1, "cpu 1", [], 1)
        assert study.lines() == [
            "trial 0 starts on cpu 0: lr=0.00123 batch_size=16 loss=ce_dice",
            "trial 1 starts on cpu 1: as it is",
        ]
        study.now = 72
        watch.progress(0, {"epoch": 3, "max_epochs": 20, "metric": "val/miou", "value": 0.3})
        watch.ended(0, "finished", 0.51234)
        watch.started(2, "cpu 0", WORDS, 1)
        study.now = 100
        watch.progress(2, {"epoch": 3, "max_epochs": 20, "metric": "val/miou", "value": 0.21})
        watch.ended(2, "pruned")
        study.now = 108
        watch.ended(1, "finished", [0.49])

    # Mean 72 s: trial 1 is due, 38 wait for two workers. Then 50 s and 37; 69.33 s and 37.
    assert study.lines() == [
        "trial 0 finished val/miou 0.5123 in 1:12 on cpu 0 (best so far); 1 of 40 done, about 22:48 left",
        "trial 2 starts on cpu 0: lr=0.00123 batch_size=16 loss=ce_dice",
        "trial 2 pruned at epoch 4/20 with val/miou 0.2100 in 0:28 on cpu 0 (best so far 0.5123, "
        "trial 0); 2 of 40 done, about 15:50 left",
        "trial 1 finished val/miou 0.4900 in 1:48 on cpu 1 (best so far 0.5123, trial 0); 3 of 40 done, "
        "about 21:57 left",
    ]


def test_lines_of_failures_name_reason_and_log(tmp_path: Path) -> None:
    log = tmp_path / "t0003.log"
    study = Study(log_of=lambda number: tmp_path / f"t{number:04d}.log")
    watch = study.watch
    watch.started(3, "gpu 0", ["a=[1,2]"], 1)
    study.now = 12
    watch.ended(
        3, "failed", None, "out_of_memory", "RuntimeError: [red]out of\nmemory[/red] " + "x" * 300
    )
    watch.ended(
        4, "failed", None, "killed", f"the process was killed; see {tmp_path / 't0004.log'}"
    )
    watch.ended(5, "failed", None, None, None)
    lines = study.lines()

    assert lines[0] == "trial 3 starts on gpu 0: a=[1,2]"
    error = ("RuntimeError: [red]out of memory[/red] " + "x" * 300)[:197]
    assert lines[1] == (
        f"trial 3 failed after 0:12 on gpu 0 (out_of_memory): {error}...; see {log}; 1 of 40 done, "
        "about 4:00 left"
    )
    assert lines[2].startswith("trial 4 failed (killed): the process was killed; see ")
    assert lines[2].count("t0004.log") == 1
    assert lines[3].startswith(f"trial 5 failed; see {tmp_path / 't0005.log'}; 3 of 40 done")


def test_lines_of_trials_that_go_on_later() -> None:
    study = Study()
    watch = study.watch
    watch.started(7, "cpu 0", ["loss=dice"], 1)
    study.now = 5
    watch.ended(7, "died", None, "killed", "the process was killed by SIGKILL")
    watch.started(7, "cpu 1", ["loss=dice"], 2)
    study.now = 9
    watch.ended(7, "released", None, None, None)

    assert study.lines()[1:] == [
        "trial 7 lost its process after 0:05 on cpu 0 (killed): the process was killed by SIGKILL; it is "
        "resumed",
        "trial 7 starts again (attempt 2) on cpu 1: loss=dice",
        "trial 7 was stopped after 0:04 on cpu 1; the same command resumes it",
    ]


def test_lines_of_several_objectives_and_of_a_grid() -> None:
    study = Study((MIOU, LATENCY))
    study.watch.ended(0, "finished", [0.5, 12.5])
    study.watch.ended(1, "finished", [0.4, 13.0])
    assert study.lines() == [
        "trial 0 finished val/miou 0.5000, latency_ms 12.5000 (on the Pareto front of 1); 1 of 40 done",
        "trial 1 finished val/miou 0.4000, latency_ms 13.0000 (beside the Pareto front of 1); 2 of 40 done",
    ]
    grid = Study(())
    grid.watch.ended(0, "finished", None)
    assert grid.lines() == ["trial 0 finished; 1 of 40 done"]
    assert grid.table()[1:] == [
        "1 of 40 done: 1 finished; 0 running here",
        "2 workers, idle 0.0 % of the time; time left unknown yet, 0:00 so far",
    ]


def test_what_others_and_earlier_sessions_did() -> None:
    study = Study()
    study.watch.counts(Numbers(running=3, finished=7, pruned=2, failed=1))
    assert study.table()[1:3] == [
        "10 of 40 done: 7 finished, 2 pruned, 1 failed; 0 running here, 3 elsewhere",
        "the best of earlier trials is not known here",
    ]
    study.watch.known(4, [0.6], ["optimizer.lr=1e-3"])
    assert study.table()[2] == "best so far: val/miou 0.6000, trial 4  lr=0.001"
    study.watch.ended(11, "finished", 0.5)
    assert study.lines() == [
        "trial 11 finished val/miou 0.5000 (best so far 0.6000, trial 4); 11 of 40 done"
    ]


def busy_study(width: int) -> Study:
    study = Study(width=width)
    watch = study.watch
    watch.started(0, "cpu 0", WORDS, 1)
    words = ["optimizer.lr=0.02", "data.batch_size=8", "loss=dice", "data.crop_size=[96,128]"]
    watch.started(1, "cpu 1", words, 1)
    study.now = 10
    watch.progress(1, {"epoch": 0, "max_epochs": 20, "first_step": True})
    study.now = 40
    watch.ended(0, "finished", 0.5123)
    watch.started(2, "cpu 0", WORDS, 1)
    study.now = 50
    watch.progress(1, {"epoch": 1, "max_epochs": 20, "metric": "val/miou", "value": math.nan})
    return study


def test_table_of_80_columns() -> None:
    table = busy_study(80).table()
    # 37 trials of 40 s wait: cpu 0, free in 30 s, takes 23 of them and is done after 950 s; cpu 1,
    # free in 360 s, takes 14 and is done after 920 s.
    assert table == [
        "trial  on     parameters                             epoch  val/miou  time  left",
        "    1  cpu 1  lr=0.02 batch_size=8 loss=dice cr…      2/20       nan  0:50  6:00",
        "    2  cpu 0  lr=0.00123 batch_size=16 loss=ce_…  starting         -  0:10",
        "1 of 40 done: 1 finished; 2 running here",
        "best so far: val/miou 0.5123, trial 0  lr=0.00123 batch_size=16 loss=ce_dice",
        "2 workers, idle 0.0 % of the time; about 15:50 left, 0:50 so far",
    ]


def test_table_of_140_columns() -> None:
    table = busy_study(200).table()
    assert max(map(len, table)) == 140  # no wider, or the eye loses the line
    assert "lr=0.02 batch_size=8 loss=dice crop_size=[96,128]  " in table[1]


def test_table_leaves_room_for_itself() -> None:
    study = Study(height=14)
    for number in range(30):
        study.watch.started(number, f"gpu {number}", WORDS, 1)
    table = study.table()

    assert len(table) == 11
    assert table[6].startswith("    5  gpu 5 ")
    assert table[7] == "... and 24 more run"


def test_table_of_folds_and_steps() -> None:
    study = Study(workers=1)
    watch = study.watch
    watch.started(0, "gpu MIG-7f9c1234-aaaa-bbbb-cccc-0123456789ab", ["x=[1]"], 1)
    watch.started(1, "cpu 0", [], 2)
    watch.reported(1, 3, 0.25)
    watch.reported(9, 3, 0.25)  # of nobody known
    watch.progress(9, {"epoch": 1})
    watch.progress(
        0, {"epoch": 0, "max_epochs": 4, "fold": 2, "folds": 5, "metric": "val/miou", "value": 0.5}
    )
    assert study.table()[:3] == [
        "trial  on             parameters                      fold  val/miou  time  left",
        "    0  gpu MIG-7f9c…  x=[1]                        2/5 1/4    0.5000  0:00  0:00",
        "    1  cpu 0                                        step 4    0.2500  0:00",
    ]


def on_terminal(**more: object) -> tuple[Study, io.StringIO]:
    study = Study()
    out = io.StringIO()
    console = Console(
        file=out, width=80, height=24, force_terminal=True, _environ={"TERM": "xterm"}
    )
    plan = StudyPlan("lr_batch", (MIOU,), 40, {}, "journal:x")
    study.watch = StudyWatch(console, plan, ["cpu 0"], clock=lambda: study.now, **more)  # type: ignore[arg-type]
    return study, out


def shown(out: io.StringIO) -> list[str]:
    """The text without the codes that move the cursor, colour and erase."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue()).replace("\r", "\n").splitlines()


def test_live_table_with_the_lines_above(tmp_path: Path) -> None:
    log = logging.getLogger("seglab.test_watch")
    handler = logging.StreamHandler(sys.stderr)
    log.addHandler(handler)
    study, out = on_terminal(log_path=tmp_path / "study.log")
    try:
        with study.watch as watch:
            watch.started(0, "cpu 0", WORDS, 1)
            study.now = 60
            watch.ended(0, "finished", 0.5)
            log.warning("a log line")
            time.sleep(1.2)
        assert handler.stream is sys.stderr
    finally:
        log.removeHandler(handler)
    lines = shown(out)

    ended = "trial 0 finished val/miou 0.5000 in 1:00 on cpu 0 (best so far); 1 of 40 done, about 39:00 left"
    assert lines.count(ended) == 1
    assert not any(line.startswith("trial 0 starts") for line in lines)  # that is in the table
    assert "a log line" in lines
    frames = [line for line in lines if "so far" in line and line.startswith("1 worker,")]
    assert 3 <= len(frames) <= 12
    assert "\x1b[?25h" in out.getvalue()  # the cursor is back
    kept = (tmp_path / "study.log").read_text(encoding="utf-8").splitlines()
    assert [line.partition(" ")[2] for line in kept] == [
        "trial 0 starts on cpu 0: lr=0.00123 batch_size=16 loss=ce_dice",
        ended,
    ]
    assert all(re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00 ", line) for line in kept)


def test_table_is_taken_away_when_the_study_is_interrupted() -> None:
    study, out = on_terminal()
    before = sys.stdout, sys.stderr

    def interrupted() -> None:
        with study.watch as watch:
            watch.started(0, "cpu 0", WORDS, 1)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert (sys.stdout, sys.stderr) == before
    assert "\x1b[?25h" in out.getvalue()


def test_events_and_table_never_wait_for_each_other() -> None:
    study, _ = on_terminal()
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            study.watch.table()

    other = threading.Thread(target=look)
    with study.watch as watch:
        other.start()
        began = time.monotonic()
        number = 0
        while time.monotonic() - began < 1.2:
            watch.started(number, "cpu 0", WORDS, 1)
            watch.progress(number, {"epoch": 1, "max_epochs": 2})
            watch.ended(number, "finished", 0.5)
            number += 1
        stop.set()
        other.join(timeout=5)
    assert not other.is_alive()
    assert number > 20


def test_file_that_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    lost = Study(log_path=tmp_path / "not" / "there" / "study.log")
    lost.watch.ended(0, "finished", 0.5)
    assert len(lost.lines()) == 1


ODD = st.one_of(
    st.none(), st.integers(-3, 3), st.floats(), st.text(max_size=3), st.just(10**400), st.booleans()
)
FACTS = st.dictionaries(
    st.sampled_from(
        ["epoch", "max_epochs", "fold", "folds", "finished", "metric", "value", "first_step"]
    ),
    ODD,
    max_size=8,
)
STATUS = st.sampled_from(["finished", "pruned", "failed", "died", "released", "abandoned", "odd"])
EVENTS = st.one_of(
    st.tuples(st.just("started"), st.integers(0, 3), st.integers(1, 3)),
    st.tuples(st.just("progress"), st.integers(0, 3), FACTS),
    st.tuples(st.just("reported"), st.integers(0, 3), st.floats()),
    st.tuples(st.just("ended"), st.integers(0, 3), STATUS, st.none() | st.floats()),
    st.tuples(st.just("counts"), st.integers(-2, 50), st.integers(-2, 50)),
    st.tuples(st.just("clock"), st.sampled_from([-5.0, 0.0, 1.0, 1e9])),
)


@pytest.mark.slow
@settings(max_examples=150, deadline=None)
@given(st.lists(EVENTS, max_size=25), st.sampled_from([20, 80, 140]))
def test_nothing_odd_stops_it(events: list[tuple], width: int) -> None:
    study = Study(width=width)
    for kind, *what in events:
        match kind:
            case "started":
                study.watch.started(what[0], "cpu [0]", ["a.b=1e-4", "~c"], what[1])
            case "progress":
                study.watch.progress(*what)
            case "reported":
                study.watch.reported(what[0], 0, what[1])
            case "ended":
                study.watch.ended(what[0], what[1], what[2], "reason", "error")
            case "counts":
                study.watch.counts(Numbers(running=what[0], finished=what[1]))
            case "clock":
                study.now += what[0]
        assert max(map(len, study.table())) <= width
    assert not any("\x1b" in line for line in study.lines())


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0:00"),
        (7.4, "0:07"),
        (59.6, "1:00"),
        (750, "12:30"),
        (3600, "1:00:00"),
        (11_100, "3:05:00"),
        (86_400, "1d 0:00:00"),
        (183_900, "2d 3:05:00"),
        (-5, "0:00"),
        (math.nan, "?"),
        (math.inf, "?"),
        (None, "?"),
    ],
)
def test_span(seconds: float | None, text: str) -> None:
    assert span(seconds) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.51234, "0.5123"),
        (0, "0.0000"),
        (-1.5, "-1.5000"),
        (1e-7, "1.000e-07"),
        (None, "-"),
        (1234567.0, "1.235e+06"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ("x", "x"),
    ],
)
def test_score(value: object, text: str) -> None:
    assert score(value) == text


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["optimizer.lr=0.00123456", "data.batch_size=128"], "lr=0.00123 batch_size=128"),
        (["optimizer.lr=1e-4", "++optimizer.encoder_lr=3.00001E-5"], "lr=0.0001 encoder_lr=3e-05"),
        (["a.scale=1", "b.scale=2"], "a.scale=1 b.scale=2"),
        (["lr=1", "optimizer.lr=2", "x.optimizer.lr=3"], "lr=1 optimizer.lr=2 x.optimizer.lr=3"),
        (["model=unet", "~augment.blur", "+x='no, [a]'"], "model=unet ~blur x=no, [a]"),
        (
            ["seed=12345678901234567890", "a=1.0", "b=", "c='", "d"],
            "seed=12345678901234567890 a=1 b= c=' d",
        ),
    ],
)
def test_short_words(words: list[str], text: str) -> None:
    assert short_words(words) == text
