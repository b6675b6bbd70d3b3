"""Training on a GPU: every precision, memory that runs out, exact resume, no waiting in a step."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from kornia.enhance.jpeg import jpeg_codec_differentiable
from rich.console import Console
from torch.utils._python_dispatch import TorchDispatchMode

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, TrainingError
from seglab.engine.loop.ema import WarmEma
from seglab.engine.step.micro_batch import MicroBatcher
from seglab.experiment.parts import (
    build_datamodule,
    build_model,
    build_module,
    make_plan,
    open_dataset_of,
)
from seglab.experiment.train import resume, train
from seglab.runs import RunRecord

QUIET = Console(quiet=True)
# Backward kernels on CUDA that have no deterministic form, of those seglab uses; torch warns of each.
NOT_DETERMINISTIC = (
    "upsample_bilinear2d_backward",
    "max_unpool",
    "nll_loss2d",
    "adaptive_avg_pool2d",
)


def _weights(run_dir: Path) -> dict[str, torch.Tensor]:
    checkpoint = torch.load(run_dir / "checkpoints" / "last.ckpt", "cpu", weights_only=True)
    state: dict[str, torch.Tensor] = checkpoint["state_dict"]
    return state


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_trains(
    device: str, tiny: list[str], tmp_path: Path, precision: str
) -> None:
    words = [*tiny, f"trainer.precision={precision}", "trainer.max_epochs=4", "optimizer.lr=3e-3"]
    if device == "cpu" and precision == "fp16":
        with pytest.raises(ConfigError, match="fp16 needs a GPU"):
            train(compose(words), tmp_path / "run", QUIET)
        return
    result = train(compose(words), tmp_path / "run", QUIET)
    record = RunRecord.open(result.run_dir)
    plan = record.read()["execution_plan"]
    assert (plan["accelerator"], plan["precision"]) == (device, precision)
    losses = record.history()["train/loss"].dropna()
    assert losses.iloc[-1] < losses.iloc[0]
    assert all(torch.isfinite(value).all() for value in _weights(result.run_dir).values())


@contextmanager
def _less_memory(device: str, share: float, whole: int) -> Iterator[None]:
    """Let the device hold a share of what the whole batch takes.

    A CPU's own limit is tested in `tests/experiment/test_batch_size.py`, in a process of its own;
    here passes over more than half of the batch fail as they would.
    """
    if device == "cuda":
        torch.cuda.empty_cache()
        total = torch.cuda.get_device_properties(0).total_memory
        torch.cuda.set_per_process_memory_fraction(share * whole / total)
        try:
            yield
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
        return
    run = MicroBatcher.accumulate

    def limited(batcher: MicroBatcher, *args: Any, loss_fn: Any, **kwargs: Any) -> torch.Tensor:
        def refusing(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            if len(image) > 8:
                raise torch.OutOfMemoryError("out of memory")
            result: torch.Tensor = loss_fn(image, mask)
            return result

        return run(batcher, *args, loss_fn=refusing, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MicroBatcher, "accumulate", limited)
        yield


def _taken_by_a_step(words: list[str], tmp_path: Path) -> int:
    """Return the bytes that a step reserves; what is measured after a training is of another time."""
    run, seen = MicroBatcher.accumulate, [0]

    def watched(batcher: MicroBatcher, *args: Any, **kwargs: Any) -> torch.Tensor:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        losses = run(batcher, *args, **kwargs)
        seen.append(torch.cuda.max_memory_reserved())
        return losses

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MicroBatcher, "accumulate", watched)
        train(compose(words), tmp_path / "all", QUIET)
    return max(seen)


@pytest.mark.parametrize("how", ["auto", "probe"])
def test_memory_that_runs_out_halves_the_micro_batch(
    device: str, tiny: list[str], tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A real failure on a GPU; the next training begins with what fitted."""
    side = 256 if device == "cuda" else 32
    words = [
        *tiny,
        f"data.options.image_size=[{max(side, 48)},{max(side, 48)}]",
        f"data.crop_size=[{side},{side}]",
        "data.batch_size=16",
        "model.width=64" if device == "cuda" else "model.width=4",
        "loss=ce",
        "augment=none",
        "trainer.max_epochs=1",
        "trainer.precision=fp32",
    ]
    whole = 0
    if device == "cuda":
        whole = _taken_by_a_step([*words, f"paths.cache_dir={tmp_path / 'other'}"], tmp_path)
    words.append(f"trainer.micro_batch_size={how}")
    with _less_memory(device, 0.75, whole):
        first = train(compose(words), tmp_path / "first", QUIET)
        second = train(compose(words), tmp_path / "second", QUIET)
    plans = [RunRecord.open(one.run_dir).read()["execution_plan"] for one in (first, second)]
    assert [plan["micro_batch_size"] for plan in plans] == [8, 8], caplog.text
    assert "remembered from an earlier run" in plans[1]["reasons"][-1]


def test_resumed_run_ends_where_the_whole_one_does(
    device: str, tiny: list[str], tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    """Bit by bit where no operator forbids it; else within what one step's rounding comes to."""
    words = [*tiny, "callbacks.checkpoint.every_n_steps=1", "trainer.precision=fp32", "loss=ce"]
    whole = train(compose(words), tmp_path / "whole", QUIET)
    run, taken = MicroBatcher.accumulate, []

    def stopping(batcher: MicroBatcher, *args: Any, **kwargs: Any) -> torch.Tensor:
        taken.append(1)
        if len(taken) > 5:
            raise TrainingError("stopped here")
        return run(batcher, *args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(MicroBatcher, "accumulate", stopping)
        with pytest.raises(TrainingError, match="stopped here"):
            train(compose(words), tmp_path / "stopped", QUIET)
    resumed = resume(tmp_path / "stopped", QUIET)
    first, second = _weights(whole.run_dir), _weights(resumed.run_dir)
    said = {str(one.message) for one in recwarn if "deterministic" in str(one.message)}
    unknown = [text for text in said if not any(name in text for name in NOT_DETERMINISTIC)]
    assert not unknown, "an operator forbids exact resume that is not known to"
    if said:
        for name, value in first.items():
            torch.testing.assert_close(second[name], value, rtol=1e-3, atol=1e-4, msg=name)
    else:
        assert all(torch.equal(second[name], value) for name, value in first.items())


class _Asking(TorchDispatchMode):
    """Notes operators that would wait for a GPU, asked for where a GPU would be asked, too."""

    WAIT = ("_local_scalar_dense", "nonzero", "masked_select", "_unique2", "equal")
    # What runs on a CPU alone: our checks and shortcuts there, and kornia's look at its own kernels.
    HOST = (
        *("_check_target", "_hard_pixels", "_hardness_limit_cpu", "_linearise"),
        *("gaussian_blur2d", "jpeg_codec_differentiable"),
    )

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.__name__.split(".")[0]
        flat = [one for arg in args for one in (arg if isinstance(arg, list | tuple) else [arg])]
        picks = name in ("index", "index_put_") and any(
            isinstance(one, torch.Tensor) and one.dtype == torch.bool for one in flat[1:]
        )
        if picks or name in self.WAIT:
            frames = traceback.extract_stack()[:-1]
            if not any(frame.name in self.HOST for frame in frames):
                places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in frames[-4:]]
                self.asked.append(f"{name} by {' > '.join(places)}")
        return func(*args, **(kwargs or {}))


class _NoWaiting(pl.Callback):
    """Forbids, from the end of the second step on, to wait for the device."""

    def __init__(self, device: str) -> None:
        self.device, self.steps = device, 0
        self.asking, self.forbid = _Asking(), ExitStack()

    def on_train_batch_end(self, *_: Any, **__: Any) -> None:
        self.steps += 1
        if self.steps == 2:
            self.forbid.enter_context(_waiting_forbidden(self.device, self.asking))
        if self.steps == 4:
            self.forbid.close()


@contextmanager
def _waiting_forbidden(device: str, asking: _Asking) -> Iterator[None]:
    if device == "cpu":
        with asking:
            yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize("loss", ["ce", "ce_dice", "focal", "lovasz", "ohem"])
def test_no_step_waits_for_the_device(device: str, tiny: list[str], loss: str) -> None:
    """Loader, transfer, augmentation, step and callbacks of two whole steps."""
    words = [*tiny, f"loss={loss}", "augment=strong", "augment.backend=kornia"]
    cfg = compose([*words, "trainer.gradient_clip=1.0", "optimizer=adamw"])
    dataset = open_dataset_of(cfg)
    model = build_model(cfg, dataset.labels.num_classes)
    plan, _ = make_plan(cfg, model)
    datamodule = build_datamodule(cfg, dataset, plan)
    module = build_module(cfg, dataset, model, plan, datamodule.steps_per_epoch)
    watch, ema = _NoWaiting(device), WarmEma(0.99)
    trainer = pl.Trainer(
        accelerator=device,
        devices=1,
        max_epochs=1,
        limit_val_batches=0,
        callbacks=[ema, watch],
        precision=plan.lightning_precision,  # type: ignore[arg-type]
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    # kornia fetches its tables at the first image, and waits for them.
    jpeg_codec_differentiable(torch.zeros(1, 3, 16, 16, device=device), torch.tensor([50.0]))
    try:
        trainer.fit(module, datamodule=datamodule)
    finally:
        watch.forbid.close()
    assert watch.steps == 4
    assert watch.asking.asked == []
    assert ema._average_model is not None
    assert {one.device.type for one in ema._average_model.parameters()} == {device}
