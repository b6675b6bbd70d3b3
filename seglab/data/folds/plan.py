"""Folds and the plan that holds them: which sample is trained on, held out or left out in which.

On disk a plan is `folds.parquet`, which is complete in itself (one row per fold and sample), and
`folds.yaml`, its readable companion with settings, sizes and hashes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd

from seglab.core.disk.files import hash_json
from seglab.core.errors import DataError, list_problems, nearest
from seglab.data.folds import storage
from seglab.data.folds.options import FoldSettings
from seglab.data.manifest import Manifest

ROLES = ("train", "val", "test", "left_out")


@dataclass(frozen=True)
class Fold:
    """One training of a cross-validation; ids are in natural order and in one role only.

    Args:
        repeat: Which shuffle, from 0.
        number: Which fold of it (for `nested`: which outer fold), from 0.
        inner: Which fold inside the outer one, from 0; None where there are none.
        train_ids: Samples to train on.
        val_ids: Samples held out: to score on, or for `nested` to choose by.
        test_ids: For `nested`: samples of the outer fold, to score on at the very end.
        left_out_ids: Samples of the pool that take no part: too close to held-out ones.
    """

    repeat: int
    number: int
    inner: int | None
    train_ids: tuple[str, ...]
    val_ids: tuple[str, ...]
    test_ids: tuple[str, ...] = ()
    left_out_ids: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """For example `r0-f2`, or `r0-f2-i1` inside an outer fold."""
        inner = "" if self.inner is None else f"-i{self.inner}"
        return f"r{self.repeat}-f{self.number}{inner}"

    @property
    def roles(self) -> dict[str, tuple[str, ...]]:
        """Role -> sample ids, also of roles without samples."""
        ids = (self.train_ids, self.val_ids, self.test_ids, self.left_out_ids)
        return dict(zip(ROLES, ids, strict=True))

    @property
    def split_ids(self) -> dict[str, tuple[str, ...]]:
        """Split -> sample ids, without empty splits; as the datamodule takes them.

        With these, all folds share the packed cache of the one manifest.
        """
        return {role: ids for role, ids in self.roles.items() if ids and role != "left_out"}

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that stand for who is in which role."""
        return hash_json([self.repeat, self.number, self.inner, self.roles])


@dataclass(frozen=True)
class FoldPlan:
    """All folds of a cross-validation of one manifest.

    Args:
        settings: How they were cut.
        manifest_fingerprint: Fingerprint of the manifest they were cut from.
        folds: By repeat, number and inner number.
        groups: Sample id -> group (for blocks: sequence) of every pooled sample; the sample's own
            id where nothing is known.
    """

    settings: FoldSettings
    manifest_fingerprint: str
    folds: tuple[Fold, ...]
    groups: Mapping[str, str]

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits that stand for settings, manifest, folds and groups."""
        folds = [fold.hash for fold in self.folds]
        content = [self.settings.to_dict(), self.manifest_fingerprint, folds, dict(self.groups)]
        return hash_json(content)

    def fold(self, name: str) -> Fold:
        """Return the fold of a name such as `r0-f2`.

        Raises:
            DataError: There is none of this name.
        """
        folds = {fold.name: fold for fold in self.folds}
        if name not in folds:
            raise DataError(f"no fold {name!r}{nearest(name, folds)}; folds are {', '.join(folds)}")
        return folds[name]

    def outer_folds(self) -> tuple[Fold, ...]:
        """Return the outer folds of a nested plan: what is trained once the inner ones have chosen.

        They train on all that the inner folds share out, have nothing to validate on, and hold the
        outer part as test. A plan that is not nested has none.
        """
        inside: dict[tuple[int, int], list[Fold]] = {}
        for fold in self.folds:
            if fold.inner is not None:
                inside.setdefault((fold.repeat, fold.number), []).append(fold)
        outer = []
        for (repeat, number), folds in inside.items():
            # Each sample of the outer training part is held out by exactly one inner fold.
            part = {sample_id for fold in folds for sample_id in fold.val_ids}
            train = tuple(sample_id for sample_id in self.groups if sample_id in part)
            out = tuple(name for name in folds[0].left_out_ids if name not in part)
            outer.append(Fold(repeat, number, None, train, (), folds[0].test_ids, out))
        return tuple(outer)

    def require_manifest(self, manifest: Manifest) -> None:
        """Check that the plan was made for a manifest.

        Raises:
            DataError: It was made for another one.
        """
        if not manifest.is_of(self.manifest_fingerprint):
            raise DataError(
                f"the folds were made for data set {self.manifest_fingerprint}, the manifest "
                f"{manifest.name!r} is {manifest.fingerprint}; make the folds again"
            )

    def table(self) -> pd.DataFrame:
        """Return one row per fold and sample.

        Columns `repeat`, `fold`, `inner` (-1: none) are int, `sample_id`, `role` (`train`, `val`,
        `test`, `left_out`) and `group` text.
        """
        rows = [
            (fold.repeat, fold.number, -1 if fold.inner is None else fold.inner, name, role)
            for fold in self.folds
            for role, ids in fold.roles.items()
            for name in ids
        ]
        table = pd.DataFrame(rows, columns=["repeat", "fold", "inner", "sample_id", "role"])
        return table.assign(group=table["sample_id"].map(dict(self.groups)))

    def write(self, folder: Path) -> Path:
        """Write `folds.parquet` and `folds.yaml` into `folder`; return the Parquet path."""
        sizes = [
            {"name": fold.name, "hash": fold.hash}
            | {role: len(ids) for role, ids in fold.roles.items()}
            for fold in self.folds
        ]
        head = {
            "hash": self.hash,
            "manifest_fingerprint": self.manifest_fingerprint,
            "settings": self.settings.to_dict(),
            "folds": sizes,
        }
        return storage.write(folder, self.table(), list(self.groups.items()), head)

    @classmethod
    def read(cls, folder: Path) -> FoldPlan:
        """Read a plan from a folder, or from its Parquet file.

        Raises:
            DataNotFoundError: There is no such file.
            DataError: The file is damaged, of another version, or was changed since it was written.
        """
        stored = storage.read(folder)
        # Not regular parts of the table: folds in which a role is empty have no rows for it.
        found: dict[tuple[int, int, int], dict[str, list[str]]] = {}
        for repeat, number, inner, sample_id, role in stored.rows:
            roles = found.setdefault((repeat, number, inner), {role: [] for role in ROLES})
            roles.setdefault(role, []).append(sample_id)
        folds = [
            Fold(repeat, number, None if inner < 0 else inner, *(tuple(roles[r]) for r in ROLES))
            for (repeat, number, inner), roles in found.items()
        ]
        head = stored.head
        plan = cls(
            FoldSettings.read(head["settings"]),
            head["manifest_fingerprint"],
            tuple(folds),
            dict(stored.groups),
        )
        if plan.hash != head["hash"]:
            raise DataError(
                f"{stored.file} says hash {head['hash']} but its content has {plan.hash}: it was "
                "changed outside seglab; make the folds again"
            )
        return plan


def fold_manifest(manifest: Manifest, fold: Fold) -> Manifest:
    """Return the data set as one fold sees it: its samples with `split` of the fold.

    Everything else gets `keep=False` and its former split: samples left out by a gap, unlabeled
    ones, and an official test split, which no fold may look at. The fingerprint is another one than
    that of `manifest`; to share a packed cache among folds use `Fold.split_ids`.

    Raises:
        DataError: The manifest does not have, or does not keep, samples of the fold.
    """
    table = manifest.table.copy()
    split_of = {name: split for split, ids in fold.split_ids.items() for name in ids}
    kept = set(table.loc[table["keep"], "sample_id"])
    missing = [name for name in split_of if name not in kept]
    if missing:
        title = f"{manifest.name!r} has no kept sample for these of fold {fold.name}"
        raise DataError(list_problems(title, missing))
    inside = table["sample_id"].isin(list(split_of))
    table.loc[inside, "split"] = table.loc[inside, "sample_id"].map(split_of)
    table["keep"] = inside
    return manifest.with_table(table)
