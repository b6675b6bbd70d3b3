"""The part of a queue that is chosen: by what is known of all images, then of the best of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from seglab.core.errors import DataError
from seglab.feedback.queue.candidates import Tell
from seglab.feedback.queue.choice import Rules, choose, percentiles, weighted
from seglab.feedback.queue.content import read_queue
from seglab.feedback.queue.items import Chosen, scores_at
from seglab.feedback.queue.scores import drift_distances, scaled
from seglab.feedback.queue.work import Work
from seglab.monitor.samples import reference_sample


def known_scores(work: Work, tell: Tell) -> dict[str, np.ndarray]:
    """Return the scores that are known of all images, `(n,)` each, by name; entropy always is."""
    options, found = work.options, work.found
    scores = {"uncertainty": found.entropy}
    reference = None
    if options.drift:
        try:
            reference = reference_sample(work.place).features
        except DataError as error:
            tell(f"drift does not count: {error}")
        else:
            if reference is None or found.features is None:
                tell("drift does not count: the bundle gives no features")
    if reference is not None and found.features is not None:
        scores["drift"] = drift_distances(found.features, reference)
    if options.disagreement and not _has_members(work):
        tell("disagreement does not count: the bundle has one network; export a cross-validation")
    if not any(_weights(work)[name] for name in scores) and not _has_members(work):
        tell("nothing that has a weight is known of these images: uncertainty counts")
    return scores


def chosen(
    work: Work, scores: dict[str, np.ndarray], drawn: np.ndarray, tell: Tell
) -> list[Chosen]:
    """Return the places that are chosen, each with its percentiles.

    Args:
        work: The queue.
        scores: Of all images.
        drawn: Places of the random share, which are not chosen besides.
        tell: Gets a line where there are too few.
    """
    options, found = work.options, work.found
    wanted = options.count - len(drawn)
    if wanted <= 0:
        return []
    weights = _weights(work)
    counting = {name: values for name, values in scores.items() if weights[name]}
    # Disagreement costs predictions: which images are looked at is decided by what is known of all.
    overall = weighted(counting, weights) if counting else percentiles(scores["uncertainty"])
    ids = np.array(found.ids)
    former = [read_queue(Path(one).expanduser()) for one in options.former]
    known = np.isin(ids, [item.id for queue in former for item in queue.items])
    rest = np.setdiff1d(np.flatnonzero(~known), drawn)
    # By name where scores are the same, whatever the order in the log.
    order = rest[np.lexsort((ids[rest], -overall[rest]))]

    def score(places: np.ndarray) -> np.ndarray:
        if not weights["disagreement"]:
            return overall[places]
        pool = {name: values[places] for name, values in counting.items()}
        return weighted({**pool, "disagreement": work.disagreements(places)}, weights)

    rules = Rules(wanted, options.per_stream, options.diversity, options.pool)
    taken = choose(
        order, found.streams, rules, score, _looks(work), lambda place: work.take(place, "hard")
    )
    if len(taken) < wanted:
        tell(f"{len(taken)} images are chosen where {wanted} were wanted: no others are left")
    return _told(work, scores, taken)


def _weights(work: Work) -> dict[str, float]:
    names = ("uncertainty", "disagreement", "drift")
    weights = {name: float(getattr(work.options, name)) for name in names}
    return weights if _has_members(work) else {**weights, "disagreement": 0.0}


def _has_members(work: Work) -> bool:
    return len(work.bundle.nets) > 1


def _looks(work: Work) -> Callable[[np.ndarray], np.ndarray]:
    """Return what the distance of images is measured on."""
    features = work.found.features
    if features is None:
        return work.small_pictures
    looks = scaled(features, features)
    return lambda places: looks[places]


def _told(work: Work, scores: dict[str, np.ndarray], taken: list[int]) -> list[Chosen]:
    """Return the places with their percentiles; that of disagreement is among those it was asked of."""
    told = scores_at(scores, taken)
    asked = sorted(work.disagreement)
    if asked:
        ranks = percentiles(np.array([work.disagreement[one] for one in asked])).tolist()
        of = dict(zip(asked, ranks, strict=True))
        told = [
            {**one, "disagreement": round(of[place], 4)}
            for place, one in zip(taken, told, strict=True)
        ]
    return list(zip(taken, told, strict=True))
