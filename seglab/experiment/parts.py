"""Turns a validated configuration into objects: the one place where parts meet."""

from __future__ import annotations

import functools
import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from seglab.augment import (
    AugmentParams,
    AugmentSpec,
    BatchMixer,
    DeviceAugment,
    Uint8Augment,
    sample_params,
)
from seglab.core.bands import Bands
from seglab.core.disk.urls import is_url, url_text
from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.core.seeding import derive_seed, generator
from seglab.data.description.describe import empty_splits
from seglab.data.importers import open_dataset
from seglab.data.loading.datamodule import LoaderConfig, SegDataModule
from seglab.data.loading.store import SampleStore
from seglab.data.manifest import Manifest
from seglab.data.options import SamplingOptions
from seglab.data.remote import DEFAULT_GB, place_of, use_file_cache
from seglab.data.subset import subset_train
from seglab.engine.device.facts import Device, inspect_device
from seglab.engine.device.plan import ExecutionPlan, choose_plan
from seglab.engine.options import PlanOptions
from seglab.engine.step.batches import Batch, DeviceAugmentFn
from seglab.engine.step.module import SegmentationModule, StepSettings
from seglab.experiment.prepare.bands import open_cache_of
from seglab.experiment.prepare.batch_size import build_micro_batcher, learning_rates
from seglab.experiment.prepare.building import (
    build_metrics,
    build_model_of,
    build_term,
    optimizer_factory,
    schedule_factory,
)
from seglab.experiment.prepare.folds import as_the_fold_sees_it
from seglab.experiment.prepare.initial_weights import INIT_FROM
from seglab.experiment.prepare.resolved import resolved
from seglab.losses import WeightedSum
from seglab.losses.class_weights import resolve_class_weights
from seglab.models import Segmenter

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Dataset:
    """A manifest with its cache: everything a model can be trained or scored on.

    Attributes:
        manifest: The samples.
        cache: Their pixels.
        trained_on: Manifest that anything fitted comes from; None: `manifest` itself. Another one
            where a run is scored on data it was not trained on.
        bands: What is known of the bands; None for RGB and grey of 8 bits.
    """

    manifest: Manifest
    cache: SampleStore
    trained_on: Manifest | None = None
    bands: Bands | None = None

    @property
    def labels(self) -> LabelSpace:
        """Classes and ignored index."""
        return self.manifest.labels

    @property
    def fitted_on(self) -> Manifest:
        """The manifest whose training split class weights and frequencies come from."""
        return self.trained_on or self.manifest


def open_dataset_of(cfg: DictConfig, trains: bool = False) -> Dataset:
    """Open, import on first use, and cache the data set that `cfg.data` names, as its fold sees it.

    Args:
        cfg: A configuration.
        trains: Whether it has to be fit to train on.

    Raises:
        DataError: Then, that it has nothing to train on or to choose the best weights on.
    """
    manifest = open_manifest_of(cfg)
    part = part_of(cfg, manifest)
    if trains:
        _require_splits(part)
    # One cache for all folds.
    return Dataset(part, open_cache_of(cfg, manifest))


def _require_splits(manifest: Manifest) -> None:
    """Refuse data without a training or validation split before anything is decoded or built."""
    counts = manifest.splits()
    if counts["train"] and counts["val"]:
        return
    why = "; ".join(empty_splits(manifest))
    raise DataError(
        f"data set {manifest.name}: {why}. A training learns from train and chooses the best weights on "
        "val: share the samples out with `seglab data split MANIFEST --out FOLDER`, or import them with "
        "a val split (data.options.val_fraction=0.2 where the importer has it)"
    )


def part_of(cfg: DictConfig, manifest: Manifest) -> Manifest:
    """Return the part of a data set that a training sees: its fold, and a share of the training."""
    share = cfg.data.get("train_fraction", 1.0)
    return subset_train(as_the_fold_sees_it(cfg, manifest), share, cfg.seed)


def open_manifest_of(cfg: DictConfig) -> Manifest:
    """Open, importing on first use, the whole data set that `cfg.data` names."""
    data, paths = cfg.data, cfg.paths
    # Configurations of former versions have no limit.
    use_file_cache(Path(paths.cache_dir), paths.get("file_cache_gb", DEFAULT_GB))
    return open_dataset(
        name=data.name,
        importer=data.importer,
        root=_path(data.root),
        manifest=_path(data.manifest),
        options=resolved(data.options),
        data_dir=Path(paths.data_dir).expanduser(),
    )


def make_plan(
    cfg: DictConfig, model: Segmenter | None = None, train_images: int | None = None
) -> tuple[ExecutionPlan, Device]:
    """Choose the execution plan for the device `cfg.trainer` asks for, and for what is known of the run.

    Args:
        cfg: What is trained, and for how long.
        model: The network; None: not built yet.
        train_images: Images of an epoch; None: not known yet.
    """
    trainer = cfg.trainer
    settings = PlanOptions.read(
        {name: trainer[name] for name in PlanOptions.model_fields}, "trainer"
    )
    device = inspect_device(settings.accelerator, settings.devices)
    micro = trainer.micro_batch_size
    steps = None
    if train_images is not None:
        per_epoch = max(1, train_images // cfg.data.batch_size)
        limit = trainer.get("limit_train_batches")
        steps = trainer.max_epochs * min(per_epoch, limit or per_epoch)
    plan = choose_plan(
        settings,
        device,
        micro if isinstance(micro, int) else None,
        model,
        steps,
        _batch_bytes(cfg, model, device.num_devices),
    )
    return plan, device


def _batch_bytes(cfg: DictConfig, model: Segmenter | None, num_devices: int) -> int:
    """Return what a device's share of a training batch takes on its way from a worker."""
    height, width = cfg.data.crop_size
    channels = 3 if model is None else len(model.mean)
    bytes_a_value = 1 if model is None or model.full_scale == 255.0 else 4
    share = -(-cfg.data.batch_size // num_devices)
    return int(share * height * width * (channels * bytes_a_value + 1))


def build_datamodule(cfg: DictConfig, dataset: Dataset, plan: ExecutionPlan) -> SegDataModule:
    """Return loaders whose augmentation runs where the configuration and the device say."""
    spec = AugmentSpec.read(resolved(cfg.augment), "augment")
    labels, crop = dataset.labels, tuple(cfg.data.crop_size)
    augmentation: dict[str, Any]
    if spec.resolve_backend(plan.accelerator, plan.num_workers) == "kornia":
        draw = functools.partial(_draw, spec, crop, labels.ignore_index)
        augmentation = {"sample_params": draw}
    else:
        transform = Uint8Augment(spec, crop, labels.ignore_index, dataset.bands)
        mixer = build_mixer(spec, dataset.fitted_on)
        augmentation = {"transform": transform, "mixer": mixer}
    config = LoaderConfig(
        batch_size=cfg.data.batch_size,
        eval_batch_size=cfg.data.eval_batch_size,
        drop_last=cfg.data.drop_last,
        num_workers=plan.num_workers,
        seed=cfg.seed,
        pin_memory=plan.accelerator == "cuda",
        # Configurations of former versions have no key for it.
        sampling=SamplingOptions.read(resolved(cfg.data).get("sampling", {}), "data.sampling"),
    )
    return SegDataModule(
        dataset.manifest, dataset.cache, config, bands=dataset.bands, **augmentation
    )


def _draw(
    spec: AugmentSpec,
    crop: tuple[int, int],
    ignore_index: int,
    rng: np.random.Generator,
    image_hw: tuple[int, int],
    mask: np.ndarray | None,
) -> AugmentParams:
    return sample_params(spec, rng, image_hw, crop, mask, ignore_index)


def class_pixels(manifest: Manifest, split: str = "train") -> np.ndarray:
    """Return pixel counts per class and image of one split, int64 `(N, num_classes)`, ignored left out."""
    rows = manifest.split(split)
    counts = [row for row in rows["class_pixels"] if row is not None and len(row)]
    if not counts:
        raise DataError(f"data set {manifest.name}: split '{split}' has no labelled samples")
    return np.array(counts, dtype=np.int64)[:, : manifest.labels.num_classes]


def build_model(cfg: DictConfig, num_classes: int, bands: Bands | None = None) -> Segmenter:
    """Build the network; its random weights depend on `cfg.seed` alone.

    Its channels and what images are normalised by follow the bands of the data, where there are any.
    """
    torch.manual_seed(derive_seed(cfg.seed, "init"))
    node = {key: value for key, value in resolved(cfg.model).items() if key != INIT_FROM}
    channels = len(bands.numbers) if bands else node.get("in_channels") or 3
    model = build_model_of(node, num_classes, channels, tuple(cfg.data.crop_size))
    if bands is not None:
        model.normalise_by(bands)
    return model


def build_loss(cfg: DictConfig, dataset: Dataset) -> WeightedSum:
    """Build the loss; class weights come from the pixels of the training split only."""
    of_the_sum = resolved(cfg.loss.class_weights)
    terms = {}
    for name, term in cfg.loss.terms.items():
        own = resolved(term.get("class_weights"))
        choice = of_the_sum if own is None else own
        weights = None
        if choice != "none":
            weights = resolve_class_weights(choice, class_pixels(dataset.fitted_on))
        terms[name] = build_term(f"loss.terms.{name}", resolved(term), dataset.labels, weights)
    return WeightedSum(terms, resolved(cfg.loss.weights))


def build_module(
    cfg: DictConfig, dataset: Dataset, model: Segmenter, plan: ExecutionPlan, steps_per_epoch: int
) -> SegmentationModule:
    """Build the LightningModule with everything a step needs around a model."""
    if plan.compile:
        model.compile(mode=plan.compile_mode)
    loss = build_loss(cfg, dataset)
    total_steps = steps_per_epoch * cfg.trainer.max_epochs
    build_schedule = schedule_factory(resolved(cfg.scheduler), total_steps, steps_per_epoch)
    rates = learning_rates(cfg)
    build_optimizer = optimizer_factory(resolved(cfg.optimizer), rates.lr, rates.encoder_lr)
    settings = StepSettings(
        seed=cfg.seed,
        gradient_clip=cfg.trainer.gradient_clip,
        memory_format=plan.torch_memory_format,
        monitor=cfg.monitor.metric,
        # Configurations recorded before there was a choice have none.
        whole_batch_losses=cfg.trainer.get("whole_batch_losses", "approximate"),
    )
    return SegmentationModule(
        model,
        loss,
        dataset.labels,
        factories=(build_optimizer, build_schedule),
        settings=settings,
        micro_batcher=build_micro_batcher(cfg, dataset.manifest, plan, model.min_train_batch),
        device_augment=_device_augment(cfg, dataset, plan),
        extra_metrics=build_metrics(resolved(cfg.metrics.get("extra")) or {}, dataset.labels),
    )


def _device_augment(
    cfg: DictConfig, dataset: Dataset, plan: ExecutionPlan
) -> DeviceAugmentFn | None:
    spec = AugmentSpec.read(resolved(cfg.augment), "augment")
    if spec.resolve_backend(plan.accelerator, plan.num_workers) != "kornia":
        return None
    labels = dataset.labels
    augment = DeviceAugment(spec, tuple(cfg.data.crop_size), labels.ignore_index, dataset.bands)
    mixer = build_mixer(spec, dataset.fitted_on)

    def apply(batch: Batch) -> Batch:
        image, mask = augment(
            batch["image"], batch["mask"], batch["params"], batch["mask_hw"].tolist()
        )
        if mixer is not None:
            image, mask = mixer(
                image, mask, generator(cfg.seed, "mix", batch["epoch"], batch["position"])
            )
        return {**batch, "image": image, "mask": mask}

    return apply


def build_mixer(spec: AugmentSpec, manifest: Manifest) -> BatchMixer | None:
    """Return the batch mixer, or None where no mixing is asked for."""
    if spec.mixing.total == 0:
        return None
    labels = manifest.labels
    frequency = class_pixels(manifest).sum(axis=0)
    return BatchMixer(spec.mixing, labels.ignore_index, labels.num_classes, frequency)


def with_absolute_paths(cfg: DictConfig) -> DictConfig:
    """Return a copy whose paths hold wherever the run is resumed or evaluated from."""
    cfg = cfg.copy()
    for node, key in (
        (cfg.data, "root"),
        (cfg.data, "manifest"),
        (cfg.model, "encoder_weights"),
        (cfg.model, INIT_FROM),
        (cfg.paths, "data_dir"),
        (cfg.paths, "cache_dir"),
        (cfg.paths, "runs_dir"),
    ):
        value = node.get(key)
        if value and is_url(value):
            node[key] = url_text(value)
        elif value and (key != "encoder_weights" or Path(value).expanduser().is_file()):
            node[key] = os.path.normpath(Path(value).expanduser().absolute())
    return cfg


def _path(value: str | None) -> Path | None:
    return place_of(value) if value else None
