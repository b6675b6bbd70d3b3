"""The keys under `cv`, one class a scheme: a key that a scheme would ignore is no key of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from seglab.config.fields import Bounds, NotNegative, Positive

AtLeastTwo = Annotated[int, Bounds(2)]
InnerScheme = Literal["kfold", "stratified", "grouped", "stratified_grouped", "block"]


@dataclass
class NoFolds:
    """One training on the splits of the data set."""

    scheme: Literal["none"]


@dataclass
class _Folds:
    folds: AtLeastTwo
    splits: list[Literal["train", "val", "test"]]
    fold: NotNegative | str | None
    workers: Positive | Literal["auto"]
    allow_leaks: bool


@dataclass
class _Groups:
    group_by: Literal["auto", "column", "pattern", "near_duplicates"]
    group_pattern: str | None
    max_hash_distance: Annotated[int, Bounds(0, 64)]


@dataclass
class RandomFolds(_Folds):
    """Folds at random, with or without balance of the classes."""

    scheme: Literal["kfold", "stratified"]
    repeats: Positive


@dataclass
class GroupedFolds(_Folds, _Groups):
    """Folds that keep groups together."""

    scheme: Literal["grouped", "stratified_grouped"]
    repeats: Positive
    leak_report: bool


@dataclass
class BlockFolds(_Folds, _Groups):
    """Consecutive frames."""

    scheme: Literal["block"]
    gap: NotNegative
    leak_report: bool


@dataclass
class NestedFolds(_Folds, _Groups):
    """Folds inside folds."""

    scheme: Literal["nested"]
    repeats: Positive
    gap: NotNegative
    inner_folds: AtLeastTwo
    inner_scheme: InnerScheme


SCHEMES: dict[str, type] = {
    "none": NoFolds,
    "kfold": RandomFolds,
    "stratified": RandomFolds,
    "grouped": GroupedFolds,
    "stratified_grouped": GroupedFolds,
    "block": BlockFolds,
    "nested": NestedFolds,
}
