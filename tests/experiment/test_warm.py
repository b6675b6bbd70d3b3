"""The server with torch and all else imported: what is forked from it computes, and shares nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cloudpickle
import numpy as np
import psutil
import pytest
import torch

from seglab.config.compose import compose
from seglab.engine.device.slots import VISIBLE, Slot
from seglab.engine.process.events import Ended, Ending
from seglab.engine.process.pool import PRELOAD, Pool
from tests import training

cloudpickle.register_pickle_by_value(sys.modules[__name__])

THREADS = {"OMP_NUM_THREADS": "2", "MKL_NUM_THREADS": "2", VISIBLE: "MIG-1,MIG-2"}
TINY = [
    *training.TINY,
    "trainer.max_epochs=2",
    "trainer.accelerator=cpu",
    "callbacks.overlays.num_images=2",
]
SLOTS = [Slot("first", THREADS), Slot("second", THREADS | {"OMP_NUM_THREADS": "1"})]


# Notes who starts CUDA, or asks the driver, which does not survive a fork either.
CUDA_SPY = """
import torch, traceback
CALLS, WATCHED = [], []
def watch(place, name):
    former = getattr(place, name, None)
    if former is None:
        return
    def watched(*args, **kwargs):
        CALLS.append(name + chr(10) + "".join(traceback.format_stack()))
        return former(*args, **kwargs)
    setattr(place, name, watched)
    WATCHED.append(name)
watch(torch.cuda, "_lazy_init")
for name in ("_cuda_init", "_cuda_getDeviceCount", "_cuda_setDevice"):
    watch(torch._C, name)
"""


@pytest.fixture(scope="module")
def warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pool]:
    """A pool as sweeps use it, with a watch on CUDA."""
    folder = tmp_path_factory.mktemp("modules")
    (folder / "cuda_spy.py").write_text(CUDA_SPY)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(folder))
        with Pool(SLOTS, ["cuda_spy", *PRELOAD], term_s=2.0) as pool:
            pool.wait_warm()
            yield pool


def run(pool: Pool, work: Callable[[Any], Any], folder: Path, slot: int = 0) -> Ending:
    """Run one trial and return how it ended."""
    pool.start(0, work, pool.slots[slot], folder / "trial.log", timeout_s=120.0)
    while True:
        for event in pool.events(60.0):
            if isinstance(event, Ended):
                return event.ending


class TestServer:
    """What the server must be for its children to be sound."""

    def test_has_started_nothing(self, warm: Pool, tmp_path: Path) -> None:
        pid = run(warm, lambda trial: os.getppid(), tmp_path).result
        server = psutil.Process(pid)
        assert server.children() == []
        # One for Python; libraries keep threads of their own that know how to be forked.
        names = [Path(f"/proc/{pid}/task/{one.id}/comm").read_text() for one in server.threads()]
        assert [name for name in names if "jemalloc" not in name] == ["python\n"]

    def test_leaves_cuda_alone(self, warm: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> Any:
            import cuda_spy

            return cuda_spy.WATCHED, cuda_spy.CALLS

        watched, calls = run(warm, work, tmp_path).result
        assert "_lazy_init" in watched
        assert calls == []

    def test_controller_needs_no_torch(self) -> None:
        code = (
            "import sys, seglab.engine.process.pool; "
            "print([m for m in ('torch', 'numpy') if m in sys.modules])"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert done.stdout == "[]\n"


class TestTrial:
    """What a trial does with what the server imported."""

    @pytest.mark.parametrize("slot", [0, 1])
    def test_computes_in_threads(self, warm: Pool, tmp_path: Path, slot: int) -> None:
        def work(trial: Any) -> Any:
            torch.manual_seed(0)
            net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 4, 3))
            image = torch.randn(4, 3, 64, 64)
            for _ in range(3):
                net(image).square().mean().backward()
            square = np.eye(600) @ np.ones((600, 600))
            gradient = net[0].weight.grad.sum().item()
            return gradient, square.sum(), torch.get_num_threads(), torch.get_num_interop_threads()

        gradient, total, threads, interop = run(warm, work, tmp_path, slot).result
        torch.manual_seed(0)
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 4, 3))
        image = torch.randn(4, 3, 64, 64)
        for _ in range(3):
            net(image).square().mean().backward()
        assert gradient == pytest.approx(net[0].weight.grad.sum().item(), rel=1e-3)
        assert total == 360_000
        assert threads == interop == (2, 1)[slot]

    def test_is_not_late(self, warm: Pool, tmp_path: Path) -> None:
        delays = []
        for _ in range(5):
            began = time.monotonic()
            delays.append(run(warm, lambda trial: time.monotonic(), tmp_path).result - began)
        # A fresh process needs seconds for its imports; this is hundredths on an idle machine.
        assert min(delays) < 0.5

    def test_sees_its_devices_alone(self, warm: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> Any:
            loaded = [name in sys.modules for name in ("torch", "pytorch_lightning", "timm")]
            return loaded, torch.cuda.is_initialized(), os.environ[VISIBLE]

        assert run(warm, work, tmp_path).result == ([True] * 3, False, "MIG-1,MIG-2")

    def test_random_numbers_are_its_own(self, warm: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> Any:
            import random

            return random.random(), float(np.random.rand()), float(torch.rand(()))

        draws = [run(warm, work, tmp_path).result for _ in range(3)]
        for stream in zip(*draws, strict=True):
            assert len(set(stream)) == 3

    def test_loader_workers_live_on_while_it_saves(self, warm: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> Any:
            asked = []
            signal.signal(signal.SIGTERM, lambda *_: asked.append(True))
            loader = torch.utils.data.DataLoader(range(40), batch_size=2, num_workers=2)
            total = 0
            for step, batch in enumerate(loader):
                if step == 2:
                    trial.progress(first_step=True)
                    while not asked:
                        time.sleep(0.01)
                total += int(batch.sum())
            (tmp_path / "saved").write_text(f"{total} {len(asked)}")
            raise KeyboardInterrupt

        warm.start(0, work, warm.slots[0], tmp_path / "trial.log")
        warm.events(30)
        (ended,) = warm.stop(30.0)
        assert (ended.ending.status, ended.ending.reason) == ("failed", "interrupted")
        assert (tmp_path / "saved").read_text() == "780 1"
        assert ended.ending.first_step_s > 0

    @pytest.mark.skipif(sys.platform != "linux", reason="the limit is one of Linux")
    def test_torch_out_of_memory(self, tmp_path: Path) -> None:
        def work(trial: Any) -> int:
            kept = torch.ones(16 * 2**20)  # 64 MiB
            return torch.ones(256 * 2**20).numel() + kept.numel()

        with Pool(SLOTS, ["torch"], memory_gb=0.5) as pool:
            ending = run(pool, work, tmp_path)
        assert (ending.status, ending.reason) == ("failed", "out_of_memory")
        assert "RuntimeError" in ending.error
        assert "memory" in ending.error


@pytest.mark.slow
class TestTraining:
    """A whole training as a trial."""

    def test_imports_nothing_more(self, warm: Pool, tmp_path: Path) -> None:
        def work(trial: Any) -> Any:
            before = set(sys.modules)
            metrics = _train([*TINY, f"paths.runs_dir={tmp_path}"])
            return metrics, sorted({name.split(".")[0] for name in set(sys.modules) - before})

        metrics, roots = run(warm, work, tmp_path).result
        assert 0 <= metrics["val/miou"] <= 1
        # Each of these takes long to import, and is meant to be there already.
        heavy = {
            "torch",
            "pytorch_lightning",
            "timm",
            "pyarrow",
            "pandas",
            "scipy",
            "cv2",
            "optuna",
        }
        assert not heavy & set(roots)

    def test_on_two_processes(self, warm: Pool, tmp_path: Path) -> None:
        words = [*TINY, f"paths.runs_dir={tmp_path}", "trainer.devices=2", "trainer.max_epochs=1"]
        ending = run(warm, lambda trial: _train(words), tmp_path)
        assert ending.status == "finished", ending.traceback
        assert 0 <= ending.result["val/miou"] <= 1


def _train(words: list[str]) -> dict[str, float]:
    from rich.console import Console

    from seglab.experiment.train import train

    return train(compose(words), console=Console(quiet=True)).metrics
