"""The loop around the step: moving average, checkpoints that are whole, progress."""

from __future__ import annotations

import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pytorch_lightning.trainer.states import TrainerFn
from torch import nn

from seglab.core.errors import CheckpointError, RunNotFoundError
from seglab.engine.loop.callbacks import ResumableEarlyStopping
from seglab.engine.loop.checkpoint import AtomicCheckpointIO, CheckpointWriter, read_checkpoint
from seglab.engine.loop.ema import WarmEma
from seglab.engine.loop.samples import spread_evenly


class TestAtomicCheckpoints:
    """A checkpoint on disk is the former or the new one, never a part."""

    def test_round_trip(self, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        AtomicCheckpointIO().save_checkpoint({"step": 3, "w": torch.ones(2)}, path)
        content = AtomicCheckpointIO().load_checkpoint(path)
        assert content["step"] == 3
        assert torch.equal(content["w"], torch.ones(2))
        assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]

    def test_failed_save_leaves_the_former_file(self, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        AtomicCheckpointIO().save_checkpoint({"step": 1}, path)
        with pytest.raises(Exception, match="pickle"):
            AtomicCheckpointIO().save_checkpoint({"step": lambda: 2}, path)
        assert read_checkpoint(path) == {"step": 1}
        assert [entry.name for entry in tmp_path.iterdir()] == ["last.ckpt"]

    def test_what_is_no_checkpoint_says_why(self, tmp_path: Path) -> None:
        path = tmp_path / "last.ckpt"
        with pytest.raises(RunNotFoundError, match="stopped before its first save"):
            read_checkpoint(path)
        torch.save({"model": nn.Linear(1, 1)}, path)
        pickled = (
            r"last\.ckpt is not a readable.*holds a pickled torch\.nn\.modules\.linear\.Linear"
        )
        with pytest.raises(CheckpointError, match=pickled):
            read_checkpoint(path)
        torch.save({"epoch": 1, "weights": torch.ones(2)}, path)
        missing = "has no state_dict and no global_step; it holds epoch, weights"
        with pytest.raises(CheckpointError, match=missing):
            read_checkpoint(path, ["state_dict", "global_step", "epoch"])
        torch.save([1, 2], path)
        with pytest.raises(CheckpointError, match="it holds a list"):
            read_checkpoint(path)


class _Trainer:
    """What the writer looks at, and a save that writes the step."""

    def __init__(self) -> None:
        self.global_step, self.current_epoch = 0, 0
        self.check_val_every_n_epoch = 1
        self.is_last_batch, self.is_global_zero = False, True
        self.callback_metrics: dict[str, torch.Tensor] = {}

    def save_checkpoint(self, path: Path) -> None:
        AtomicCheckpointIO().save_checkpoint({"step": self.global_step}, path)


def _end_epoch(writer: CheckpointWriter, trainer: _Trainer, score: float) -> None:
    trainer.callback_metrics = {"val/miou": torch.tensor(score)}
    writer.on_train_epoch_end(trainer, None)  # type: ignore[arg-type]
    trainer.current_epoch += 1
    trainer.global_step += 10


class TestCheckpointWriter:
    """Best and last."""

    @pytest.mark.parametrize(("mode", "best"), [("max", 1), ("min", 0)])
    def test_best_is_the_best_and_last_is_the_last(
        self, tmp_path: Path, mode: str, best: int
    ) -> None:
        writer, trainer = CheckpointWriter(tmp_path, "val/miou", mode, 0), _Trainer()
        for score in (0.2, 0.6, 0.4):
            _end_epoch(writer, trainer, score)
        assert writer.best_epoch == best
        assert read_checkpoint(writer.best_path) == {"step": 10 * best}
        assert read_checkpoint(writer.last_path) == {"step": 20}

    def test_undefined_score_is_never_best(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        writer, trainer = CheckpointWriter(tmp_path, "val/miou", "max", 0), _Trainer()
        _end_epoch(writer, trainer, float("nan"))
        assert (writer.best_epoch, writer.best_path.exists()) == (-1, False)
        _end_epoch(writer, trainer, 0.1)
        _end_epoch(writer, trainer, float("nan"))
        assert writer.best_epoch == 1
        assert [record.getMessage().partition(":")[0] for record in caplog.records] == [
            "val/miou is nan after epoch 0"
        ]

    @pytest.mark.parametrize(("mode", "sign"), [("max", 1), ("min", -1)])
    def test_infinite_score_is_never_best(self, tmp_path: Path, mode: str, sign: int) -> None:
        """A first validation loss that overflows would else stay the best until a finite one comes."""
        writer, trainer = CheckpointWriter(tmp_path, "val/miou", mode, 0), _Trainer()
        for score in (-sign * math.inf, sign * math.inf, 0.5):
            _end_epoch(writer, trainer, score)
        assert writer.best_epoch == 2

    def test_score_of_an_epoch_that_was_not_validated_does_not_count(self, tmp_path: Path) -> None:
        writer, trainer = CheckpointWriter(tmp_path, "val/miou", "max", 0), _Trainer()
        trainer.check_val_every_n_epoch = 2
        _end_epoch(writer, trainer, 0.9)
        assert writer.best_epoch == -1
        _end_epoch(writer, trainer, 0.5)
        assert writer.best_epoch == 1

    def test_state_survives_a_resume(self, tmp_path: Path) -> None:
        writer, trainer = CheckpointWriter(tmp_path, "val/miou", "max", 0), _Trainer()
        _end_epoch(writer, trainer, 0.7)
        resumed = CheckpointWriter(tmp_path, "val/miou", "max", 0)
        resumed.load_state_dict(writer.state_dict())
        _end_epoch(resumed, trainer, 0.6)
        assert resumed.best_epoch == 0

    def test_saves_within_an_epoch_but_not_at_its_last_batch(self, tmp_path: Path) -> None:
        writer, trainer = CheckpointWriter(tmp_path, "val/miou", "max", 2), _Trainer()
        saved = []
        for step in range(1, 7):
            trainer.global_step, trainer.is_last_batch = step, step == 6
            writer.on_train_batch_end(trainer, None, None, None, step)  # type: ignore[arg-type]
            if writer.last_path.exists():
                saved.append(read_checkpoint(writer.last_path)["step"])
        assert saved == [2, 2, 4, 4, 4]


class TestEarlyStopping:
    """Patience counts validations that have a score."""

    def _stop_epoch(self, mode: str, scores: list[float], caplog: pytest.LogCaptureFixture) -> int:
        stopping = ResumableEarlyStopping(
            "val/miou", patience=2, mode=mode, check_on_train_epoch_end=False, check_finite=False
        )
        trainer: Any = SimpleNamespace(
            callback_metrics={},
            should_stop=False,
            is_global_zero=True,
            current_epoch=0,
            sanity_checking=False,
            fast_dev_run=False,
            state=SimpleNamespace(fn=TrainerFn.FITTING),
            strategy=SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision),  # noqa: A006
        )
        caplog.set_level("INFO", "seglab")
        for epoch, score in enumerate(scores):
            trainer.current_epoch, trainer.callback_metrics = (
                epoch,
                {"val/miou": torch.tensor(score)},
            )
            stopping.on_validation_end(trainer, None)  # type: ignore[arg-type]
            if trainer.should_stop:
                return epoch
        return -1

    def test_nan_neither_stops_nor_counts(self, caplog: pytest.LogCaptureFixture) -> None:
        nan = math.nan
        assert self._stop_epoch("max", [0.5, nan, nan, nan, 0.6, nan, nan], caplog) == -1
        assert not caplog.records
        assert self._stop_epoch("max", [nan, 0.5, nan, 0.4, nan, 0.3], caplog) == 5
        assert caplog.messages == [
            "stopped early after epoch 5: no gain over val/miou 0.5000 in 2 validations "
            "(callbacks.early_stopping)"
        ]

    def test_infinite_loss_is_a_validation_without_gain(
        self, caplog: pytest.LogCaptureFixture
    ) -> None:
        inf = math.inf
        assert self._stop_epoch("min", [inf, 0.5, inf, 0.4], caplog) == -1
        assert self._stop_epoch("min", [0.5, inf, inf], caplog) == 2

    @pytest.mark.parametrize(("anew_at", "stops"), [(None, True), (4, True), (8, False)])
    def test_patience_begins_anew_where_a_run_is_given_more_epochs(
        self, anew_at: int | None, stops: bool
    ) -> None:
        stopping = ResumableEarlyStopping("val/miou", patience=2, begins_anew_at=anew_at)
        stopping.load_state_dict(stopping.state_dict() | {"wait_count": 2})
        trainer: Any = SimpleNamespace(global_step=8, should_stop=False)
        stopping.on_train_start(trainer, None)  # type: ignore[arg-type]
        assert trainer.should_stop is stops


@pytest.mark.parametrize(
    ("updates", "share"), [(0, 1.0), (1, 9 / 11), (10_000, 0.1)], ids=["copied", "warming", "warm"]
)
def test_moving_average_warms_up_and_copies_counters(updates: int, share: float) -> None:
    """The share of the new value: one minus the decay, (1 + 1) / (10 + 1) after one update."""
    mean, counter = torch.zeros(1), torch.tensor(3)
    WarmEma(0.9).take([mean, counter], [torch.ones(1), torch.tensor(7)], updates)
    torch.testing.assert_close(mean, torch.tensor([share]))
    assert counter == 7


@pytest.mark.parametrize(
    ("count", "expected"), [(1, ["a"]), (2, ["a", "e"]), (3, ["a", "c", "e"]), (9, list("abcde"))]
)
def test_spread_evenly_are_even_and_fixed(count: int, expected: list[str]) -> None:
    assert spread_evenly(list("abcde"), count) == expected
