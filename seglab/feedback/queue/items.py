"""From what was drawn and chosen to the items of a queue, in the order in which they are labelled."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from seglab.core.seeding import generator
from seglab.feedback.options import QueueOptions
from seglab.feedback.queue.candidates import Candidates
from seglab.feedback.queue.choice import percentiles
from seglab.feedback.queue.content import Item, Part

Chosen = tuple[int, dict[str, float]]


def scores_at(scores: Mapping[str, np.ndarray], places: Sequence[int]) -> list[dict[str, float]]:
    """Return the percentiles of some images among all, each by the name of the score."""
    ranked = {name: percentiles(values) for name, values in scores.items()}
    return [
        {name: round(float(values[place]), 4) for name, values in ranked.items()}
        for place in places
    ]


def in_order(
    found: Candidates,
    scores: Mapping[str, np.ndarray],
    control: Sequence[int],
    hard: Sequence[Chosen],
    drawn: int,
    options: QueueOptions,
) -> tuple[Item, ...]:
    """Return the items, the random share spread over the queue.

    So whoever stops early has labelled of both parts, and nobody sees which an image belongs to.

    Args:
        found: All images.
        scores: Of all images.
        control: Places of those drawn at random and not refused.
        hard: Places of those chosen, with their percentiles.
        drawn: How many were drawn at random.
        options: Weights and seed.
    """
    population = len(found.rows)
    why = f"drawn at random, {drawn} of {population}"
    random = [
        _item(found, place, "control", drawn / population, told, why)
        for place, told in zip(control, scores_at(scores, control), strict=True)
    ]
    chosen = [
        _item(found, place, "hard", None, told, _reason(told, options)) for place, told in hard
    ]
    total = len(random) + len(chosen)
    rng = generator("review order", options.seed)
    spots = set(rng.choice(total, len(random), replace=False).tolist())
    first, second = iter(random), iter(chosen)
    return tuple(next(first if spot in spots else second) for spot in range(total))


def _item(
    found: Candidates,
    place: int,
    part: Part,
    probability: float | None,
    scores: dict[str, float],
    reason: str,
) -> Item:
    row = found.rows[place]
    return Item(
        **row,
        part=part,
        probability=probability,
        scores=scores,
        reason=reason,
        image=found.image_name(place),
        mask=f"masks/{row['id']}.png",
    )


def _reason(scores: Mapping[str, float], options: QueueOptions) -> str:
    counting = {name: value for name, value in scores.items() if getattr(options, name)}
    name, value = max((counting or scores).items(), key=lambda one: one[1])
    return f"{name} above that of {value:.0%} of the images"
