"""A trained model, ready to be scored on any split and to predict any sample."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytorch_lightning as pl
from torch import Tensor

from seglab.core.labels import LabelSpace
from seglab.data.loading.datamodule import SegDataModule
from seglab.engine.loop.samples import predict_samples
from seglab.engine.step.evaluation import EvalResult, Evaluation, Observer
from seglab.engine.step.evaluation_module import EvaluationModule
from seglab.engine.step.module import SegmentationModule
from seglab.runs import SamplePrediction


@dataclass(frozen=True)
class Scorer:
    """Scores and predicts in one way, whatever is asked for.

    Attributes:
        trainer: Runs the loop, on one device and without callbacks.
        trained: The model with the weights to score.
        datamodule: Of the data.
        evaluation: How logits come about.
    """

    trainer: pl.Trainer
    trained: SegmentationModule
    datamodule: SegDataModule
    evaluation: Evaluation = field(default_factory=Evaluation)

    @property
    def labels(self) -> LabelSpace:
        """Classes and ignored index."""
        return self.trained.evaluator.labels

    def module(self) -> EvaluationModule:
        """Return the model as a network that predicts as it is scored."""
        return EvaluationModule(self.trained, self.evaluation)

    def score(
        self,
        split: str,
        observers: Sequence[Observer] = (),
        corrupt: Callable[[Tensor, Sequence[str]], Tensor] | None = None,
        limit: int | None = None,
    ) -> EvalResult:
        """Score the present weights on a split.

        Args:
            split: train (as it is stored, not augmented), val or test.
            observers: What else looks at each batch.
            corrupt: As of `Evaluation`.
            limit: Images at the most, spread evenly over the split.
        """
        asked = replace(self.evaluation, split=split, observers=observers, corrupt=corrupt)
        module = EvaluationModule(self.trained, asked)
        loader = self.datamodule.eval_dataloader(split, limit)
        self.trainer.validate(module, dataloaders=loader, verbose=False)
        return module.evaluator.compute()

    def predict(self, sample_ids: Sequence[str]) -> list[SamplePrediction]:
        """Predict labelled samples one by one; see `predict_samples`."""
        return predict_samples(self.module(), self.datamodule, sample_ids)
