"""The options of cross-validation, as in `conf/cv/*.yaml`: a scheme takes those it heeds, no others."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from annotated_types import Interval
from pydantic import field_validator, model_validator

from seglab.core.options import FromList, NotNegative, Options, Positive, broken_rule
from seglab.core.parts.components import component
from seglab.core.problems import show

AtLeastTwo = Annotated[int, Interval(ge=2)]
InnerScheme = Literal["kfold", "stratified", "grouped", "stratified_grouped", "block"]
# Unlabeled samples can be neither trained on nor scored.
PooledSplit = Literal["train", "val", "test"]
_GROUPED: tuple[str, ...] = ("grouped", "stratified_grouped")


class _Cut(Options):
    """How a data set is cut, for every scheme."""

    folds: AtLeastTwo = 5
    """Number of folds; of the outer ones for `nested`."""
    splits: Annotated[tuple[PooledSplit, ...], FromList] = ("train", "val")
    """Splits of the manifest that are pooled and cut; the others take no part at all."""
    allow_leaks: bool = False
    """Go on where one file lies on both sides of a fold."""

    @field_validator("splits")
    @classmethod
    def _is_each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value or len(set(value)) < len(value):
            raise broken_rule(f"expected at least one split, each once, got {show(list(value))}")
        return value

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        problems = [*_cut_problems(self), *_group_problems(self)]
        if problems:
            raise broken_rule(*problems)
        return self


class _Repeats(Options):
    """Schemes that shuffle."""

    repeats: Positive = 1
    """How often everything is shuffled and cut anew."""


class _Groups(Options):
    """What must stay together."""

    group_by: Literal["auto", "column", "pattern", "near_duplicates"] = "auto"
    """Where groups (for `block`: sequences) come from. `column`: the manifest's `group`. `pattern`: the
    sample id. `near_duplicates`: images that look alike, joined with the column where it says something.
    `auto`: the column where it says something; else grouped schemes are refused, and `block` takes
    everything for one sequence."""
    group_pattern: str | None = None
    """For `pattern`: a regular expression searched for in the sample id; its one bracket (or the bracket
    named `group`) is the group."""
    max_hash_distance: Annotated[int, Interval(ge=0, le=64)] = 4
    """Images are near duplicates when their perceptual hashes (64 bits) differ in at most so many bits.
    Unrelated images differ in 32 on average, but among many thousands some pairs come down to about 10:
    beyond 8 everything tends to be joined."""


class _Gap(Options):
    """What is too close to held-out frames."""

    gap: NotNegative = 0
    """For `block`: samples left out of training on both sides of a held-out block, within its sequence."""


class _Inner(Options):
    """Folds inside folds."""

    inner_folds: AtLeastTwo = 3
    """Number of folds inside each outer one."""
    inner_scheme: InnerScheme = "stratified"
    """The scheme of outer and inner folds."""


class _Training(Options):
    """How the folds are trained."""

    fold: NotNegative | str | None = None
    """Train one fold alone: its number, or r1-f2 with repeats; joined by `seglab cv collect`."""
    workers: Positive | Literal["auto"] = "auto"
    """Folds trained at once; `auto`: one a GPU. On a CPU they share its threads."""
    save_probabilities: bool | Literal["tta"] = False
    """Keep the probabilities of all classes of held-out images, which `seglab data audit --run` ranks label
    errors by; without them it goes by the predicted class and its confidence. `tta` averages those of
    mirrored and rescaled views (as `predict=tta`), which rank a little better; scores stay those of the
    image as it is."""


class _LeakReport(Options):
    """By how much other folds would flatter."""

    leak_report: bool = False
    """Train random folds too and print by how much they flatter."""


class FoldSettings(_Inner, _Gap, _Groups, _Repeats, _Cut):
    """Settings of `make_folds`.

    Raises:
        ConfigError: Settings are out of range or contradict each other; all of them are listed.
    """

    scheme: InnerScheme | Literal["nested"]
    """`kfold`: at random. `stratified`: classes occur alike in all folds. `grouped`: groups stay whole.
    `stratified_grouped`: both. `block`: consecutive frames of each sequence. `nested`: folds to choose
    by inside folds to test on."""
    seed: int = 0
    """Which of the possible cuts."""

    @property
    def cut_scheme(self) -> str:
        """The scheme that draws the folds: `inner_scheme` for `nested`, else `scheme`."""
        return _cut_scheme(dict(self))

    @property
    def nested(self) -> bool:
        """Whether folds lie inside folds."""
        return self.scheme == "nested"

    @property
    def grouped(self) -> bool:
        """Whether groups are promised to stay whole."""
        return self.cut_scheme in _GROUPED


@component("cv", "none")
class NoFolds(Options):
    """One training on the splits of the data set."""

    scheme: Literal["none"]
    """No folds."""


@component("cv", "stratified")
@component("cv", "kfold")
class RandomFolds(_Training, _Repeats, _Cut):
    """Folds at random, with or without balance of the classes."""

    scheme: Literal["kfold", "stratified"]
    """At random, or so that classes occur alike in all folds."""


@component("cv", "stratified_grouped")
@component("cv", "grouped")
class GroupedFolds(_LeakReport, _Training, _Groups, _Repeats, _Cut):
    """Folds that keep groups together."""

    scheme: Literal["grouped", "stratified_grouped"]
    """Groups stay whole, with or without balance of the classes."""


@component("cv", "block")
class BlockFolds(_LeakReport, _Training, _Gap, _Groups, _Cut):
    """Blocks of consecutive frames of each sequence."""

    scheme: Literal["block"]
    """Consecutive frames are held out together."""


@component("cv", "nested")
class NestedFolds(_Training, _Inner, _Gap, _Groups, _Repeats, _Cut):
    """Folds inside folds: outer ones to test on, inner ones to choose by."""

    scheme: Literal["nested"]
    """Folds inside folds."""


def _cut_problems(settings: _Cut) -> Iterator[str]:
    """Yield what the scheme and the way of cutting say against each other."""
    given = dict(settings)
    block, gap, repeats = (
        _cut_scheme(given) == "block",
        given.get("gap", 0),
        given.get("repeats", 1),
    )
    if block and repeats > 1:
        yield (
            f"repeats must be 1 for blocks, got {repeats}: nothing is shuffled, so every repeat would "
            "have the same blocks"
        )
    # A nested plan may carry a gap along for the case that its inner scheme is `block`.
    if gap > 0 and not block and given["scheme"] != "nested":
        yield f"gap counts only for scheme block, got {gap} for others: set 0"
    if block and given.get("group_by") == "near_duplicates":
        yield (
            "group_by=near_duplicates finds no sequences, which blocks are cut from; use column, "
            "pattern or auto, or scheme=grouped"
        )


def _group_problems(settings: _Cut) -> Iterator[str]:
    given = dict(settings)
    by, pattern = given.get("group_by"), given.get("group_pattern")
    if by != "pattern":
        if pattern is not None:
            yield f"group_pattern counts only for group_by=pattern, got group_by={by}"
        return
    if pattern is None:
        yield "group_by=pattern needs group_pattern, for example '^([^_]+)_'"
        return
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        yield f"group_pattern {pattern!r} is no regular expression: {error}"
        return
    if compiled.groups != 1 and "group" not in compiled.groupindex:
        yield (
            f"group_pattern {pattern!r} must have one bracket, or one named `group` as in "
            f"(?P<group>...); it has {compiled.groups}. Brackets that only join are (?:...)"
        )


def _cut_scheme(given: Mapping[str, Any]) -> str:
    return str(given["inner_scheme"] if given["scheme"] == "nested" else given["scheme"])
