"""How trials in processes of their own end: what is told, and that nothing is left of them."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
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

from seglab.core.errors import TrainingError
from seglab.core.trial import TrialPrunedError
from seglab.engine.device.slots import Slot
from seglab.engine.process.events import Ended, Ending, Report
from seglab.engine.process.pool import Pool

# The processes need not find this file; they get its functions by value, as those of a script.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


@pytest.fixture(scope="module")
def bare() -> Iterator[Pool]:
    """A pool whose server has imported nothing; its trials must leave it as they found it."""
    with Pool([Slot("only")], preload=(), term_s=1.0) as pool:
        yield pool


def run(
    pool: Pool, work: Callable[[Any], Any], folder: Path, timeout_s: float | None = None
) -> Ending:
    """Run one trial and return how it ended; reports are answered with "go on"."""
    pool.start(0, work, pool.slots[0], folder / "trial.log", timeout_s)
    end = time.monotonic() + 60.0
    while time.monotonic() < end:
        for event in pool.events(1.0):
            if isinstance(event, Report):
                pool.answer(event.number, prune=False)
            if isinstance(event, Ended):
                return event.ending
    raise AssertionError("the trial did not end")


def sleeper() -> int:
    """Start a process that would stay for ever."""
    return subprocess.Popen(["sleep", "1000"]).pid


def _nested() -> None:
    try:
        raise MemoryError("Unable to allocate 9 GiB")
    except MemoryError as error:
        raise ValueError("augmentation failed") from error


def _exits() -> None:
    try:
        _nested()
    except ValueError as error:
        raise SystemExit(1) from error


def _exits_pruned() -> None:
    raise SystemExit(1) from TrialPrunedError("worse than others")


def _exits_interrupted() -> None:
    try:
        raise KeyboardInterrupt
    except KeyboardInterrupt:
        raise SystemExit(1)  # noqa: B904 - as Lightning does


def _fails() -> None:
    raise TrainingError("the loss is not finite:\n  - step 3\n  - step 4")


class TestRaised:
    """Whatever the work raises is an ending with a reason."""

    @pytest.mark.parametrize(
        ("function", "kind", "reason", "error"),
        [
            (
                _fails,
                "failed",
                "exception",
                "TrainingError: the loss is not finite: - step 3 - step 4",
            ),
            (_nested, "failed", "out_of_memory", "ValueError: augmentation failed"),
            (_exits, "failed", "out_of_memory", "ValueError: augmentation failed"),
            (_exits_pruned, "pruned", None, "worse than others"),
            (_exits_interrupted, "failed", "interrupted", "KeyboardInterrupt"),
            (lambda: sys.exit(3), "failed", "exception", "the work called sys.exit(3)"),
        ],
        ids=["error", "cause", "exit for a cause", "exit pruned", "exit interrupted", "exit"],
    )
    def test_reason(
        self, bare: Pool, tmp_path: Path, function: Any, kind: str, reason: str, error: str
    ) -> None:
        ending = run(bare, lambda trial: function(), tmp_path)
        assert (ending.status, ending.reason, ending.error) == (kind, reason, error)
        if kind == "failed":
            assert "Traceback (most recent call last)" in ending.traceback
            assert ending.traceback.strip() in (tmp_path / "trial.log").read_text()
            assert ending.exit_code == 1

    def test_result_that_cannot_be_sent(self, bare: Pool, tmp_path: Path) -> None:
        ending = run(bare, lambda trial: {"lock": threading.Lock()}, tmp_path)
        assert (ending.status, ending.reason) == ("failed", "exception")
        assert "result cannot be sent to its study: TypeError: cannot pickle" in ending.error
        assert "Traceback" in ending.traceback

    def test_result_that_cannot_be_read(self, bare: Pool, tmp_path: Path) -> None:
        class Broken:
            def __reduce__(self) -> Any:
                return int, ("not a number",)

        ending = run(bare, lambda trial: Broken(), tmp_path)
        assert (ending.status, ending.reason) == ("failed", "exception")
        assert "result cannot be read: ValueError: invalid literal" in ending.error

    def test_work_that_cannot_be_sent(self, bare: Pool, tmp_path: Path) -> None:
        lock = threading.Lock()
        with pytest.raises(TrainingError, match=r"trial 4: its work cannot be sent .*pickle"):
            bare.start(4, lambda trial: lock.locked(), bare.slots[0], tmp_path / "4.log")
        assert bare.free == bare.slots

    def test_work_that_cannot_be_read(self, bare: Pool, tmp_path: Path) -> None:
        class Work:
            def __reduce__(self) -> Any:
                return __import__, ("no_such_module_there",)

            def __call__(self, trial: Any) -> None: ...

        ending = run(bare, Work(), tmp_path)
        assert ending.error == "ModuleNotFoundError: No module named 'no_such_module_there'"


def _break_off(trial: Any) -> None:
    trial._inbox.sock.sendall(struct.pack("!Q", 1000) + b"half a mess")
    os.kill(os.getpid(), signal.SIGKILL)


def _close_everything(trial: Any) -> str:
    os.closerange(3, 200)
    time.sleep(0.3)
    return "nobody hears it"


class TestDied:
    """A process that says nothing any more."""

    @pytest.mark.parametrize(
        ("work", "code", "error"),
        [
            (
                lambda trial: os.kill(os.getpid(), signal.SIGKILL),
                -9,
                "the process was killed by SIGKILL (out of memory killer?); see ",
            ),
            (lambda trial: os._exit(3), 3, "the process left with exit code 3 and no result; see "),
            (_break_off, -9, "the process was killed by SIGKILL (out of memory killer?); see "),
        ],
        ids=["killed", "left", "within a message"],
    )
    def test_reason(self, bare: Pool, tmp_path: Path, work: Any, code: int, error: str) -> None:
        ending = run(bare, work, tmp_path)
        assert (ending.status, ending.reason, ending.exit_code) == ("died", "killed", code)
        assert ending.error == f"{error}{tmp_path / 'trial.log'}"
        assert bare.free == bare.slots

    def test_without_its_pipe_it_has_no_result(self, bare: Pool, tmp_path: Path) -> None:
        ending = run(bare, _close_everything, tmp_path)
        assert (ending.status, ending.reason, ending.exit_code) == ("died", "killed", 0)
        assert ending.error.startswith("the process left with exit code 0 and no result; see ")

    def test_crash_leaves_its_stack(self, bare: Pool, tmp_path: Path) -> None:
        (tmp_path / "trial.log").write_text("of an earlier attempt\n")
        ending = run(bare, lambda trial: ctypes.string_at(0), tmp_path)
        assert (ending.status, ending.exit_code) == ("died", -signal.SIGSEGV)
        assert ending.traceback.startswith("Fatal Python error: Segmentation fault")
        assert "of an earlier attempt" not in ending.traceback


class TestTimeout:
    """The time of a trial is over."""

    def test_it_may_save_first(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> str:
            try:
                time.sleep(100)
            except KeyboardInterrupt:
                trial.report(0.5, 0)
                Path("saved").write_text(str(sleeper()))
            return "in spite of that"

        def begin(trial: Any) -> str:
            os.chdir(tmp_path)
            return work(trial)

        ending = run(bare, begin, tmp_path, timeout_s=0.5)
        assert (ending.status, ending.reason) == ("failed", "timeout")
        assert ending.error == "stopped after 0.5 s, the time a trial has"
        assert ending.result == "in spite of that"
        assert not psutil.pid_exists(int((tmp_path / "saved").read_text()))

    @pytest.mark.parametrize("manner", ["ignores", "hangs"])
    def test_it_must_go(self, bare: Pool, tmp_path: Path, manner: str) -> None:
        def work(trial: Any) -> None:
            (tmp_path / "grandchild").write_text(str(sleeper()))
            if manner == "ignores":
                signal.signal(signal.SIGTERM, signal.SIG_IGN)
                time.sleep(100)
            sum(range(10**13))  # looks at no signal and lets no other thread run

        ending = run(bare, work, tmp_path, timeout_s=0.5)
        assert (ending.reason, ending.exit_code) == ("timeout", -signal.SIGKILL)
        assert 1.5 <= ending.ended - ending.started < 15
        assert not psutil.pid_exists(int((tmp_path / "grandchild").read_text()))

    def test_work_that_is_done_has_not_run_out_of_time(self, bare: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> str:
            import atexit

            atexit.register(time.sleep, 100)
            return "done"

        ending = run(bare, work, tmp_path, timeout_s=0.8)
        assert (ending.status, ending.result) == ("finished", "done")
        assert ending.exit_code == -signal.SIGKILL


class TestLeftBehind:
    """Nothing that a trial has started is there when its end is told."""

    @pytest.mark.parametrize("end", ["returns", "killed", "raises"])
    def test_grandchildren(self, bare: Pool, tmp_path: Path, end: str) -> None:
        def work(trial: Any) -> int:
            pid = sleeper()
            (tmp_path / "grandchild").write_text(str(pid))
            if end == "killed":
                os.kill(os.getpid(), signal.SIGKILL)
            if end == "raises":
                raise ValueError("no")
            return pid

        run(bare, work, tmp_path)
        assert not psutil.pid_exists(int((tmp_path / "grandchild").read_text()))

    def test_stubborn_grandchild(self, bare: Pool, tmp_path: Path) -> None:
        code = "import signal, time; signal.signal(15, signal.SIG_IGN); print(1); time.sleep(1000)"

        def work(trial: Any) -> int:
            other = subprocess.Popen([sys.executable, "-uc", code], stdout=subprocess.PIPE)
            other.stdout.readline()
            return other.pid

        assert not psutil.pid_exists(run(bare, work, tmp_path).result)
