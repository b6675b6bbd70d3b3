"""The keys under `cv`, one class a scheme: a key that a scheme would ignore is no key of it."""

from __future__ import annotations

from typing import Annotated, Literal

from annotated_types import Interval

from seglab.core.options import NotNegative, Options, Positive

AtLeastTwo = Annotated[int, Interval(ge=2)]
InnerScheme = Literal["kfold", "stratified", "grouped", "stratified_grouped", "block"]


class NoFolds(Options):
    """One training on the splits of the data set."""

    scheme: Literal["none"]


class _Folds(Options):
    folds: AtLeastTwo
    splits: list[Literal["train", "val", "test"]]
    fold: NotNegative | str | None
    workers: Positive | Literal["auto"]
    allow_leaks: bool


class _Groups(Options):
    group_by: Literal["auto", "column", "pattern", "near_duplicates"]
    group_pattern: str | None
    max_hash_distance: Annotated[int, Interval(ge=0, le=64)]


class RandomFolds(_Folds):
    """Folds at random, with or without balance of the classes."""

    scheme: Literal["kfold", "stratified"]
    repeats: Positive


class GroupedFolds(_Folds, _Groups):
    """Folds that keep groups together."""

    scheme: Literal["grouped", "stratified_grouped"]
    repeats: Positive
    leak_report: bool


class BlockFolds(_Folds, _Groups):
    """Consecutive frames."""

    scheme: Literal["block"]
    gap: NotNegative
    leak_report: bool


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
