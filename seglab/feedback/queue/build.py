"""Makes a queue: draws and chooses, and keeps images and masks before a log forgets them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import BundleError, load
from seglab.core.disk.mask_png import write_mask
from seglab.core.errors import ConfigError, DataError
from seglab.curation.known import KnownImages
from seglab.data.manifest import Manifest
from seglab.feedback.options import QueueOptions
from seglab.feedback.queue.candidates import Tell, find_candidates
from seglab.feedback.queue.choice import draw_control
from seglab.feedback.queue.content import Queue
from seglab.feedback.queue.hard import chosen, known_scores
from seglab.feedback.queue.items import in_order
from seglab.feedback.queue.work import Work

# What does not go into the queue's record: it says where things lie.
_PLACES = {"bundle", "log", "images", "output", "former", "holdout", "threads"}


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
    work = Work(options, place, bundle, found, known, out.with_name(f".{out.name}.partial"))
    work.begin()
    drawn = draw_control(found.ids, options.control, options.count, options.seed)
    control = [place for place in drawn.tolist() if work.take(place, "control")]
    scores = known_scores(work, tell)
    hard = chosen(work, scores, drawn, tell)
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


def _write(work: Work, queue: Queue) -> None:
    """Write masks and, last, queue.json; the folder takes its name when all is there."""
    for item in queue.items:
        image = work.bundle.decode((work.folder / item.image).read_bytes())
        mask = work.bundle.predict_batch([image], give="masks")[0].mask
        write_mask(work.folder / item.mask, mask, queue.labels.palette)
    replace(queue, folder=work.folder).write()
    if queue.folder.is_dir():
        queue.folder.rmdir()
    work.folder.replace(queue.folder)
