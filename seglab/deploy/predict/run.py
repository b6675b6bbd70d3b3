"""From options to predictions: what is left of one share of the files, then the tables of all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from filelock import FileLock
from PIL import Image

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import Bundle, BundleError, load
from seglab.core.disk.files import write_text
from seglab.core.disk.urls import is_url, local_path, url_text
from seglab.core.errors import ConfigError, nearest
from seglab.core.text.wording import plural
from seglab.deploy.predict.annotations import write_annotations
from seglab.deploy.predict.areas import write_areas
from seglab.deploy.predict.files.sources import Source, find_sources, share_of
from seglab.deploy.predict.large.predict import LargeImages
from seglab.deploy.predict.launch import run_shares
from seglab.deploy.predict.ledger import ADDED_LATER, open_ledger, read_done
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.outputs import Outputs
from seglab.deploy.predict.pipeline import Pipeline
from seglab.deploy.predict.progress import Progress
from seglab.deploy.predict.video import Videos

# What decides what the files of a folder hold; the rest may change from call to call.
_DECIDES = ("overlay_alpha", "whole_pixels", "window")


@dataclass
class Predicted:
    """What a call did.

    Attributes:
        output: The folder of predictions.
        done: Files predicted by this call.
        before: Files of its share that were done before.
        faults: What is wrong with each file that was skipped.
        notes: Sentences for the user.
        overlaid: Of those done, files whose mask was there, and that got an overlay alone.
    """

    output: Path
    done: int = 0
    before: int = 0
    faults: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    overlaid: int = 0


def open_bundle(options: PredictFilesOptions) -> Bundle:
    """Return the bundle, checked.

    Raises:
        ConfigError: There is none, it is damaged, or has no such variant.
    """
    try:
        return load(locate_bundle(options.bundle), options.variant, options.threads or None)
    except BundleError as error:
        raise ConfigError(f"bundle: {error}") from error


def predict_files(options: PredictFilesOptions) -> Predicted:
    """Predict what is left of a share of the files, and write the tables of all that is done.

    Raises:
        ConfigError: The bundle, or the folder of another bundle or other options.
        DataError: There is no input, or another process is at this share.
        PlaceError: Outputs cannot be written.
    """
    # The bundle's own limit of pixels holds; images above Pillow's are read in bands.
    Image.MAX_IMAGE_PIXELS = None
    output = local_path(options.output)
    sources, notes = find_sources(options.input, output)
    bundle = open_bundle(options)
    _require_class(options, bundle)
    with open_ledger(output, _settings(options, bundle), options.place) as ledger:
        share = share_of(sources, options.place)
        kinds = [kind for kind in ADDED_LATER if getattr(options, kind)]
        left = [source for source in share if not ledger.is_done(source, kinds)]
        progress = Progress(len(left))
        outputs = Outputs(output, bundle, options)
        share_name = "-of-".join(map(str, options.place))
        large = LargeImages(bundle, outputs, output / "done" / f"large-{share_name}")
        video = Videos(bundle, outputs)
        pipeline = Pipeline(bundle, outputs, ledger, progress, large.predict, video.predict)
        pipeline.masks = {source: ledger.mask_of(source, kinds) for source in left}
        try:
            pipeline.run(left)
        finally:
            progress.end()
        skipped = len(pipeline.faults)
        found = Predicted(
            output, len(left) - skipped, len(share) - len(left), pipeline.faults, notes
        )
        drawn = [source for source in pipeline.overlaid if str(source.place) not in found.faults]
        found.overlaid = len(drawn)
        if large.cut:
            found.notes.append(
                f"{plural(large.cut, 'image')} of more than whole_pixels={options.whole_pixels} went by "
                f"windows of {options.window[0]} x {options.window[1]}; the bundle itself predicts in "
                "one piece"
            )
        _conclude(found, sources, bundle, options)
    return found


def predict_shares(options: PredictFilesOptions) -> Predicted:
    """Predict all files in processes of their own, and write the tables; see `predict_files`.

    Raises:
        ConfigError: Also of the launcher.
        ShareError: A process failed.
    """
    sources, _ = find_sources(options.input, local_path(options.output))
    _require_class(options, open_bundle(options))
    done = run_shares(options, len(sources))
    found = predict_files(options.replace(shards=1, launcher="local", launcher_options={}))
    for path in found.output.glob("skipped-*-of-*.txt"):
        path.unlink()
    found.done, found.before = found.done + done, found.before - done
    return found


def _require_class(options: PredictFilesOptions, bundle: Bundle) -> None:
    known = ["void", *bundle.class_names]
    if options.unlabelled not in known:
        raise ConfigError(
            f"unlabelled: {options.unlabelled!r} is no class{nearest(options.unlabelled, known)}; the "
            f"bundle's are {', '.join(bundle.class_names)}"
        )


def _conclude(
    found: Predicted, sources: Sequence[Source], bundle: Bundle, options: PredictFilesOptions
) -> None:
    """Write what stands for all files together, of all shares."""
    output = found.output
    with FileLock(output / "done" / "tables.lock"):
        done = read_done(output)
        write_areas(output, options.areas, done, bundle.class_names)
        if options.annotations and options.shard is None:
            found.faults |= write_annotations(output, done, sources, bundle, options)
    if options.annotations and options.shard is not None:
        found.notes.append(
            "annotations stand for all files: the same words without shard write them when all "
            "shares are done"
        )
    _list_skipped(output, options, found.faults)


def _settings(options: PredictFilesOptions, bundle: Bundle) -> dict[str, Any]:
    """Return what decides what the folder holds, as plain content."""
    place = url_text(options.input) if is_url(options.input) else str(local_path(options.input))
    chosen = options.to_dict()
    return {
        "format": "seglab-predictions",
        "version": 1,
        "bundle": bundle.id,
        "variant": bundle.variant,
        "input": place,
        **{key: chosen[key] for key in (*ADDED_LATER, *_DECIDES)},
    }


def _list_skipped(output: Path, options: PredictFilesOptions, faults: dict[str, str]) -> None:
    """Write what was skipped, and why, a line a file; nothing where nothing was."""
    name = "skipped" if options.shard is None else f"skipped-{'-of-'.join(map(str, options.place))}"
    path = output / f"{name}.txt"
    if faults:
        lines = [f"{place}: {reason}" for place, reason in faults.items()]
        write_text(path, "\n".join(lines).encode("utf-8", "replace").decode() + "\n")
    else:
        path.unlink(missing_ok=True)
