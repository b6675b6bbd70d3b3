"""A trained run as torch sees it: its networks, and what its own evaluation predicts of an image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.config.compose import compose
from seglab.config.own_parts import own_targets
from seglab.core.bands import Bands
from seglab.core.errors import DataError
from seglab.core.parts.plugins import require_named
from seglab.data.loading.decoding import SampleDecoder, SourceFiles
from seglab.data.manifest import Manifest
from seglab.deploy.options import ExportOptions
from seglab.experiment.parts import make_plan
from seglab.experiment.prepare.bands import recorded_bands
from seglab.experiment.prepare.records import saved_config
from seglab.experiment.prepare.resolved import resolved
from seglab.experiment.scoring.members import Member, load_model, members_of
from seglab.experiment.scoring.predictors import build_predictor, take_same_images
from seglab.inference.options import ViewOptions
from seglab.inference.predictor import Predictor
from seglab.models import Segmenter
from seglab.runs import RunRecord


@dataclass(frozen=True)
class TrainedRun:
    """A run, opened.

    Attributes:
        record: Of the training or the cross-validation.
        members: Its trainings.
        models: Their networks, float32 on the CPU, in evaluation mode.
        manifest: The data it was trained on.
        predictor: How its evaluation gets logits, with the views that were asked for.
        image_size: Working size (H, W) of images; None: each one's own.
    """

    record: RunRecord
    members: list[Member]
    models: list[Segmenter]
    manifest: Manifest
    predictor: Predictor
    image_size: tuple[int, int] | None

    @property
    def bands(self) -> Bands | None:
        """What is known of the bands; None for RGB and grey."""
        return recorded_bands(self.members[0].record.read())

    def sources(self, split: str) -> list[SourceFiles]:
        """Return the labelled samples of a split, by `sample_id`."""
        rows = set(self.manifest.split(split)["sample_id"])
        found = [one for one in self._decoder().sources() if one.sample_id in rows]
        return [one for one in found if one.mask is not None]

    def mask(self, source: SourceFiles) -> np.ndarray:
        """Return a sample's mask, uint8 `(H, W)`."""
        mask = self._decoder().mask(source)
        if mask is None:
            raise DataError(f"{source.sample_id}: expected a mask")
        return mask

    def logits(self, source: SourceFiles, size: tuple[int, int]) -> torch.Tensor:
        """Return the evaluation's logits of a sample, float32 `(num_classes, *size)`."""
        first = self.models[0]
        pixels = torch.from_numpy(self._decoder().image(source).astype(np.float32))
        mean, std = (torch.tensor(values) for values in (first.mean, first.std))
        image = ((pixels / first.full_scale - mean) / std).permute(2, 0, 1)[None]
        with torch.inference_mode():
            return self.predictor(image, size)[0].float()

    def _decoder(self) -> SampleDecoder:
        bands = self.bands
        numbers = bands.numbers if bands else None
        return SampleDecoder(self.manifest, self.image_size, self.models[0].in_channels, numbers)


def open_run(options: ExportOptions) -> TrainedRun:
    """Open a run's record, data and networks.

    Raises:
        ConfigError: It is no training and no finished cross-validation.
        RunNotFoundError: There is none, or not these weights.
        DataError: Its data is gone.
    """
    record = RunRecord.open(options.run)
    cfg = _evaluation(options, record)
    members = members_of(cfg, record)
    run_cfg = saved_config(members[0].record)
    require_named(own_targets(resolved(run_cfg)))
    manifest = Manifest.read(record.run_dir / "manifest")
    run_cfg.trainer.accelerator, run_cfg.trainer.precision = "cpu", "fp32"
    plan, _ = make_plan(run_cfg)
    models = [load_model(one, manifest.labels.num_classes, plan).float() for one in members]
    size = run_cfg.data.image_size
    return TrainedRun(
        record,
        members,
        models,
        manifest,
        build_predictor(cfg, take_same_images(models)),
        (int(size[0]), int(size[1])) if size else None,
    )


def views_of(options: ExportOptions) -> dict[str, Any]:
    """Return what the model shall see of an image, as plain content."""
    content = options.to_dict()
    return {name: content[name] for name in ViewOptions.model_fields}


def _evaluation(options: ExportOptions, record: RunRecord) -> DictConfig:
    """Return the configuration of the evaluation whose predictions the bundle is to repeat."""
    cfg = compose([], "evaluate", allow_missing=True)
    with open_dict(cfg):
        cfg.run, cfg.checkpoint = str(record.run_dir), options.checkpoint
        cfg.predict = OmegaConf.merge(cfg.predict, views_of(options))
    return cfg
