"""The LightningModule that scores a trained one on a split."""

from __future__ import annotations

import pytorch_lightning as pl
from torch import Tensor, nn

from seglab.engine.step.batches import Batch
from seglab.engine.step.evaluation import Evaluation, Evaluator
from seglab.engine.step.module import SegmentationModule


class EvaluationModule(pl.LightningModule):
    """Scores the present weights of a model through the same step as the validation in training.

    Args:
        trained: Model, loss and normalisation.
        evaluation: What is scored, and how.

    Attributes:
        evaluator: Has the result once `Trainer.validate` is done.
    """

    def __init__(self, trained: SegmentationModule, evaluation: Evaluation) -> None:
        super().__init__()
        self.trained = trained
        # As a part of the module they go to its device with it.
        self.companions = nn.ModuleList(evaluation.companions)
        self.evaluation = evaluation
        self.evaluator = Evaluator(
            trained.evaluator.labels, trained.loss.num_terms, evaluation, trained.evaluator.extra
        )

    def forward(self, image: Tensor) -> Tensor:
        """Return the logits `(B, num_classes, H, W)` of normalised images, as they are scored."""
        return self.evaluation.predict(
            self.trained.model, image, (image.shape[-2], image.shape[-1])
        )

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Corrupt where that is asked for, normalise."""
        if self.evaluation.corrupt is not None:
            image = self.evaluation.corrupt(batch["image"], batch["sample_id"])
            batch = {**batch, "image": image}
        return self.trained.prepare(batch)

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        """Score one batch at the masks' own size."""
        self.evaluator.update(self.trained.model, self.trained.loss, batch)
