"""The worst that can happen to the processes of a sweep: nothing hangs, nothing is left over."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cloudpickle
import psutil
import pytest

from seglab.core.errors import TrainingError
from seglab.engine.device.slots import Slot
from seglab.engine.process.events import Ended, Ending
from seglab.engine.process.pool import Pool

cloudpickle.register_pickle_by_value(sys.modules[__name__])

SLOTS = [Slot("first"), Slot("second")]
ROOT = Path(__file__).resolve().parents[3]


def ending_of(pool: Pool, number: int = 0, limit_s: float = 30.0) -> Ending:
    """Wait for the end of a trial."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        for event in pool.events(1.0):
            if isinstance(event, Ended) and event.number == number:
                return event.ending
    raise AssertionError(f"trial {number} did not end")


def wait_until(holds: Callable[[], bool], limit_s: float = 20.0) -> bool:
    """Return whether something holds in time."""
    end = time.monotonic() + limit_s
    while time.monotonic() < end:
        if holds():
            return True
        time.sleep(0.05)
    return False


def is_gone(pid: int) -> bool:
    """Tell whether a process does nothing any more; nobody may be there to collect it."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def script(folder: Path, body: str) -> list[str]:
    """Return the command of a script without a `__main__` guard."""
    path = folder / "script.py"
    head = """
        import json, os, signal, subprocess, sys, time
        from pathlib import Path
        from seglab.engine.device.slots import Slot
        from seglab.engine.process.events import Ended, Report
        from seglab.engine.process.pool import Pool
        HERE = Path(__file__).parent
    """
    path.write_text(textwrap.dedent(head) + textwrap.dedent(body))
    return [sys.executable, str(path)]


def started(folder: Path, body: str) -> subprocess.Popen[str]:
    """Run such a script in a session of its own, as in a terminal of its own."""
    return subprocess.Popen(
        script(folder, body),
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=hears_ctrl_c,
    )


def hears_ctrl_c() -> None:
    """A test that was itself started in the background would have it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


class TestController:
    """The controller is killed, interrupted, or a plain script."""

    @pytest.mark.slow
    def test_killed_controller_leaves_nothing(self, tmp_path: Path) -> None:
        body = """
        def work(manner):
            def run(trial):
                others = [subprocess.Popen(["sleep", "1000"]).pid for _ in range(2)]
                (HERE / manner).write_text(json.dumps([os.getpid(), os.getppid(), *others]))
                if manner == "stays":
                    signal.signal(signal.SIGTERM, signal.SIG_IGN)
                trial.progress(ready=True)
                if manner == "hangs":
                    sum(range(10**13))
                try:
                    time.sleep(1000)
                finally:
                    (HERE / "saved").write_text(manner)
            return run

        names = ["saves", "stays", "hangs"]
        slots = [Slot(name) for name in names]
        with Pool(slots, preload=(), orphan_s=1.0) as pool:
            for number, name in enumerate(names):
                pool.start(number, work(name), slots[number], HERE / f"{name}.log")
            ready = 0
            while ready < len(names):
                ready += len(pool.events(5))
            print("ready", flush=True)
            time.sleep(1000)
        """
        controller = started(tmp_path, body)
        assert controller.stdout is not None
        assert controller.stdout.readline() == "ready\n"
        pids = [pid for name in ("saves", "stays", "hangs") for pid in _pids(tmp_path / name)]
        assert len(set(pids)) == 3 * 3 + 1
        assert not any(map(is_gone, pids))
        controller.kill()
        controller.wait()
        assert wait_until(lambda: all(map(is_gone, pids)))
        assert (tmp_path / "saved").read_text() == "saves"
        assert (
            "the controller is gone; stopping, within 1 s" in (tmp_path / "saves.log").read_text()
        )
        assert (tmp_path / "stays.log").read_text().splitlines()[-1] == "did not stop; leaving"

    def test_killed_controller_and_server_leave_nothing(self, tmp_path: Path) -> None:
        body = """
        def work(trial):
            other = subprocess.Popen(["sleep", "1000"]).pid
            (HERE / "pids").write_text(json.dumps([os.getpid(), os.getppid(), other]))
            trial.progress(ready=True)
            time.sleep(1000)

        with Pool([Slot("only")], preload=(), orphan_s=1.0) as pool:
            pool.start(0, work, pool.slots[0], HERE / "0.log")
            pool.events(10)
            print("ready", flush=True)
            time.sleep(1000)
        """
        controller = started(tmp_path, body)
        assert controller.stdout is not None
        controller.stdout.readline()
        pids = _pids(tmp_path / "pids")
        os.kill(pids[1], signal.SIGKILL)
        controller.kill()
        controller.wait()
        assert wait_until(lambda: all(map(is_gone, pids)))

    def test_ctrl_c_reaches_the_controller_alone(self, tmp_path: Path) -> None:
        body = """
        def work(trial):
            trial.report(0.5, 0)
            return "not disturbed"

        with Pool([Slot("only")], preload=()) as pool:
            pool.start(0, work, pool.slots[0], HERE / "0.log")
            pool.events(10)
            try:
                print("ready", flush=True)
                time.sleep(1000)
            except KeyboardInterrupt:
                time.sleep(0.3)
                pool.answer(0, prune=False)
                print(pool.events(10)[0].ending.result)
                pool.start(1, lambda trial: "the server neither", pool.slots[0], HERE / "1.log")
                print(pool.events(10)[0].ending.result)
        """
        controller = started(tmp_path, body)
        assert controller.stdout is not None
        controller.stdout.readline()
        os.killpg(controller.pid, signal.SIGINT)
        out, _ = controller.communicate(timeout=30)
        assert out.splitlines() == ["not disturbed", "the server neither"]

    def test_second_ctrl_c_ends_everything(self, tmp_path: Path) -> None:
        body = """
        def work(trial):
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
            (HERE / "pids").write_text(json.dumps([os.getpid(), os.getppid()]))
            trial.progress(ready=True)
            time.sleep(1000)

        with Pool([Slot("only")], preload=()) as pool:
            pool.start(0, work, pool.slots[0], HERE / "0.log")
            pool.events(10)
            print("ready", flush=True)
            time.sleep(1000)
        """
        controller = started(tmp_path, body)
        assert controller.stdout is not None
        controller.stdout.readline()
        for _ in range(2):
            os.killpg(controller.pid, signal.SIGINT)
            time.sleep(0.5)
        controller.wait(timeout=30)
        assert wait_until(lambda: all(map(is_gone, _pids(tmp_path / "pids"))))

    def test_script_without_a_guard_runs_once(self, tmp_path: Path) -> None:
        body = """
        with (HERE / "runs").open("a") as stream:
            stream.write("ran\\n")

        class Answer:
            def __init__(self, value):
                self.value = value

        def work(trial):
            return Answer(trial.number + OFFSET)

        OFFSET = 40
        with Pool([Slot("only")], preload=()) as pool:
            for number in range(3):
                pool.start(number, work, pool.slots[0], HERE / "0.log")
                answer = pool.events(10)[0].ending.result
                assert isinstance(answer, Answer)
                print(answer.value)
            print("torch" in sys.modules)
        """
        controller = started(tmp_path, body)
        out, _ = controller.communicate(timeout=30)
        assert out.splitlines() == ["40", "41", "42", "False"]
        assert (tmp_path / "runs").read_text() == "ran\n"


def _pids(path: Path) -> list[int]:
    return list(map(int, json.loads(path.read_text())))


class TestServer:
    """The process that all trials are forked from."""

    def test_killed_server_costs_no_trial(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        def work(trial: Any) -> Any:
            other = subprocess.Popen(["sleep", "1000"]).pid
            trial.progress(server=os.getppid())
            trial.report(0.5, 0)
            return other

        def killed(trial: Any) -> None:
            trial.progress(ready=True)
            time.sleep(1000)

        with Pool(SLOTS, preload=()) as pool:
            pool.start(0, work, SLOTS[0], tmp_path / "0.log")
            server = pool.events(10)[0].facts["server"]  # type: ignore[union-attr]
            pool.start(1, killed, SLOTS[1], tmp_path / "1.log", timeout_s=1.5)
            os.kill(server, signal.SIGKILL)
            assert ending_of(pool, 1).reason == "timeout"
            pool.answer(0, prune=False)
            ending = ending_of(pool, 0)
            assert (ending.status, ending.exit_code) == ("finished", None)
            assert wait_until(lambda: is_gone(ending.result))
            pool.start(2, lambda trial: os.getppid(), SLOTS[0], tmp_path / "2.log")
            assert ending_of(pool, 2).result != server
        messages = [record.getMessage() for record in caplog.records]
        assert "forked from ended with code -9; running trials go on" in " ".join(messages)

    def test_server_killed_between_trials_is_replaced(self, tmp_path: Path) -> None:
        with Pool(SLOTS, preload=()) as pool:
            pool.start(0, lambda trial: os.getppid(), SLOTS[0], tmp_path / "0.log")
            server = ending_of(pool, 0).result
            os.kill(server, signal.SIGKILL)
            wait_until(lambda: is_gone(server))
            pool.start(1, lambda trial: trial.number, SLOTS[0], tmp_path / "1.log")
            assert ending_of(pool, 1).result == 1

    def test_server_that_cannot_start(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "module_that_leaves.py").write_text(
            "import os, sys; sys.stderr.write('no licence\\n'); sys.stderr.flush(); os._exit(7)"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        with Pool(SLOTS, preload=["module_that_leaves"]) as pool:
            with pytest.raises(TrainingError, match="ended with code 7: no licence"):
                pool.start(0, print, SLOTS[0], tmp_path / "0.log")
            assert pool.free == SLOTS

    def test_leaving_does_not_wait_for_imports(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (tmp_path / "module_that_takes_long.py").write_text("import time; time.sleep(60)")
        monkeypatch.syspath_prepend(str(tmp_path))
        began = time.monotonic()
        with Pool(SLOTS, ["module_that_takes_long"]):
            pass
        assert time.monotonic() - began < 10

    def test_slow_start_says_why(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / "module_that_fails.py").write_text("raise RuntimeError('no libcuda')")
        (tmp_path / "module_with_thread.py").write_text(
            "import threading, time\n"
            "threading.Thread(target=time.sleep, args=(99,), name='busy', daemon=True).start()"
        )
        monkeypatch.syspath_prepend(str(tmp_path))
        names = ["module_that_fails", "module_that_is_missing", "module_with_thread", "calendar"]
        with caplog.at_level(logging.WARNING), Pool(SLOTS, preload=names) as pool:
            pool.start(0, lambda trial: "calendar" in sys.modules, SLOTS[0], tmp_path / "0.log")
            assert ending_of(pool).result is True
        said = "\n".join(record.getMessage() for record in caplog.records)
        assert "module_that_fails cannot be imported: RuntimeError: no libcuda" in said
        assert "module_that_is_missing cannot be imported: ModuleNotFoundError" in said
        assert "threads do not survive a fork, but these run: busy" in said

    def test_two_pools_have_servers_of_their_own(self, tmp_path: Path) -> None:
        def loaded(trial: Any) -> list[bool]:
            return [name in sys.modules for name in ("calendar", "wave")]

        with Pool(SLOTS, ["calendar"]) as first, Pool(SLOTS, ["wave"]) as second:
            for pool in (first, second):
                pool.start(0, loaded, SLOTS[0], tmp_path / "0.log")
            assert ending_of(first).result == [True, False]
            assert ending_of(second).result == [False, True]


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
class TestMemory:
    """A trial has as much memory as it is given, whatever the server holds."""

    def test_beyond_the_limit_the_trial_fails_alone(self, tmp_path: Path) -> None:
        def takes(count: int) -> Callable[[Any], int]:
            # Written to, so that it is really there.
            return lambda trial: len(bytearray(b"x") * (count * 2**20))

        (tmp_path / "holds_memory.py").write_text("HELD = bytearray(b'x') * (300 * 2**20)")
        sys.path.insert(0, str(tmp_path))
        try:
            with Pool(SLOTS, ["holds_memory"], memory_gb=0.25) as pool:
                pool.start(0, takes(200), SLOTS[0], tmp_path / "0.log")
                pool.start(1, takes(300), SLOTS[1], tmp_path / "1.log")
                endings: dict[int, Ending] = {}
                while len(endings) < 2:
                    endings |= {
                        event.number: event.ending
                        for event in pool.events(5)
                        if isinstance(event, Ended)
                    }
                pool.start(2, takes(200), SLOTS[1], tmp_path / "2.log")
                assert ending_of(pool, 2).result == 200 * 2**20
        finally:
            sys.path.remove(str(tmp_path))
        assert endings[0].result == 200 * 2**20
        assert (endings[1].status, endings[1].reason) == ("failed", "out_of_memory")
        assert endings[1].error == "MemoryError"
        assert "Traceback" in endings[1].traceback

    def test_everything_taken_is_still_told(self, tmp_path: Path) -> None:
        def work(trial: Any) -> None:
            held = []
            size = 2**20
            while True:
                try:
                    held.append(bytearray(size))
                except MemoryError:
                    if size < 64:
                        raise
                    size //= 2

        with Pool(SLOTS, preload=(), memory_gb=0.1) as pool:
            pool.start(0, work, SLOTS[0], tmp_path / "0.log")
            ending = ending_of(pool)
        assert (ending.status, ending.reason) == ("failed", "out_of_memory")

    def test_trials_are_killed_before_others(self, tmp_path: Path) -> None:
        def work(trial: Any) -> int:
            return int(Path("/proc/self/oom_score_adj").read_text())

        with Pool(SLOTS, preload=()) as pool:
            pool.start(0, work, SLOTS[0], tmp_path / "0.log")
            assert ending_of(pool).result == 300
