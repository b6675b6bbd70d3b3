"""Predictions of single samples, for figures and trackers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import pytorch_lightning as pl
import torch
from pytorch_lightning.callbacks import Callback

from seglab.core.bands import describe_numbers, picture_of
from seglab.data.loading.datamodule import SegDataModule
from seglab.data.loading.dataset import SegmentationDataset
from seglab.engine.step.evaluation import Evaluation
from seglab.engine.step.evaluation_module import EvaluationModule
from seglab.engine.step.module import as_module
from seglab.engine.tracking.tracking import WandbView
from seglab.inference import argmax_mask
from seglab.runs import SamplePrediction

_MAX_OVERLAY_ROUNDS = 10
_Item = TypeVar("_Item")


def spread_evenly(items: Sequence[_Item], count: int) -> list[_Item]:
    """Return `count` items spread evenly over a list, always the same ones; all if there are fewer."""
    if count >= len(items):
        return list(items)
    places = np.linspace(0, len(items) - 1, count).round().astype(int)
    return [items[place] for place in places]


@torch.no_grad()
def predict_samples(
    module: EvaluationModule, datamodule: SegDataModule, sample_ids: Sequence[str]
) -> list[SamplePrediction]:
    """Predict labelled samples one by one with the module's present weights.

    Args:
        module: Around a model on any device, whose train or eval mode is put back afterwards.
        datamodule: Knows the cache the samples are in.
        sample_ids: Which samples.

    Returns:
        One prediction per sample at the size of its mask, in the order asked for.
    """
    dataset = SegmentationDataset(datamodule.cache, datamodule.cache.rows(sample_ids))
    trained = module.trained
    # After an evaluation Lightning has moved the module back to the CPU.
    module.to(trained.trainer.strategy.root_device)
    was_training = trained.training
    module.eval()
    precision = trained.trainer.precision_plugin
    predictions = []
    try:
        for index in range(len(dataset)):
            sample = dataset[index]
            mask = sample["mask"].numpy()
            stored = sample["image"][None].to(trained.device)
            with precision.forward_context():
                image = trained.prepare({"image": stored})["image"]
                logits = module.evaluation.predict(trained.model, image, mask.shape)
            prediction = argmax_mask(logits)[0].cpu().numpy()
            confidence = logits[0].float().softmax(0).amax(0).cpu().numpy()
            picture = sample["image"].permute(1, 2, 0).numpy()
            picture = picture_of(picture, datamodule.bands)
            shows = "" if datamodule.bands is None else describe_numbers(datamodule.bands.display)
            predictions.append(
                SamplePrediction(sample["sample_id"], picture, mask, prediction, confidence, shows)
            )
    finally:
        module.train(was_training)
    return predictions


class OverlayLogger(Callback):
    """Shows the same validation images with their predictions as training goes on.

    At most ten times per run, the last epoch included: pictures cost time and space. It has to come
    before a moving average in the list of callbacks, so that it predicts with the validated weights.

    Args:
        view: Where they are shown.
        num_images: How many.
    """

    def __init__(self, view: WandbView, num_images: int) -> None:
        self.view = view
        self.num_images = num_images

    def on_validation_epoch_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Predict and show, where it is this epoch's turn."""
        epochs = trainer.max_epochs or 1
        every = -(-epochs // _MAX_OVERLAY_ROUNDS)
        if not self.view.active or (epochs - 1 - trainer.current_epoch) % every:
            return
        datamodule: SegDataModule = trainer.datamodule  # type: ignore[attr-defined]
        sample_ids = spread_evenly(datamodule.sample_ids("val"), self.num_images)
        module = as_module(pl_module)
        labels = module.evaluator.labels
        self.view.log_overlays(
            "val",
            predict_samples(EvaluationModule(module, Evaluation()), datamodule, sample_ids),
            labels.class_names,
            labels.ignore_index,
            trainer.global_step,
        )
