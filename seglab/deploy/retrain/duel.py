"""Champion and challenger on the same images: what each predicts, and how long it takes."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from seglab.analysis.statistics.images import swap_test
from seglab.bundle.loader import Bundle, ImageError
from seglab.core.errors import ConfigError, DataError, nearest
from seglab.deploy.export.scoring import Counts, nearest_mask
from seglab.deploy.retrain.holdout import Holdout
from seglab.deploy.retrain.options import RetrainOptions
from seglab.metrics.jackknife import Estimate, difference_interval
from seglab.metrics.pooled import (
    ImageCounts,
    PooledClassIou,
    Statistic,
    pool_units,
    pooled_miou,
    score_pooled,
)


@dataclass(frozen=True)
class Side:
    """What came of one model: counts of each image, and milliseconds, decoding included."""

    counts: Counts
    milliseconds: np.ndarray

    @property
    def p95(self) -> float:
        """Milliseconds that 95 % of the images stay below."""
        return float(np.percentile(self.milliseconds, 95))


@dataclass(frozen=True)
class Slice:
    """A guarded slice: its score for each model."""

    name: str
    images: int
    champion: float
    challenger: float


@dataclass(frozen=True)
class Duel:
    """Both sides, and the difference (challenger minus champion) with the p of the swap test."""

    champion: Side
    challenger: Side
    miou: tuple[float, float]
    difference: Estimate
    p: float
    slices: list[Slice]


def require_guards(holdout: Holdout, guard: Sequence[str]) -> None:
    """Refuse guards that the holdout holds nothing of.

    Raises:
        ConfigError: With all of them.
    """
    problems = [text for word in guard if (text := _guard_problem(holdout, word))]
    if problems:
        raise ConfigError(problems)


def fight(
    bundles: tuple[Bundle, Bundle],
    holdout: Holdout,
    options: RetrainOptions,
    tell: Callable[[str], None],
) -> Duel:
    """Score champion and challenger, image by image and by turns, so that both see the same machine.

    Raises:
        DataError: An image cannot be read by one of them, or is not the one of the manifest.
    """
    labels = holdout.manifest.labels
    counts, times = (Counts(), Counts()), (list[float](), list[float]())
    for number, (content, target) in enumerate(holdout.samples()):
        for side in (0, 1) if number % 2 else (1, 0):
            if number < 2:
                _predict(bundles[side], content)  # the first of a size is slower
            started = time.perf_counter()
            mask = _predict(bundles[side], content)
            times[side].append((time.perf_counter() - started) * 1e3)
            if mask.shape != target.shape:
                mask = nearest_mask(mask, target.shape)
            counts[side].add(mask, target, labels.num_classes, labels.ignore_index)
        tell(f"holdout: {number + 1} of {len(holdout.sources)}")
    sides = [
        Side(one, np.array(milliseconds)) for one, milliseconds in zip(counts, times, strict=True)
    ]
    champion, challenger = (_frozen(one.counts) for one in sides)
    groups = holdout.groups
    return Duel(
        sides[0],
        sides[1],
        (_score(champion, pooled_miou), _score(challenger, pooled_miou)),
        difference_interval(challenger, champion, level=options.level, groups=groups),
        swap_test(challenger, champion, groups=groups),
        [_slice(holdout, word, champion, challenger) for word in options.guard],
    )


def _predict(bundle: Bundle, content: bytes) -> np.ndarray:
    try:
        return bundle.predict(bundle.decode(content)).mask
    except ImageError as error:
        raise DataError(f"holdout: {bundle.info['name']} ({bundle.id}): {error}") from error


def _frozen(counts: Counts) -> ImageCounts:
    return ImageCounts(counts.tp, counts.fp, counts.fn)


def _score(counts: ImageCounts, statistic: Statistic) -> float:
    return float(score_pooled(pool_units(counts).sum(0), statistic))


def _slice(holdout: Holdout, word: str, champion: ImageCounts, challenger: ImageCounts) -> Slice:
    kind, _, name = word.partition(":")
    if kind == "class":
        index = holdout.manifest.labels.class_names.index(name)
        images = int((champion.tp[:, index] + champion.fn[:, index] > 0).sum())
        scores = (_score(one, PooledClassIou(index)) for one in (champion, challenger))
        return Slice(word, images, *scores)
    rows = np.array([name in tags for tags in holdout.tags])
    parts = (ImageCounts(*(part[rows] for part in one)) for one in (champion, challenger))
    return Slice(word, int(rows.sum()), *(_score(one, pooled_miou) for one in parts))


def _guard_problem(holdout: Holdout, word: str) -> str | None:
    kind, _, name = word.partition(":")
    if kind == "class":
        known = list(holdout.manifest.labels.class_names)
    elif kind == "tag":
        known = sorted(set().union(*holdout.tags))
    else:
        return f"guard: expected class:NAME or tag:NAME, got '{word}'"
    if name not in known:
        said = ", ".join(known) or "none"
        return f"guard: the holdout has no {kind} '{name}'{nearest(name, known)}; it has {said}"
    index = known.index(name)
    if kind == "class" and not any(one.class_pixels[index] for one in holdout.sources):
        return f"guard: no image of the holdout holds a pixel of '{name}'"
    return None
