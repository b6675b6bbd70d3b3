"""How often do 95 % intervals of mIoU miss the true score? A table by number of images and method.

Data sets are drawn as counts of pixels per class and image, the true score comes from 60,000 images.
The table is the reason for `seglab.metrics.jackknife` and for `MIN_UNITS`:

    python scripts/bench_intervals.py --simulations 2000
"""

from __future__ import annotations

import argparse
import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from seglab.metrics.jackknife import score_interval
from seglab.metrics.pooled import ImageCounts, pool_units, pooled_miou, score_pooled

RESAMPLES, LEVEL = 500, 0.95
Ends = tuple[float, float]


@dataclass(frozen=True)
class Scenario:
    """How images of a data set and errors of a model come about.

    Args:
        classes: Number of classes; the last one has 1 % of the pixels of the first (10 % of two).
        skill: Log-odds of recall of the first and of the last class.
        hard: Standard deviation of what makes an image, and a class in it, hard.
        present: Share of images that hold the first and the last class.
    """

    classes: int = 11
    skill: Ends = (3.0, 0.0)
    hard: float = 0.7
    present: Ends = (1.0, 0.5)

    def draw(self, rng: np.random.Generator, images: int) -> ImageCounts:
        """Draw the counts of so many images."""
        share = np.geomspace(1, 0.01 if self.classes > 2 else 0.1, self.classes)
        spread = np.linspace(0.2, 1.4, self.classes) ** 2
        size = (images, self.classes)
        held = rng.random(size) < np.linspace(*self.present, self.classes)
        pixels = share * spread * rng.gamma(1 / spread, 1.0, size) * held + 1e-9
        pixels = (20_000 * pixels / pixels.sum(1, keepdims=True)).astype(np.int64)
        hard = rng.normal(0, self.hard, (images, 1)) + rng.normal(0, self.hard, size)
        skill = np.linspace(*self.skill, self.classes) + hard + rng.normal(0, 0.5, size)
        tp = (pixels * special.expit(skill)).astype(np.int64)
        taken = share * rng.gamma(2, 1, size)
        taken *= (pixels - tp).sum(1, keepdims=True) / taken.sum(1, keepdims=True)
        return ImageCounts(tp, taken.astype(np.int64), pixels - tp)

    def truth(self) -> float:
        """Return the mIoU over so many images that it is as good as true."""
        counts = self.draw(np.random.default_rng(99), 60_000)
        return float(score_pooled(pool_units(counts).sum(0), pooled_miou))


SCENARIOS = {
    "11 classes": Scenario(),
    "nearly perfect": Scenario(skill=(6.0, 3.5)),
    "nearly all wrong": Scenario(skill=(-1.0, -3.0)),
    "two classes": Scenario(classes=2, skill=(4.0, 1.5), present=(1.0, 0.6)),
    "unequal images": Scenario(hard=1.5),
}


def bootstrap(counts: ImageCounts, seed: int) -> Ends:
    """Return the percentile interval over images drawn again with replacement."""
    units = pool_units(counts)
    rng = np.random.default_rng(seed)
    drawn = rng.multinomial(len(units), np.full(len(units), 1 / len(units)), size=RESAMPLES)
    low, high = np.nanquantile(score_pooled(drawn @ units, pooled_miou), [0.025, 0.975])
    return float(low), float(high)


def plain_jackknife(counts: ImageCounts, seed: int) -> Ends:
    """Return the jackknife's symmetric t interval with N - 1 degrees of freedom, clipped."""
    del seed
    units = pool_units(counts)
    value = score_pooled(units.sum(0), pooled_miou)
    left_out = score_pooled(units.sum(0) - units, pooled_miou)
    error = math.sqrt((len(units) - 1) * left_out.var())
    half = stats.t.ppf((1 + LEVEL) / 2, len(units) - 1) * error
    low, high = np.clip([value - half, value + half], 0.0, 1.0)
    return float(low), float(high)


def ours(counts: ImageCounts, seed: int) -> Ends:
    """Return the interval of seglab."""
    del seed
    one = score_interval(counts, level=LEVEL)
    return one.low, one.high


METHODS: dict[str, Callable[[ImageCounts, int], Ends]] = {
    "bootstrap": bootstrap,
    "jackknife t": plain_jackknife,
    "seglab": ours,
}


def coverage(
    scenario: Scenario, images: int, simulations: int, methods: Sequence[str] = tuple(METHODS)
) -> dict[str, tuple[float, float]]:
    """Return, by method, the share of intervals that miss the true score, and their median width.

    NaN where the method gives none.
    """
    truth, rng = scenario.truth(), np.random.default_rng(images)
    ends: dict[str, list[Ends]] = {name: [] for name in methods}
    for seed in range(simulations):
        counts = scenario.draw(rng, images)
        for name in methods:
            ends[name].append(METHODS[name](counts, seed))
    found = {}
    for name, pairs in ends.items():
        low, high = np.array(pairs).T
        told = ~np.isnan(low)
        missed = (truth < low) | (truth > high)
        share = float(missed[told].mean()) if told.any() else math.nan
        found[name] = share, float(np.median((high - low)[told])) if told.any() else math.nan
    return found


def main(argv: Sequence[str] | None = None) -> None:
    """Print a table a scenario and one of all."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--images", type=int, nargs="+", default=[3, 5, 10, 20, 50])
    parser.add_argument("--simulations", type=int, default=1000)
    args = parser.parse_args(argv)
    warnings.simplefilter("error")
    print(
        f"share of 95 % intervals that miss the true mIoU (median width); {args.simulations} draws"
    )
    for name, scenario in SCENARIOS.items():
        print(f"\n{name}, true mIoU {scenario.truth():.3f}")
        print("| images | " + " | ".join(METHODS) + " |\n|---:" + "|---:" * len(METHODS) + "|")
        for images in args.images:
            found = coverage(scenario, images, args.simulations)
            cells = [
                "too few images to tell" if math.isnan(share) else f"{share:.1%} ({width:.3f})"
                for share, width in found.values()
            ]
            print(f"| {images} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
