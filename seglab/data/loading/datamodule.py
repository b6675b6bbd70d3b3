"""Loaders of one data set for Lightning: which samples, in which batches, by how many workers.

The only module below the engine that knows Lightning. The trainer must be made with
`use_distributed_sampler=False`: the batch samplers here share out the batches of ranks themselves,
without the duplicates that Lightning's would add.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

import cv2
import numpy as np
import pytorch_lightning as pl
import torch
from torch.utils.data import DataLoader

from seglab.core.bands import Bands
from seglab.core.errors import DataError, list_problems, nearest
from seglab.data.loading.dataset import (
    EvalCollate,
    Mixer,
    ParamSampler,
    SegmentationDataset,
    TrainCollate,
    Transform,
)
from seglab.data.loading.sampler import EvalBatchSampler, TrainBatchSampler
from seglab.data.loading.sampling import sample_weights
from seglab.data.loading.store import SampleStore
from seglab.data.manifest import Manifest
from seglab.data.options import SamplingOptions
from seglab.data.subset import whole_fingerprint

Batch = dict[str, Any]


@dataclass(frozen=True)
class LoaderConfig:
    """How samples are loaded.

    Args:
        batch_size: Effective training batch: samples of one step over all devices.
        eval_batch_size: Largest evaluation batch of one device.
        drop_last: Leave out the short training batch at the end of an epoch.
        num_workers: Worker processes of each loader; 0 loads in the training process. Batches do
            not depend on it.
        seed: Seed of order, augmentation and mixing.
        pin_memory: Put batches into page-locked memory, for faster copies to a GPU.
        persistent_workers: Keep training workers from epoch to epoch.
        prefetch_factor: Batches each worker prepares in advance.
        start_method: How workers start: `fork`, `spawn` or `forkserver`; None is `fork` on Linux,
            where it is fastest, and elsewhere what Python does.
        sampling: Which training samples are drawn more often.
    """

    batch_size: int = 8
    eval_batch_size: int = 8
    drop_last: bool = True
    num_workers: int = 0
    seed: int = 0
    pin_memory: bool = False
    persistent_workers: bool = True
    prefetch_factor: int = 2
    start_method: str | None = None
    sampling: SamplingOptions = field(default_factory=SamplingOptions)


class TrainLoader(DataLoader[Batch]):
    """A loader whose batch sampler moves on by one epoch each time it is iterated over.

    The sampler lives in the training process, so this also reaches workers that stay alive, and an
    epoch that is left early (a limit on batches) still is followed by the next. An iterator of
    which no batch was taken does not count: Lightning makes two for one epoch when it reloads
    loaders.
    """

    def __iter__(self) -> Iterator[Batch]:  # type: ignore[override]
        """Iterate over what is left of the epoch at the sampler's position."""
        sampler = cast("TrainBatchSampler", self.batch_sampler)
        start = sampler.position
        # Not within the generator below: workers are to begin before the first batch is asked for.
        return _advancing(super().__iter__(), sampler, start)


def _advancing(
    batches: Iterator[Batch], sampler: TrainBatchSampler, start: tuple[int, int]
) -> Iterator[Batch]:
    # A position set since then is for the next iteration and must not be lost.
    if sampler.position == start:
        sampler.advance()
    yield from batches


class SegDataModule(pl.LightningDataModule):
    """Loaders for the splits of a manifest.

    Args:
        manifest: The data set.
        cache: Its packed cache, or that of the data set it is a part of (`as_part_of`).
        config: How to load.
        transform: Augmentation in the workers, for training; see `SegmentationDataset`.
        mixer: Mixing of the stacked training batch in the workers; see `TrainCollate`.
        sample_params: Draws parameters of augmentation on the device, instead of `transform`.
        split_ids: Split name -> sample ids, in place of the manifest's splits as a whole (a split
            not named here does not exist, so that nothing of a fold leaks through another split).
        bands: What is known of the bands of the images; None for RGB and grey of 8 bits.

    Raises:
        DataError: `split_ids` names samples that are not in the cache or are in more than one
            place, or the cache is of another manifest.
    """

    def __init__(
        self,
        manifest: Manifest,
        cache: SampleStore,
        config: LoaderConfig,
        transform: Transform | None = None,
        mixer: Mixer | None = None,
        sample_params: ParamSampler | None = None,
        split_ids: Mapping[str, Sequence[str]] | None = None,
        bands: Bands | None = None,
    ) -> None:
        super().__init__()
        if cache.fingerprint not in (manifest.fingerprint, whole_fingerprint(manifest)):
            raise DataError(
                f"the cache is of data set {cache.fingerprint}, the manifest is "
                f"{manifest.fingerprint}; open the cache with this manifest"
            )
        self.manifest = manifest
        self.cache = cache
        self.config = config
        self.transform = transform
        self.mixer = mixer
        self.sample_params = sample_params
        self.bands = bands
        if split_ids is None:
            names = manifest.splits()
            split_ids = {name: manifest.split(name)["sample_id"].tolist() for name in names}
        else:
            _check_disjoint(split_ids)
        # Sorted, so that an epoch's order does not depend on the order in which ids were listed.
        self._rows = {name: sorted(cache.rows(ids)) for name, ids in split_ids.items() if len(ids)}
        self._start: tuple[int, int] | None = None
        self._train_sampler: TrainBatchSampler | None = None

    def has_split(self, name: str) -> bool:
        """Return whether a split has samples."""
        return name in self._rows

    def sample_ids(self, split: str) -> list[str]:
        """Return the sample ids of a split, in the order of its data set.

        Raises:
            DataError: The split has no samples.
        """
        return [self.cache.sample_ids[row] for row in self._split_rows(split)]

    @property
    def steps_per_epoch(self) -> int:
        """Number of effective training batches in a full epoch, over any number of devices.

        Raises:
            DataError: There are no training samples, or the batch size does not fit.
        """
        return len(self._sampler(0, 1))

    def set_position(self, epoch: int, batch: int = 0) -> None:
        """Let training go on at `batch` of `epoch`, both from 0.

        Takes effect the next time the training loader is iterated over, whether that loader exists
        already or not; later iterations go on with the epochs after it.
        """
        self._start = (epoch, batch)
        if self._train_sampler is not None:
            self._train_sampler.set_position(epoch, batch)

    def train_dataloader(self) -> TrainLoader:
        """Return the training loader of this rank.

        It starts where `set_position` said, else at the epoch of the attached trainer, else at 0.

        Raises:
            DataError: There are no training samples, some have no mask, or the batch size does not
                fit.
        """
        rows = self._split_rows("train")
        bare = [self.cache.sample_ids[row] for row in rows if self.cache.mask_hw(row) is None]
        if bare:
            raise DataError(list_problems("training samples without a mask", bare))
        config = self.config
        dataset = SegmentationDataset(
            self.cache, rows, self.transform, config.seed, self.sample_params
        )
        sampler = self._sampler(*self._rank())
        epoch = 0 if self.trainer is None else self.trainer.current_epoch
        sampler.set_position(*(self._start or (epoch, 0)))
        self._train_sampler, self._start = sampler, None
        return TrainLoader(
            dataset,
            batch_sampler=sampler,
            collate_fn=TrainCollate(self.mixer, config.seed, self.manifest.labels.ignore_index),
            persistent_workers=config.persistent_workers and config.num_workers > 0,
            **self._loader_options(),
        )

    def val_dataloader(self) -> DataLoader[Batch] | list[DataLoader[Batch]]:
        """Return the loader of the split `val`; an empty list, no validation, without one."""
        return self.eval_dataloader("val") if self.has_split("val") else []

    def test_dataloader(self, split: str = "test") -> DataLoader[Batch]:
        """Return the evaluation loader of `split`."""
        return self.eval_dataloader(split)

    def eval_dataloader(self, split: str, limit: int | None = None) -> DataLoader[Batch]:
        """Return a loader of every sample of a split exactly once over all ranks, not augmented.

        Args:
            split: Name of the split.
            limit: Only so many samples, spread evenly over the split.

        Raises:
            DataError: The split has no samples.
        """
        rows = self._split_rows(split)
        if limit is not None and limit < len(rows):
            rows = [
                rows[place] for place in np.linspace(0, len(rows) - 1, limit).round().astype(int)
            ]
        shapes = [(self.cache.image_hw(row), self.cache.mask_hw(row)) for row in rows]
        sampler = EvalBatchSampler(shapes, self.config.eval_batch_size, *self._rank())
        return DataLoader(
            SegmentationDataset(self.cache, rows),
            batch_sampler=sampler,
            collate_fn=EvalCollate(),
            **self._loader_options(),
        )

    def transfer_batch_to_device(
        self, batch: Batch, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Move the tensors of a batch; `params` and true sizes stay where they are read.

        Lightning's own way takes dataclasses apart and refuses frozen ones.
        """
        return {
            name: value.to(device, non_blocking=True)
            if isinstance(value, torch.Tensor) and not name.endswith("_hw")
            else value
            for name, value in batch.items()
        }

    def teardown(self, stage: str) -> None:
        """Forget the position, so that the next fit starts afresh."""
        if stage == "fit":
            self._train_sampler = self._start = None

    def _split_rows(self, split: str) -> list[int]:
        if split not in self._rows:
            counts = [f"{name} ({len(rows)} samples)" for name, rows in self._rows.items()]
            raise DataError(
                f"{self.manifest.name!r} has no samples in split {split!r}"
                f"{nearest(split, self._rows)}; it has {', '.join(counts) or 'none at all'}. "
                "Check the manifest's columns `split` and `keep`, or import with another split"
            )
        return self._rows[split]

    def _sampler(self, rank: int, world_size: int) -> TrainBatchSampler:
        config, ids = self.config, self.sample_ids("train")
        rows = self.manifest.table.set_index("sample_id").loc[ids]
        weights = sample_weights(rows, self.manifest.labels.num_classes, config.sampling)
        return TrainBatchSampler(
            len(ids), config.batch_size, config.seed, config.drop_last, rank, world_size, weights
        )

    def _rank(self) -> tuple[int, int]:
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def _loader_options(self) -> dict[str, Any]:
        config = self.config
        options: dict[str, Any] = {
            "num_workers": config.num_workers,
            "pin_memory": config.pin_memory,
            # Without one of its own a loader draws from the global generator at each epoch, and a
            # resumed run would see other dropout masks than an uninterrupted one.
            "generator": torch.Generator().manual_seed(config.seed),
        }
        if config.num_workers > 0:
            method = config.start_method or ("fork" if sys.platform == "linux" else None)
            options.update(
                multiprocessing_context=method,
                prefetch_factor=config.prefetch_factor,
                worker_init_fn=init_worker,
            )
        return options


def init_worker(worker_id: int) -> None:
    """Keep a loader worker to one thread: there are as many workers as there is room for."""
    cv2.setNumThreads(0)
    torch.set_num_threads(1)


def _check_disjoint(split_ids: Mapping[str, Sequence[str]]) -> None:
    counts = Counter(sample_id for ids in split_ids.values() for sample_id in ids)
    problems = []
    for sample_id, count in counts.items():
        if count > 1:
            places = [name for name, ids in split_ids.items() if sample_id in ids]
            problems.append(f"{sample_id}: {count} times, in {', '.join(places)}")
    if problems:
        raise DataError(list_problems("samples in more than one place of the splits", problems))
