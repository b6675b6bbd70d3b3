"""Makes a queue: draws and chooses, and keeps images and masks before a log forgets them."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import Bundle, BundleError, load
from seglab.core.disk.files import atomic_path
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import ConfigError, DataError
from seglab.curation.known import KnownImages
from seglab.data.image_files import read_bytes
from seglab.data.manifest import Manifest
from seglab.feedback.options import QueueOptions
from seglab.feedback.queue.candidates import Candidates, Tell, find_candidates
from seglab.feedback.queue.choice import Rules, choose, draw_control, percentiles, weighted
from seglab.feedback.queue.content import Part, Queue, read_queue
from seglab.feedback.queue.items import Chosen, in_order, scores_at
from seglab.feedback.queue.scores import drift_distances, member_disagreement, scaled
from seglab.monitor.samples import reference_sample

_LOOK_SIDE = 16
# What goes into the queue's record; the rest says where things lie.
_PLACES = {"bundle", "log", "images", "output", "former", "holdout", "threads"}


@dataclass(eq=False)
class _Work:
    """What the steps of one queue share."""

    options: QueueOptions
    place: Path  # of the bundle
    bundle: Bundle
    found: Candidates
    known: KnownImages | None
    refused: list[dict[str, Any]] = field(default_factory=list)
    disagreement: dict[int, float] = field(default_factory=dict)

    def pixels(self, place: int) -> np.ndarray:
        """Return an image as the model takes it."""
        return self.bundle.decode(read_bytes(self.found.places[place]))

    def is_refused(self, place: int, part: Part) -> bool:
        """Tell whether an image nearly is one of the holdout, and note it."""
        near = None if self.known is None else self.known.near(_as_rgb(self.pixels(place)))
        if near is not None:
            name = self.found.rows[place]["id"]
            told = {"id": name, "part": part, "near": near[0], "similarity": round(near[1], 3)}
            self.refused.append(told)
        return near is not None

    def disagreements(self, places: np.ndarray) -> np.ndarray:
        """Return how much the members of the bundle disagree."""
        for place in places.tolist():
            if place not in self.disagreement:
                self.disagreement[place] = member_disagreement(self.bundle, self.pixels(place))
        return np.array([self.disagreement[place] for place in places.tolist()])

    def small_pictures(self, places: np.ndarray) -> np.ndarray:
        """Return what images look like from afar, where there are no features."""
        side = (_LOOK_SIDE, _LOOK_SIDE)
        small = [Image.fromarray(_as_rgb(self.pixels(one))).resize(side) for one in places.tolist()]
        return np.stack([np.asarray(one, np.float64).ravel() for one in small])


def make_queue(options: QueueOptions, tell: Tell) -> Queue:
    """Choose what to label next and write it as a folder.

    Args:
        options: What to choose from, and how.
        tell: Gets a line on what is done and what is left out.

    Raises:
        ConfigError: The bundle does not fit.
        DataError: There is nothing to label, or the folder holds something.
    """
    out = Path(options.output).expanduser()
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"output: {out} is there already; give a new folder")
    try:
        place = locate_bundle(options.bundle)
        bundle = load(place, threads=options.threads or None)
    except BundleError as error:
        raise ConfigError(f"bundle: {error}") from error
    known = _holdout(options, tell)
    found = find_candidates(options, bundle, tell)
    work = _Work(options, place, bundle, found, known)
    drawn = draw_control(found.ids, options.control, options.count, options.seed)
    control = [place for place in drawn.tolist() if not work.is_refused(place, "control")]
    scores = _scores(work, tell)
    hard = _chosen(work, scores, drawn, tell)
    items = in_order(found, scores, control, hard, len(drawn), options)
    queue = Queue(
        out,
        {
            "id": bundle.id,
            "name": bundle.info["name"],
            "class_names": bundle.class_names,
            "palette": [list(colour) for colour in bundle.palette],
            "ignore_index": bundle.info["labels"]["ignore_index"],
        },
        {key: value for key, value in options.to_dict().items() if key not in _PLACES},
        len(found.rows),
        len(drawn),
        dict(sorted(found.left_out.items())),
        work.refused,
        items,
    )
    if not items:
        raise DataError(
            f"nothing to label: all {len(work.refused)} images looked at are nearly in the holdout"
        )
    _write(work, queue)
    return queue


def _holdout(options: QueueOptions, tell: Tell) -> KnownImages | None:
    if options.holdout is None:
        tell(
            "no holdout is given: images that nearly are in it cannot be refused (holdout=MANIFEST)"
        )
        return None
    manifest = Manifest.read(Path(options.holdout).expanduser())
    known = KnownImages(manifest, options.holdout_splits)
    if not len(known):
        splits = " and ".join(options.holdout_splits)
        raise DataError(f"holdout: {manifest.name} has no images in {splits}; set holdout_splits")
    return known


def _scores(work: _Work, tell: Tell) -> dict[str, np.ndarray]:
    """Return the scores that are known of all images."""
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
    if options.disagreement and len(work.bundle.nets) == 1:
        tell("disagreement does not count: the bundle has one network; export a cross-validation")
    counting = [name for name in scores if getattr(options, name)]
    if not counting and not (options.disagreement and len(work.bundle.nets) > 1):
        tell("nothing that has a weight is known of these images: uncertainty counts")
    return scores


def _chosen(
    work: _Work, scores: dict[str, np.ndarray], drawn: np.ndarray, tell: Tell
) -> list[Chosen]:
    """Return the places that are chosen, each with its scores among those it was chosen from."""
    options, found = work.options, work.found
    weights = {name: getattr(options, name) for name in ("uncertainty", "disagreement", "drift")}
    first = {name: values for name, values in scores.items() if weights[name]}
    first = first or {"uncertainty": scores["uncertainty"]}
    weights["uncertainty"] = weights["uncertainty"] or float(len(first) == 1)
    ids = np.array(found.ids)
    former = [read_queue(Path(one).expanduser()) for one in options.former]
    known = np.isin(ids, [item.id for queue in former for item in queue.items])
    rest = np.setdiff1d(np.flatnonzero(~known), drawn)
    has_members = bool(options.disagreement) and len(work.bundle.nets) > 1
    overall = weighted(first, weights)
    # By name where scores are the same, whatever the order in the log.
    order = rest[np.lexsort((ids[rest], -overall[rest]))]

    def score(places: np.ndarray) -> np.ndarray:
        if not has_members:
            return overall[places]
        pool = {name: values[places] for name, values in first.items()}
        return weighted({**pool, "disagreement": work.disagreements(places)}, weights)

    if found.features is None:
        vectors = work.small_pictures
    else:
        looks = scaled(found.features, found.features)

        def vectors(places: np.ndarray) -> np.ndarray:
            return looks[places]

    wanted = options.count - len(drawn)
    rules = Rules(wanted, options.per_stream, options.diversity, options.pool)
    if wanted <= 0:
        return []
    taken = choose(
        order, found.streams, rules, score, vectors, lambda one: not work.is_refused(one, "hard")
    )
    if len(taken) < wanted:
        tell(f"{len(taken)} images are chosen where {wanted} were wanted: no others are left")
    told = scores_at(scores, taken)
    if work.disagreement:
        places = sorted(work.disagreement)
        held = percentiles(np.array([work.disagreement[one] for one in places]))
        told = [
            {**one, "disagreement": round(float(held[places.index(place)]), 4)}
            for place, one in zip(taken, told, strict=True)
        ]
    return list(zip(taken, told, strict=True))


def _write(work: _Work, queue: Queue) -> None:
    """Write images, masks and, last, queue.json, into a folder that takes its name when all is there."""
    partial = queue.folder.with_name(f".{queue.folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "masks").mkdir(parents=True)
    places = dict(zip(work.found.ids, work.found.places, strict=True))
    for item in queue.items:
        content = read_bytes(places[item.id])
        with atomic_path(partial / item.image) as temporary:
            temporary.write_bytes(content)
        mask = work.bundle.predict_batch([work.bundle.decode(content)], give="masks")[0].mask
        write_mask(partial / item.mask, mask, queue.labels.palette)
    replace(queue, folder=partial).write()
    if queue.folder.is_dir():
        queue.folder.rmdir()
    partial.replace(queue.folder)


def _as_rgb(image: np.ndarray) -> np.ndarray:
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image
