"""Trials in processes of their own: what they are given, what they say, and how they end."""

from __future__ import annotations

import ctypes
import itertools
import math
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from seglab.core.trial import TrialPrunedError
from seglab.engine.device.slots import CPUS, VISIBLE, Slot
from seglab.engine.process.events import Ended, Ending, Event, Progress, Report
from seglab.engine.process.pool import Pool

# The processes need not find this file; they get its functions by value, as those of a script.
cloudpickle.register_pickle_by_value(sys.modules[__name__])

SLOTS = [Slot("first", {VISIBLE: "MIG-1a2b,GPU-3"}), Slot("second", {VISIBLE: ""})]
GONE_S = 30.0


@pytest.fixture(scope="module")
def bare() -> Iterator[Pool]:
    """A pool whose server has imported nothing; its trials must leave it as they found it."""
    with Pool(SLOTS, preload=(), study="lr-abc123", term_s=1.0) as pool:
        yield pool


def collect(pool: Pool, number: int = 0) -> list[Event]:
    """Return the events of a trial up to its end, reports answered with "go on"."""
    events: list[Event] = []
    end = time.monotonic() + GONE_S
    while time.monotonic() < end:
        for event in pool.events(1.0):
            events.append(event)
            if isinstance(event, Report):
                pool.answer(event.number, prune=False)
            if isinstance(event, Ended) and event.number == number:
                return events
    raise AssertionError(f"trial {number} did not end: {events}")


def run(
    pool: Pool, work: Callable[[Any], Any], folder: Path, timeout_s: float | None = None
) -> Ending:
    """Run one trial on the first slot and return how it ended."""
    pool.start(0, work, pool.slots[0], folder / "trial.log", timeout_s)
    ended = collect(pool)[-1]
    assert isinstance(ended, Ended)
    return ended.ending


def sleeper() -> int:
    """Start a process that would stay for ever."""
    return subprocess.Popen(["sleep", "1000"]).pid


class TestSurroundings:
    """A trial finds itself where its controller is, with what its slot has."""

    def test_as_in_the_controller(
        self, bare: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # All of it after the server was started.
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("SEGLAB_SAID_LATER", "yes")
        monkeypatch.delenv("HOME", raising=False)
        monkeypatch.setattr(sys, "argv", ["seglab", "train", "-m"])
        monkeypatch.syspath_prepend(str(tmp_path / "modules"))

        def work(trial: Any) -> Any:
            mask = os.umask(0)
            here = os.getcwd(), dict(os.environ), sys.argv, sys.path, mask  # noqa: PTH109
            return (*here, trial.study, trial.number)

        directory, environment, argv, path, mask, study, number = run(bare, work, tmp_path).result
        expected = os.umask(0)
        os.umask(expected)
        assert directory == str(tmp_path)
        assert environment == {**os.environ, VISIBLE: "MIG-1a2b,GPU-3"}
        assert argv == ["seglab", "train", "-m"]
        assert path == sys.path
        assert mask == expected
        assert (study, number) == ("lr-abc123", 0)

    def test_nothing_stays_for_the_next(self, bare: Pool, tmp_path: Path) -> None:
        def disturb(trial: Any) -> None:
            os.environ["SEGLAB_LEFT"] = "x"
            os.chdir("/")
            sys.path.append("/left")
            os.umask(0)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            sys.modules["left"] = sys

        def look(trial: Any) -> Any:
            default = signal.getsignal(signal.SIGINT) is signal.default_int_handler
            return (
                "SEGLAB_LEFT" in os.environ,
                str(Path.cwd()),
                "/left" in sys.path,
                os.umask(0),
                default,
                "left" in sys.modules,
            )

        before = run(bare, look, tmp_path).result
        run(bare, disturb, tmp_path)
        assert run(bare, look, tmp_path).result == before
        assert before[0] is False
        assert before[4] is True

    @pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="no affinity on this system")
    def test_cores_and_devices_of_the_slot(self, tmp_path: Path) -> None:
        cores = sorted(os.sched_getaffinity(0))

        def work(trial: Any) -> Any:
            return sorted(os.sched_getaffinity(0)), os.environ[VISIBLE]

        slots = [
            Slot("one core", {CPUS: str(cores[-1]), VISIBLE: "MIG-9"}),
            Slot("devices", {VISIBLE: "2,3"}),
        ]
        with Pool(slots, preload=()) as pool:
            for number, slot in enumerate(slots):
                pool.start(number, work, slot, tmp_path / f"{number}.log")
            results = {}
            while len(results) < 2:
                results |= {
                    e.number: e.ending.result for e in pool.events(5) if isinstance(e, Ended)
                }
        assert results == {0: ([cores[-1]], "MIG-9"), 1: (cores, "2,3")}

    def test_may_have_children_of_its_own(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> Any:
            reader, writer = multiprocessing.Pipe(duplex=False)
            other = multiprocessing.get_context("fork").Process(target=writer.send, args=(41,))
            other.start()
            value = reader.recv()
            other.join()
            process = multiprocessing.current_process()
            return value + 1, process.daemon, process.name, os.getsid(0) == os.getpid()

        assert run(bare, work, tmp_path).result == (42, False, "MainProcess", True)

    def test_log_takes_everything(self, bare: Pool, tmp_path: Path) -> None:
        log = tmp_path / "deep" / "trial.log"
        log.parent.mkdir()
        log.write_text("before\n")

        def work(trial: Any) -> Any:
            print("printed \udc80")  # noqa: T201
            sys.stderr.write("complained\n")
            subprocess.run(["echo", "from another process"], check=True)
            ctypes.CDLL(None).write(1, b"from C\n", 7)

        bare.start(0, work, bare.slots[0], log)
        collect(bare)
        assert log.read_text().splitlines() == [
            "before",
            "printed \\udc80",
            "complained",
            "from another process",
            "from C",
        ]

    def test_leaves_as_an_interpreter_does(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> str:
            import atexit

            def later() -> None:
                time.sleep(0.3)
                print("thread done")  # noqa: T201

            threading.Thread(target=later).start()
            atexit.register(print, "exit done")
            return "result"

        assert run(bare, work, tmp_path).result == "result"
        assert (tmp_path / "trial.log").read_text() == "thread done\nexit done\n"


class TestMessages:
    """Reports wait for an answer, progress does not."""

    def test_report_and_answer(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> list[bool]:
            said = [trial.report(value, step) for step, value in enumerate((0.5, math.nan, 0.25))]
            trial.progress(epoch=1, max_epochs=3)
            return said

        bare.start(7, work, bare.slots[1], tmp_path / "7.log")
        events: list[Event] = []
        while not events or not isinstance(events[-1], Ended):
            for event in bare.events(5):
                events.append(event)
                if isinstance(event, Report):
                    bare.answer(7, prune=event.step == 2)
        assert events[:-1] == [
            Report(7, 0, 0.5),
            Report(7, 2, 0.25),
            Progress(7, {"epoch": 1, "max_epochs": 3}),
        ]
        assert events[-1].ending.result == [False, False, True]
        bare.answer(7, prune=True)  # too late; nothing happens

    def test_answer_to_an_interrupted_report_is_not_taken_for_the_next(
        self, bare: Pool, tmp_path: Path
    ) -> None:
        def work(trial: Any) -> bool:
            signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError()))
            signal.setitimer(signal.ITIMER_REAL, 0.2)
            try:
                trial.report(1.0, 0)
            except TimeoutError:
                return bool(trial.report(2.0, 1))
            return False

        bare.start(0, work, bare.slots[0], tmp_path / "0.log")
        reports: list[Event] = bare.events(5)
        time.sleep(0.5)
        bare.answer(0, prune=False)
        while not isinstance(reports[-1], Ended):
            reports += bare.events(5)
            if isinstance(reports[-1], Report):
                bare.answer(0, prune=True)
        assert reports[:2] == [Report(0, 0, 1.0), Report(0, 1, 2.0)]
        assert reports[-1].ending.result is True

    def test_pruned(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> None:
            if not trial.report(0.1, 3):
                raise TrialPrunedError("worse than the median at step 3")

        ending = run(bare, work, tmp_path)
        assert (ending.status, ending.reason) == ("pruned", None)
        assert ending.error == "worse than the median at step 3"

    def test_first_step_is_timed_from_the_start(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> None:
            time.sleep(0.3)
            trial.progress(first_step=True)
            time.sleep(0.2)
            trial.progress(first_step=True)

        before = time.time()
        ending = run(bare, work, tmp_path)
        assert 0.3 <= ending.first_step_s < 0.5 + (time.time() - before - 0.5)
        assert ending.first_step_s <= ending.ended - ending.started - 0.2
        assert before <= ending.started <= ending.ended - 0.5 <= time.time()

    def test_large_result(self, bare: Pool, tmp_path: Path) -> None:
        ending = run(bare, lambda trial: os.urandom(1000) * 30_000, tmp_path)
        assert len(ending.result) == 30_000_000
        assert ending.exit_code == 0

    def test_events_wait_no_longer_than_asked(self, bare: Pool, tmp_path: Path) -> None:
        began = time.monotonic()
        assert bare.events(0.2) == []
        assert 0.2 <= time.monotonic() - began < 2.0
        bare.start(0, lambda trial: time.sleep(0.3), bare.slots[0], tmp_path / "0.log")
        began = time.monotonic()
        assert isinstance(bare.events(20)[0], Ended)
        assert time.monotonic() - began < 10.0


class TestSlots:
    """A slot has one trial at a time."""

    def test_busy_slot_is_refused(self, bare: Pool, tmp_path: Path) -> None:
        assert bare.free == SLOTS
        bare.start(0, lambda trial: trial.report(1.0, 0), SLOTS[0], tmp_path / "0.log")
        assert bare.free == [SLOTS[1]]
        with pytest.raises(ValueError, match="trial 1: slot 'first' is busy"):
            bare.start(1, print, SLOTS[0], tmp_path / "1.log")
        with pytest.raises(ValueError, match="trial 0 is running already"):
            bare.start(0, print, SLOTS[1], tmp_path / "1.log")
        with pytest.raises(ValueError, match="slot 'foreign' is busy or not of this pool"):
            bare.start(1, print, Slot("foreign"), tmp_path / "1.log")
        collect(bare)
        assert bare.free == SLOTS

    def test_never_two_on_one(self, bare: Pool, tmp_path: Path) -> None:
        spans: dict[str, list[tuple[float, float]]] = {slot.name: [] for slot in SLOTS}
        waiting, slot_of = list(range(8)), {}
        while waiting or len(bare.free) < 2:
            for slot in bare.free[: len(waiting)]:
                number = waiting.pop()
                slot_of[number] = slot.name

                def work(trial: Any, length: float = 0.05 * (number % 3)) -> Any:
                    began = time.monotonic()
                    time.sleep(length)
                    return began, time.monotonic()

                bare.start(number, work, slot, tmp_path / f"{number}.log")
            for event in bare.events(5):
                assert isinstance(event, Ended)
                spans[slot_of[event.number]].append(event.ending.result)
        assert sum(map(len, spans.values())) == 8
        for times in spans.values():
            ordered = sorted(times)
            assert all(a[1] <= b[0] for a, b in itertools.pairwise(ordered))


class TestStop:
    """The controller wants to leave."""

    def test_some_save_and_some_are_ended(self, tmp_path: Path) -> None:
        def saves(trial: Any) -> None:
            asked = []
            signal.signal(signal.SIGTERM, lambda *_: asked.append(1))
            trial.progress(ready=True)
            while not asked:
                time.sleep(0.01)
            trial.report(0.75, 4)
            raise KeyboardInterrupt

        def stays(trial: Any) -> None:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            trial.progress(ready=True)
            time.sleep(100)

        with Pool(SLOTS, preload=()) as pool:
            pool.start(0, saves, SLOTS[0], tmp_path / "0.log")
            pool.start(1, stays, SLOTS[1], tmp_path / "1.log")
            ready = 0
            while ready < 2:
                ready += len(pool.events(5))
            began = time.monotonic()
            endings = {ended.number: ended.ending for ended in pool.stop(1.0)}
            assert 1.0 <= time.monotonic() - began < 10
            assert pool.free == SLOTS
            assert pool.events(0) == [Report(0, 4, 0.75)]
        assert (endings[0].status, endings[0].reason) == ("failed", "interrupted")
        assert (endings[1].status, endings[1].reason) == ("died", "interrupted")
        assert endings[1].error.startswith("asked to stop, the process was killed by SIGKILL; see")

    def test_what_breaks_while_stopping_is_no_failure(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> None:
            try:
                trial.progress(ready=True)
                time.sleep(100)
            except KeyboardInterrupt:
                raise RuntimeError("a loader worker is gone") from None

        bare.start(0, work, SLOTS[0], tmp_path / "0.log")
        bare.events(10)
        (ended,) = bare.stop(10.0)
        assert (ended.ending.status, ended.ending.reason) == ("failed", "interrupted")
        assert ended.ending.error == "RuntimeError: a loader worker is gone"

    def test_leaving_by_an_error_ends_everything(self, tmp_path: Path) -> None:
        def work(trial: Any) -> None:
            (tmp_path / "pids").write_text(f"{os.getpid()} {os.getppid()} {sleeper()}")
            trial.progress(ready=True)
            time.sleep(100)

        def leave() -> None:
            with Pool(SLOTS, preload=()) as pool:
                pool.start(0, work, SLOTS[0], tmp_path / "0.log")
                pool.events(10)
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            leave()
        trial, server, grandchild = map(int, (tmp_path / "pids").read_text().split())
        assert not any(map(psutil.pid_exists, (trial, server, grandchild)))
