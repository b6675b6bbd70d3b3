"""Two processes train one model: the same integers as one process, one record, no orphan."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from seglab.config.compose import compose
from seglab.experiment.train import train
from seglab.runs import RunRecord


@pytest.mark.slow
def test_two_processes_score_the_same_integers_as_one(tiny: list[str], tmp_path: Path) -> None:
    # 26 images in groups of 2: the evaluation splits do not divide by two processes evenly.
    words = [
        *tiny, "data.options.num_images=26", "data.eval_batch_size=1", "optimizer.lr=0.0",
        "optimizer.weight_decay=0.0", "trainer.precision=fp32", "model.dropout=0.0",
        "trainer.max_epochs=1", "data.options.val_fraction=0.25", "logger=none",
    ]  # fmt: skip
    # With a learning rate of zero the weights stay as they are drawn; only the counting differs.
    command = [sys.executable, "-m", "seglab.cli", "train", *words, "trainer.devices=2"]
    done = subprocess.run(
        [*command, f"hydra.run.dir={tmp_path / 'two'}"], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    two = RunRecord.open(tmp_path / "two")
    assert two.read()["execution_plan"]["num_devices"] == 2
    assert two.status == "finished"
    one = RunRecord.open(train(compose(words), tmp_path / "one", Console(quiet=True)).run_dir)
    keys = [key for key in one.history() if key.startswith("val/") and "loss" not in key]
    assert len(keys) > 10
    # Batch statistics follow each process's own images, so only what BN does not touch is compared
    # here: how many pixels and images were counted.
    assert two.history()["val/num_images_averaged"].equals(one.history()["val/num_images_averaged"])
    assert np.array_equal(two.confusion("val").sum(axis=1), one.confusion("val").sum(axis=1))
    assert set(two.per_image()["sample_id"]) == set(one.per_image()["sample_id"])


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tiny: list[str], tmp_path: Path) -> None:
    """Each takes its share of a batch; averaged, their gradient is that of the whole batch."""
    words = [
        *tiny, "trainer.precision=fp32", "trainer.max_epochs=1", "model=unet",
        "model.encoder_name=resnet18", "model.freeze_encoder=true", "logger=none",
        "trainer.limit_train_batches=1", "augment=none", "loss=ce", "optimizer=sgd",
    ]  # fmt: skip
    words = [
        word
        for word in words
        if not word.startswith(("model.width", "model.kernel", "model.dropout"))
    ]
    weights = []
    for devices in (1, 2):
        run_dir = tmp_path / str(devices)
        command = [sys.executable, "-m", "seglab.cli", "train", *words, f"hydra.run.dir={run_dir}"]
        done = subprocess.run(
            [*command, f"trainer.devices={devices}"], capture_output=True, text=True, timeout=300
        )
        assert done.returncode == 0, done.stderr[-2000:]
        path = run_dir / "checkpoints" / "last.ckpt"
        weights.append(torch.load(path, weights_only=True)["state_dict"])
    head = [key for key in weights[0] if "head" in key and key.endswith("weight")]
    assert head
    for key in head:
        torch.testing.assert_close(weights[0][key], weights[1][key], rtol=0.05, atol=2e-3)
