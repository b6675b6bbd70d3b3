"""Which images are labelled: a share drawn at random, and the rest for what they would tell.

The share is a simple random sample of all images, drawn before and apart from everything else, so each
has the same known probability to be in it and what is measured on it is measured of all, without bias.
The rest are those with the highest scores, one after another, each for its score and for how far it lies
from those taken (maximal marginal relevance; with far more weight on the distance, the greedy k-center).

References:
    Carbonell and Goldstein (1998), MMR: https://doi.org/10.1145/290941.291025
    Sener and Savarese (2018), Active learning for CNNs, a core-set approach:
    https://arxiv.org/abs/1708.00489
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from seglab.core.seeding import generator

# Images that tell how far two usually lie apart.
_SOME = 200


def draw_control(ids: Sequence[str], share: float, count: int, seed: int) -> np.ndarray:
    """Return the places of the random share, int64 `(n,)`; the order of the images does not matter.

    Args:
        ids: Of all images.
        share: Of the queue.
        count: Length of the queue.
        seed: The same draws the same.
    """
    number = min(len(ids), max(1, round(share * count)))
    order = np.argsort(np.asarray(ids, dtype=np.str_), kind="stable")
    return order[generator("review control", seed).permutation(len(ids))[:number]]


def percentiles(values: np.ndarray) -> np.ndarray:
    """Return the share of the values that are lower, ties counting half, `(n,)` within 0 to 1."""
    found: np.ndarray = (stats.rankdata(values) - 0.5) / max(1, len(values))
    return found


def weighted(scores: Mapping[str, np.ndarray], weights: Mapping[str, float]) -> np.ndarray:
    """Return the mean of the percentiles of several scores, each with its weight."""
    total = sum(weights[name] for name in scores)
    ranked = [weights[name] * percentiles(values) for name, values in scores.items()]
    return np.sum(ranked, axis=0) / total


@dataclass(frozen=True)
class Rules:
    """How the chosen part is filled.

    Attributes:
        number: Images wanted.
        per_stream: Most of one stream; None: any number. Images without a stream are not capped.
        diversity: Weight of the distance to those taken.
        pool: So many times the images wanted are looked at together.
    """

    number: int
    per_stream: int | None
    diversity: float
    pool: int


def choose(
    order: np.ndarray,
    streams: np.ndarray,
    rules: Rules,
    score: Callable[[np.ndarray], np.ndarray],
    vectors: Callable[[np.ndarray], np.ndarray],
    fits: Callable[[int], bool],
) -> list[int]:
    """Return the places of the chosen images, the first first.

    Args:
        order: Places of the candidates, the highest score first.
        streams: Stream of every image, str; empty: not known.
        rules: How many, and of what.
        score: Returns the scores of a pool of places, within 0 to 1.
        vectors: Returns what the distance is measured on, `(n, F)`.
        fits: Whether an image may be taken; asked only of those about to be.
    """
    taken: list[int] = []
    used: Counter[str] = Counter()
    kept: list[np.ndarray] = []

    def is_full(place: int) -> bool:
        stream = str(streams[place])
        return bool(stream) and rules.per_stream is not None and used[stream] >= rules.per_stream

    for pool in _pools(order, streams, rules):
        places = np.array([place for place in pool.tolist() if not is_full(place)], np.int64)
        if len(taken) == rules.number or not len(places):
            continue
        values, looks = score(places), vectors(places)
        usual = _usual_distance(looks)
        novelty, is_open = np.ones(len(places)), np.ones(len(places), bool)
        for look in kept:
            novelty = np.minimum(novelty, _distances(looks, look) / usual)
        while len(taken) < rules.number and is_open.any():
            best = int(np.argmax(np.where(is_open, values + rules.diversity * novelty, -np.inf)))
            is_open[best] = False
            place = int(places[best])
            if is_full(place) or not fits(place):
                continue
            taken.append(place)
            kept.append(looks[best])
            used[str(streams[place])] += 1
            novelty = np.minimum(novelty, _distances(looks, looks[best]) / usual)
    return taken


def _pools(order: np.ndarray, streams: np.ndarray, rules: Rules) -> Iterator[np.ndarray]:
    """Yield the candidates in portions; of one stream no more than could be looked at together."""
    size = max(1, rules.pool * rules.number)
    most = size if rules.per_stream is None else rules.pool * rules.per_stream
    rest = order
    while len(rest):
        counts: Counter[str] = Counter()
        inside = np.zeros(len(rest), bool)
        number = 0
        for index, stream in enumerate(streams[rest].tolist()):
            if not stream or counts[stream] < most:
                counts[stream] += 1
                inside[index] = True
                number += 1
                if number == size:
                    break
        yield rest[inside]
        rest = rest[~inside]


def _distances(many: np.ndarray, one: np.ndarray) -> np.ndarray:
    found: np.ndarray = np.linalg.norm(many - one, axis=1)
    return found


def _usual_distance(looks: np.ndarray) -> float:
    """Return the median distance of two images; 1 where all look the same."""
    some = looks[:: -(-len(looks) // _SOME)]
    apart = np.concatenate([_distances(some, one) for one in some])
    return float(np.median(apart[apart > 0])) if (apart > 0).any() else 1.0
