"""Draws a random sample of masks, plants errors among them, and writes the review sheet.

The folder holds `review.html`, for the reviewer, and `review.json`, which knows what was planted and is
not for the reviewer. Where errors are planted the page shows items by names that tell nothing, so what
was saved there says which sample is which only together with `review.json`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from seglab.core.disk.files import hash_json, write_json, write_text
from seglab.core.errors import ConfigError, DataError, list_problems, nearest
from seglab.core.labels import LabelSpace
from seglab.core.seeding import generator
from seglab.curation.review.page import overlay, photo, render, swatch
from seglab.curation.review.planting import KINDS, plant_error
from seglab.curation.review.sampling import chance_to_pass, sample_size
from seglab.data.bands.decode import decode_bands, own_picture
from seglab.data.files.image_files import read_bytes
from seglab.data.files.images import bands_in, decode_image
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest

PAGE_NAME, KEY_NAME = "review.html", "review.json"
SCHEMA = 1


@dataclass(frozen=True)
class ReviewPlan:
    """What a review is to show.

    Args:
        error_rate: Share of wrong masks that the data set is to be shown to stay below.
        confidence: How surely.
        allowed: Wrong masks among those inspected with which that still counts as shown.
        number: Masks to inspect; None: as few as can show it.
        planted: Errors planted among them, beside the masks inspected.
        seed: The same seed draws the same masks and errors.
        chosen: Whether the masks are a list that somebody chose, all of it, and no random sample.
    """

    error_rate: float = 0.05
    confidence: float = 0.95
    allowed: int = 0
    number: int | None = None
    planted: int = 10
    seed: int = 0
    chosen: bool = False

    def check(self) -> None:
        """Refuse what makes no sense.

        Raises:
            ConfigError: With everything that is wrong.
        """
        problems = [
            f"{name}: expected a number between 0 and 1, got {value}"
            for name, value in (
                ("--error-rate", self.error_rate),
                ("--confidence", self.confidence),
            )
            if not 0.0 < value < 1.0
        ]
        counts = (("--allowed", self.allowed, 0), ("--planted", self.planted, 0))
        problems += [
            f"{name}: expected {least} or more, got {value}"
            for name, value, least in (
                *counts,
                ("--number", 1 if self.number is None else self.number, 1),
            )
            if value < least
        ]
        if problems:
            raise ConfigError(problems)


@dataclass(frozen=True)
class Item:
    """One mask of a sheet.

    Args:
        id: What the page and the saved decisions call it.
        sample_id: The sample it is.
        planted: Kind of the error planted in it; None: it is as in the data set.
        parameters: What exactly was planted.
    """

    id: str
    sample_id: str
    planted: str | None
    parameters: dict[str, Any]


@dataclass(frozen=True, eq=False)
class Review:
    """A review that was written.

    Args:
        plan: What it is to show.
        population: Masks in the data set, of which those inspected were drawn.
        items: In the order of the page.
        page: The page.
    """

    plan: ReviewPlan
    population: int
    items: tuple[Item, ...]
    page: Path

    @property
    def inspected(self) -> int:
        """Masks of the data set among the items."""
        return sum(one.planted is None for one in self.items)

    def chance(self, error_rate: float) -> float:
        """Return the chance that a data set with this error rate comes through."""
        wrong = round(error_rate * self.population)
        return chance_to_pass(self.population, wrong, self.inspected, self.plan.allowed)


def write_review(
    manifest: Manifest,
    out: Path,
    plan: ReviewPlan | None = None,
    splits: Sequence[str] = (),
    max_side: int = 1024,
    samples: Sequence[str] | None = None,
) -> Review:
    """Draw masks, plant errors, and write page and key into a folder.

    Args:
        manifest: The data set; samples that are kept and have a mask can be drawn.
        out: The folder.
        plan: What is to be shown.
        splits: Splits to draw from; all when empty.
        max_side: Longer side of the pictures in px.
        samples: The `sample_id` of masks to inspect, all of them, instead of a random sample; without
            planted errors the page has them in this order.

    Raises:
        ConfigError: The plan makes no sense, or cannot be had of so few masks.
        DataError: There is nothing to draw from, a file drawn cannot be read, or the masks hold nothing
            an error could be planted into.
    """
    plan = replace(plan or ReviewPlan(), chosen=samples is not None)
    plan.check()
    rows = _population(manifest, splits)
    rows = rows if samples is None else _chosen(rows, samples)
    number = len(rows) if plan.chosen else _number(plan, len(rows))
    rng = generator("review", plan.seed, manifest.fingerprint)
    as_given = plan.chosen and not plan.planted
    order = rows if as_given else [rows[index] for index in rng.permutation(len(rows))]
    drawn = _draw(manifest, order[:number], max_side)
    # Errors go into masks that are not inspected; only where all are, a second time into those.
    drawn += _plant(manifest, [*order[number:], *order[:number]], plan, rng, max_side)
    sheet = {"data": manifest.fingerprint, **asdict(plan), "splits": [*splits]}
    sheet_id = hash_json({**sheet, "samples": samples and [*samples]})[:12]
    items, content = [], []
    places = range(len(drawn)) if as_given else rng.permutation(len(drawn))
    for place, index in enumerate(places, start=1):
        item, pictures = drawn[index]
        hidden = f"item-{sheet_id}-{place}" if plan.planted else item.sample_id
        items.append(replace(item, id=hidden))
        content.append({"id": hidden, "name": "" if plan.planted else item.sample_id, **pictures})
    review = Review(plan, len(rows), tuple(items), out / PAGE_NAME)
    labels = manifest.labels
    classes = [
        {"name": name, "colour": swatch(labels, index)}
        for index, name in enumerate(labels.class_names)
    ]
    title = f"Review of {manifest.name}"
    page = render("review", title=title, sheet_id=sheet_id, classes=classes, items=content)
    write_text(review.page, page)
    write_json(out / KEY_NAME, _key(review, manifest, sheet_id, splits))
    return review


def _key(
    review: Review, manifest: Manifest, sheet_id: str, splits: Sequence[str]
) -> dict[str, Any]:
    return {
        "schema": SCHEMA,
        "sheet": sheet_id,
        "data": manifest.name,
        "fingerprint": manifest.fingerprint,
        "splits": list(splits),
        "population": review.population,
        "plan": asdict(review.plan),
        "items": [asdict(one) for one in review.items],
    }


def _population(manifest: Manifest, splits: Sequence[str]) -> list[dict[str, Any]]:
    table = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
    if splits:
        table = table[table["split"].isin(splits)]
    if table.empty:
        named = f" in {', '.join(splits)}" if splits else ""
        raise DataError(f"{manifest.name} has no mask to review{named}")
    return table.sort_values("sample_id").to_dict(orient="records")  # type: ignore[return-value]


def _chosen(rows: list[dict[str, Any]], samples: Sequence[str]) -> list[dict[str, Any]]:
    """Return the rows of a list of names, in its order."""
    by_name = {row["sample_id"]: row for row in rows}
    missing = [f"{name!r}{nearest(name, by_name)}" for name in samples if name not in by_name]
    if missing:
        raise DataError(list_problems("there are no such samples with a mask to review", missing))
    return [by_name[name] for name in dict.fromkeys(samples)]


def _number(plan: ReviewPlan, population: int) -> int:
    if plan.number is None:
        return sample_size(population, plan.error_rate, plan.confidence, plan.allowed)
    if plan.number > population:
        raise ConfigError(f"--number: there are {population} masks, got {plan.number}")
    return plan.number


def _draw(
    manifest: Manifest, rows: Sequence[dict[str, Any]], max_side: int
) -> list[tuple[Item, dict[str, Any]]]:
    """Return masks as they are.

    Raises:
        DataError: Files cannot be read: leaving them out would change what the sample shows.
    """
    drawn, problems = [], []
    for row in rows:
        try:
            image, mask = read_sample(manifest, row)
        except DataError as error:
            problems.append(f"{row['sample_id']}: {error}")
            continue
        item = Item("", str(row["sample_id"]), None, {})
        drawn.append((item, _pictures(image, mask, manifest.labels, max_side)))
    if problems:
        title = "files that were drawn cannot be read; mend them, or take the samples out"
        raise DataError(list_problems(title, problems))
    return drawn


def _plant(
    manifest: Manifest,
    rows: Sequence[dict[str, Any]],
    plan: ReviewPlan,
    rng: np.random.Generator,
    max_side: int,
) -> list[tuple[Item, dict[str, Any]]]:
    """Return masks with an error each, the kinds in turn."""
    pixels = [one for one in manifest.table["class_pixels"] if one]
    classes = np.flatnonzero(np.sum(pixels, axis=0)[:-1]).tolist()
    planted: list[tuple[Item, dict[str, Any]]] = []
    waiting = list(rows)
    while len(planted) < plan.planted and waiting:
        row = waiting.pop(0)
        try:
            image, mask = read_sample(manifest, row)
        except DataError:
            continue  # one that can be read will do
        first = len(planted) % len(KINDS)
        for kind in [*KINDS][first:] + [*KINDS][:first]:
            spoilt = plant_error(kind, mask, manifest.labels, classes, rng)
            if spoilt is not None:
                item = Item("", str(row["sample_id"]), kind, spoilt[1])
                planted.append((item, _pictures(image, spoilt[0], manifest.labels, max_side)))
                break
    if len(planted) < plan.planted:
        raise DataError(
            f"only {len(planted)} of {plan.planted} errors could be planted: {len(rows)} masks, and "
            "those left hold no object that is neither a speck nor the background; lower --planted"
        )
    return planted


def _pictures(
    image: np.ndarray, mask: np.ndarray, labels: LabelSpace, max_side: int
) -> dict[str, Any]:
    return {
        "image": photo(image, max_side),
        "mask": overlay(mask, labels, max_side),
        "classes": [int(one) for one in np.unique(mask) if one < labels.num_classes],
    }


def read_sample(manifest: Manifest, row: dict[str, Any]) -> tuple[np.ndarray, np.ndarray]:
    """Return image uint8 RGB `(H, W, 3)` and mask uint8 `(H, W)`; other bands are stretched for the eye.

    Raises:
        DataError: A file is missing or damaged.
    """
    path = manifest.path(row["image"])
    content = read_bytes(path)
    other = bands_in(content, path)
    image = own_picture(decode_bands(content, path)) if other else decode_image(content, path)
    return image, read_mask(manifest.path(row["mask"]), manifest.labels, manifest.mask_encoding)
