from __future__ import annotations

import hashlib
import itertools
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import pytorch_lightning as pl
import torch
from PIL import Image

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.data.loading.cache import PackedCache
from seglab.data.loading.datamodule import LoaderConfig, SegDataModule, init_worker
from seglab.data.manifest import Manifest

SPLITS = ["train"] * 11 + ["val"] * 5 + ["unlabeled"]
LABELS = LabelSpace(("a", "b"))


@dataclass(frozen=True)
class Params:
    angle: float


def crop(
    image: np.ndarray, mask: np.ndarray, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    top, left = (int(rng.integers(0, size - 5)) for size in mask.shape)
    window = np.s_[top : top + 6, left : left + 6]
    # A warp, because OpenCV in forked workers is what has been known to hang.
    warped = cv2.flip(cv2.resize(image[window], (6, 6)), int(rng.integers(0, 2)))
    return warped, mask[window].copy()


def mix(
    images: torch.Tensor, masks: torch.Tensor, rng: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    order = torch.from_numpy(rng.permutation(len(images)))
    return images[order], masks[order]


def sample_params(
    rng: np.random.Generator, image_hw: tuple[int, int], mask: np.ndarray | None
) -> Params:
    return Params(float(rng.random()))


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("data")
    rng = np.random.default_rng(2)
    rows = []
    for number, split in enumerate(SPLITS):
        size = (9, 12) if number % 3 else (12, 9)
        path = root / f"{number}.png"
        Image.fromarray(rng.integers(0, 256, (*size, 3), dtype=np.uint8)).save(path)
        mask = rng.integers(0, 2, size, dtype=np.uint8)
        Image.fromarray(mask).save(root / f"{number}m.png")
        labelled = split != "unlabeled"
        rows.append(
            [
                *(f"s{number:02}", path.name, f"{number}m.png" if labelled else None, *size),
                *(split, "g", None, [], hashlib.sha256(path.read_bytes()).hexdigest(), None),
                *([*np.bincount(mask.ravel(), minlength=2), 0] if labelled else [], [], True),
            ]
        )
    columns = "sample_id image mask height width split group annotator tags sha256 phash"
    table = pd.DataFrame(rows, columns=[*columns.split(), "class_pixels", "flags", "keep"])
    return Manifest(table, LABELS, root, "tiny", "index", {})


@pytest.fixture(scope="module")
def cache(manifest: Manifest) -> PackedCache:
    return PackedCache.open(manifest, manifest.root / "cache")


def build(
    manifest: Manifest, cache: PackedCache, *, split_ids: Any = None, **config: Any
) -> SegDataModule:
    settings = {"batch_size": 4, "eval_batch_size": 2, "seed": 3, **config}
    return SegDataModule(
        manifest, cache, LoaderConfig(**settings), transform=crop, mixer=mix, split_ids=split_ids
    )


def assert_same(batches: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name, value in batch.items():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, other[name]), name
            else:
                assert value == other[name], name


def epochs(loader: Any, count: int) -> list[dict[str, Any]]:
    return [batch for _ in range(count) for batch in loader]


@pytest.fixture(scope="module")
def straight(manifest: Manifest, cache: PackedCache) -> list[dict[str, Any]]:
    """Three epochs of three batches in the main process: what all others are compared with."""
    return epochs(build(manifest, cache, drop_last=False).train_dataloader(), 3)


def test_epochs_go_on_and_differ(straight: list[dict[str, Any]]) -> None:
    assert [batch["epoch"] for batch in straight] == [0] * 3 + [1] * 3 + [2] * 3
    assert [batch["position"] for batch in straight] == [0, 4, 8] * 3
    orders = []
    for epoch in range(3):
        names = [
            name for batch in straight[3 * epoch : 3 * epoch + 3] for name in batch["sample_id"]
        ]
        assert sorted(names) == [f"s{number:02}" for number in range(11)]
        orders.append(tuple(names))
    assert len(set(orders)) == 3


@pytest.mark.parametrize("persistent", [True, False])
@pytest.mark.parametrize("num_workers", [1, 2])
def test_workers_do_not_change_the_batches(
    manifest: Manifest,
    cache: PackedCache,
    straight: list[dict[str, Any]],
    num_workers: int,
    persistent: bool,
) -> None:
    module = build(
        manifest, cache, drop_last=False, num_workers=num_workers, persistent_workers=persistent
    )
    assert_same(epochs(module.train_dataloader(), 3), straight)


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize(("epoch", "batch"), [(0, 1), (1, 2), (1, 3), (2, 0)])
def test_resumed_training_sees_the_same_batches(
    manifest: Manifest,
    cache: PackedCache,
    straight: list[dict[str, Any]],
    num_workers: int,
    epoch: int,
    batch: int,
) -> None:
    module = build(manifest, cache, drop_last=False, num_workers=num_workers)
    module.set_position(epoch, batch)
    loader = module.train_dataloader()
    assert len(loader) == 3
    assert_same(epochs(loader, 3 - epoch), straight[3 * epoch + batch :])


@pytest.mark.parametrize("num_workers", [0, 2])
def test_position_of_a_living_loader(
    manifest: Manifest, cache: PackedCache, straight: list[dict[str, Any]], num_workers: int
) -> None:
    module = build(manifest, cache, drop_last=False, num_workers=num_workers)
    loader = module.train_dataloader()
    # An epoch that is left early is followed by the next; what workers had prepared is thrown away.
    assert_same(list(itertools.islice(loader, 1)), straight[:1])
    assert_same(epochs(loader, 1), straight[3:6])
    module.set_position(0, 2)
    iter(loader)
    assert_same(epochs(loader, 2), straight[2:6])
    # Set while an epoch is under way it counts for the next.
    batches = iter(loader)
    module.set_position(1, 1)
    assert_same([*batches, *loader], straight[6:] + straight[4:6])


@pytest.mark.slow
def test_spawned_workers_give_the_same(
    manifest: Manifest, cache: PackedCache, straight: list[dict[str, Any]]
) -> None:
    module = SegDataModule(
        manifest,
        cache,
        LoaderConfig(batch_size=4, seed=3, drop_last=False, num_workers=1, start_method="spawn"),
        sample_params=sample_params,
    )
    batches = list(module.train_dataloader())
    assert [batch["sample_id"] for batch in batches] == [b["sample_id"] for b in straight[:3]]
    alone = SegDataModule(
        manifest,
        cache,
        LoaderConfig(batch_size=4, seed=3, drop_last=False),
        sample_params=sample_params,
    )
    assert_same(batches, list(alone.train_dataloader()))


def test_threads_of_opencv_in_the_parent_do_not_hang_workers(
    manifest: Manifest, cache: PackedCache
) -> None:
    threads = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        cv2.resize(np.zeros((2000, 2000, 3), np.uint8), (999, 999), interpolation=cv2.INTER_AREA)
        assert len(list(build(manifest, cache, num_workers=1).train_dataloader())) == 2
    finally:
        cv2.setNumThreads(threads)


def test_worker_uses_one_thread() -> None:
    before = cv2.getNumThreads(), torch.get_num_threads()
    try:
        init_worker(0)
        assert torch.get_num_threads() == 1
        assert cv2.getNumThreads() in (0, 1)
    finally:
        cv2.setNumThreads(before[0])
        torch.set_num_threads(before[1])


@pytest.mark.parametrize("num_workers", [0, 1])
def test_loaders_leave_the_global_generator_alone(
    manifest: Manifest, cache: PackedCache, num_workers: int
) -> None:
    module = build(manifest, cache, num_workers=num_workers)
    before = torch.get_rng_state()
    list(module.train_dataloader())
    list(module.eval_dataloader("val"))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("num_workers", [0, 2])
def test_eval_visits_every_sample_once_unchanged(
    manifest: Manifest, cache: PackedCache, num_workers: int
) -> None:
    module = build(manifest, cache, num_workers=num_workers)
    batches = list(module.eval_dataloader("val"))
    names = [name for batch in batches for name in batch["sample_id"]]
    assert sorted(names) == module.sample_ids("val") == ["s11", "s12", "s13", "s14", "s15"]
    for batch in batches:
        assert 1 <= len(batch["image"]) <= 2
        for place, name in enumerate(batch["sample_id"]):
            row = cache.rows([name])[0]
            image = batch["image"][place].permute(1, 2, 0).numpy()
            np.testing.assert_array_equal(image, cache.image(row))
            np.testing.assert_array_equal(batch["mask"][place].numpy(), cache.mask(row))


def test_eval_limit_takes_samples_spread_over_the_split(
    manifest: Manifest, cache: PackedCache
) -> None:
    loader = build(manifest, cache).eval_dataloader("val", limit=3)
    names = [name for batch in loader for name in batch["sample_id"]]
    assert sorted(names) == ["s11", "s13", "s15"]


def test_unlabelled_split_has_batches_without_masks(manifest: Manifest, cache: PackedCache) -> None:
    (batch,) = build(manifest, cache).test_dataloader("unlabeled")
    assert batch["sample_id"] == ["s16"]
    assert "mask" not in batch


def test_splits_that_exist_and_that_do_not(manifest: Manifest, cache: PackedCache) -> None:
    module = build(manifest, cache)
    assert [module.has_split(name) for name in ("train", "val", "test", "x")] == [True, True] + [
        False
    ] * 2
    expected = (
        r"no samples in split 'test'; it has train \(11 samples\), val \(5 samples\), unlabeled"
    )
    with pytest.raises(DataError, match=expected):
        module.test_dataloader()
    with pytest.raises(DataError, match="did you mean 'train'"):
        module.eval_dataloader("trian")


def test_steps_per_epoch(manifest: Manifest, cache: PackedCache) -> None:
    assert build(manifest, cache).steps_per_epoch == 2
    assert build(manifest, cache, drop_last=False).steps_per_epoch == 3
    with pytest.raises(DataError, match="set batch_size to 11 or less"):
        _ = build(manifest, cache, batch_size=12).steps_per_epoch


def test_ranks_of_the_trainer_share_the_batches(
    manifest: Manifest, cache: PackedCache, straight: list[dict[str, Any]]
) -> None:
    shares, validated = [], []
    for rank in range(2):
        module = build(manifest, cache)
        module.trainer = SimpleNamespace(global_rank=rank, world_size=2, current_epoch=1)
        loader = module.train_dataloader()
        assert len(loader) == module.steps_per_epoch == 2
        shares.append(list(loader))
        validated += [name for batch in module.val_dataloader() for name in batch["sample_id"]]
    for step in range(2):
        names = [name for share in shares for name in share[step]["sample_id"]]
        assert sorted(names) == sorted(straight[3 + step]["sample_id"])
    assert sorted(validated) == module.sample_ids("val")


def test_split_ids_replace_all_splits(manifest: Manifest, cache: PackedCache) -> None:
    fold = {"train": ["s12", "s03", "s01"], "val": ["s02"], "test": []}
    module = build(manifest, cache, batch_size=3, split_ids=fold)
    assert module.sample_ids("train") == ["s01", "s03", "s12"]
    assert [module.has_split(name) for name in ("val", "test", "unlabeled")] == [True, False, False]
    reordered = {"train": ["s01", "s12", "s03"], "val": ["s02"]}
    other = build(manifest, cache, batch_size=3, split_ids=reordered)
    assert_same(list(module.train_dataloader()), list(other.train_dataloader()))


@pytest.mark.parametrize(
    ("split_ids", "message"),
    [
        ({"train": ["s01", "s02"], "val": ["s02"]}, "s02: 2 times, in train, val"),
        ({"train": ["s01", "s01"]}, "s01: 2 times, in train"),
        ({"train": ["s01", "s99"]}, "- s99"),
    ],
)
def test_split_ids_that_leak_or_are_unknown(
    manifest: Manifest, cache: PackedCache, split_ids: dict[str, list[str]], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        build(manifest, cache, split_ids=split_ids)


def test_training_without_samples_or_masks(manifest: Manifest, cache: PackedCache) -> None:
    module = build(manifest, cache, split_ids={"train": [], "val": ["s01"]})
    with pytest.raises(DataError, match=r"no samples in split 'train'.*val \(1 samples\)"):
        module.train_dataloader()
    module = build(manifest, cache, split_ids={"train": ["s01", "s16"]})
    with pytest.raises(DataError, match="without a mask:\n  - s16"):
        module.train_dataloader()


def test_cache_of_another_manifest_is_refused(manifest: Manifest, cache: PackedCache) -> None:
    changed = manifest.with_table(manifest.table.assign(group="h"))
    with pytest.raises(DataError, match="open the cache with this manifest"):
        build(changed, cache)


class Recorder(pl.LightningModule):
    """Keeps what the steps are given."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[tuple[int, int]] = []
        self.validated: list[str] = []
        self.params: list[Any] = []

    def training_step(self, batch: dict[str, Any], batch_idx: int) -> torch.Tensor:
        self.seen.append((batch["epoch"], batch["position"]))
        self.params += batch.get("params", [])
        return self.weight * batch["image"].float().mean()

    def validation_step(self, batch: dict[str, Any], batch_idx: int) -> None:
        self.validated += batch["sample_id"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def make_trainer(**settings: Any) -> pl.Trainer:
    quiet = dict.fromkeys(
        ("logger", "enable_checkpointing", "enable_progress_bar", "enable_model_summary"), False
    )
    return pl.Trainer(
        accelerator="cpu",
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        **{"max_epochs": 3, **quiet, **settings},
    )


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_lightning_iterates_once_an_epoch(
    manifest: Manifest, cache: PackedCache, num_workers: int
) -> None:
    module = build(manifest, cache, num_workers=num_workers)
    model = Recorder()
    make_trainer().fit(model, module)
    assert model.seen == [(epoch, start) for epoch in range(3) for start in (0, 4)]
    assert sorted(model.validated) == sorted(module.sample_ids("val") * 3)
    # A second fit starts afresh; a position set before it counts.
    again = Recorder()
    make_trainer(max_epochs=1, limit_val_batches=0).fit(again, module)
    assert again.seen == [(0, 0), (0, 4)]
    module.set_position(5, 1)
    later = Recorder()
    make_trainer(max_epochs=1, limit_train_batches=1).fit(later, module)
    assert later.seen == [(5, 4)]


@pytest.mark.filterwarnings("ignore")
def test_lightning_goes_on_after_limited_epochs_and_reloads(
    manifest: Manifest, cache: PackedCache
) -> None:
    limited = Recorder()
    make_trainer(limit_train_batches=1).fit(limited, build(manifest, cache))
    assert limited.seen == [(0, 0), (1, 0), (2, 0)]
    reloaded = Recorder()
    make_trainer(reload_dataloaders_every_n_epochs=1).fit(reloaded, build(manifest, cache))
    assert reloaded.seen == [(epoch, start) for epoch in range(3) for start in (0, 4)]


class SaveEveryStep(pl.Callback):
    """Writes `<global step>.ckpt` after each step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_train_batch_end(self, trainer: pl.Trainer, *unused: Any) -> None:
        trainer.save_checkpoint(self.folder / f"{trainer.global_step}.ckpt")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("num_workers", [0, 1])
def test_lightning_resumes_within_an_epoch(
    manifest: Manifest, cache: PackedCache, tmp_path: Path, num_workers: int
) -> None:
    whole = Recorder()
    module = build(manifest, cache, drop_last=False)
    make_trainer(callbacks=[SaveEveryStep(tmp_path)], limit_val_batches=0).fit(whole, module)
    for step in (1, 2, 3, 4, 8):
        module = build(manifest, cache, drop_last=False, num_workers=num_workers)
        module.set_position(*divmod(step, module.steps_per_epoch))
        resumed = Recorder()
        path = tmp_path / f"{step}.ckpt"
        make_trainer(limit_val_batches=0).fit(resumed, module, ckpt_path=path, weights_only=False)
        assert resumed.seen == whole.seen[step:]


@pytest.mark.filterwarnings("ignore")
def test_lightning_without_val_and_with_frozen_params(
    manifest: Manifest, cache: PackedCache
) -> None:
    module = SegDataModule(
        manifest,
        cache,
        LoaderConfig(batch_size=3),
        sample_params=sample_params,
        split_ids={"train": ["s00", "s01", "s02"]},
    )
    model = Recorder()
    make_trainer(max_epochs=2).fit(model, module)
    assert model.seen == [(0, 0), (1, 0)]
    assert len(set(model.params)) == 6
    assert all(isinstance(params, Params) for params in model.params)
    assert model.validated == []
