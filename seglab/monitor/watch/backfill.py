"""Images that were not logged when they were predicted, as rows of a log."""

from __future__ import annotations

import contextlib
import datetime
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import Bundle, ImageError, load
from seglab.core.errors import DataError
from seglab.monitor.log.parts import parts_of
from seglab.monitor.log.reading import read_log
from seglab.monitor.log.writer import Entry, RequestLog
from seglab.monitor.options import LogOptions
from seglab.monitor.watch.options import BackfillOptions

_ENDINGS = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".npy"}
_EXIF, _TAKEN, _OFFSET = 0x8769, 0x9003, 0x9011
_HELD_ROWS = 4  # entries that wait at most, each with its image


@dataclass(frozen=True)
class _Found:
    """An image, and what its row is to say of it."""

    path: Path
    time: float
    request_id: str
    image: int
    stream: str | None
    name: str | None


@dataclass
class Backfilled:
    """What became of the images.

    Attributes:
        rows: Written.
        before: That the log had already.
        faults: Why others were left out, by path.
    """

    rows: int = 0
    before: int = 0
    faults: dict[str, str] = field(default_factory=dict)


def backfill(options: BackfillOptions, tell: Callable[[str], None]) -> Backfilled:
    """Predict images and log them, as the service would have.

    The same call again goes on with what the log does not have: rows are told by request, image and bundle.

    Args:
        options: Images, bundle, log.
        tell: Gets the progress.

    Raises:
        BundleError: The bundle is damaged.
        DataError: There is no image.
    """
    bundle = load(options.bundle, variant=options.variant)
    found = list(_images(options))
    if not found:
        raise DataError(
            f"{options.input}: expected images ({', '.join(sorted(_ENDINGS))}), got none"
        )
    known = _known(options, bundle)
    result = Backfilled()
    faults = result.faults
    chosen = LogOptions(
        folder=options.log, privacy=options.privacy, max_bytes=options.max_bytes, flush_seconds=30.0
    )
    log = RequestLog(chosen, tell)
    for number, one in enumerate(found, 1):
        if (one.request_id, one.image) in known:
            result.before += 1
            continue
        try:
            if math.isnan(one.time):
                raise ImageError("its EXIF data do not say when it was taken")
            entry = _entry(bundle, one)
        except (ImageError, OSError) as error:
            faults[str(one.path)] = str(error)
            continue
        log.add(entry)
        while log.waiting >= _HELD_ROWS:
            time.sleep(0.01)
        tell(f"{number} of {len(found)}")
    log.close(timeout=600)
    result.rows = int(log.counts["rows"])
    if log.counts["rows_lost"]:
        faults[options.log] = f"{log.counts['rows_lost']:.0f} rows could not be written"
    return result


def _entry(bundle: Bundle, one: _Found) -> Entry:
    start = time.monotonic()
    pixels = bundle.decode(one.path.read_bytes())
    begun = time.monotonic()
    prediction = bundle.predict(pixels)
    ended = time.monotonic()
    numbers: dict[str, Any] = {**input_statistics(pixels), **output_statistics(prediction)}
    numbers["features"] = prediction.features
    return Entry(
        time=one.time,
        request_id=one.request_id,
        image=one.image,
        name=one.name,
        stream=one.stream,
        bundle=bundle.id,
        variant=bundle.variant,
        latency=ended - start,
        predict=ended - begun,
        measure=lambda: numbers,
        pixels=pixels,
    )


def _known(options: BackfillOptions, bundle: Bundle) -> set[tuple[str, int]]:
    """Return what the log has of this bundle already."""
    folder = Path(options.log).expanduser()
    if not folder.is_dir():
        return set()
    table = read_log(folder, columns=["request_id", "image"], bundle=bundle.id)
    return set(zip(table["request_id"].to_pylist(), table["image"].to_pylist(), strict=True))


def _images(options: BackfillOptions) -> Iterator[_Found]:
    folder = Path(options.input).expanduser()
    if parts_of(folder):
        yield from _logged_images(folder)
        return
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in _ENDINGS and path.is_file():
            inside = path.relative_to(folder)
            stream = inside.parent.as_posix() if options.streams == "folder" else None
            name = inside.as_posix()
            yield _Found(
                path,
                _time_of(path, options.times),
                name,
                0,
                None if stream == "." else stream,
                path.name,
            )


def _logged_images(folder: Path) -> Iterator[_Found]:
    """Yield the images that a log of requests has stored; thumbnails are none."""
    names = ["time", "request_id", "image", "stream", "name", "stored"]
    for row in read_log(folder, columns=names).to_pylist():
        stored = row["stored"]
        if stored and not stored.endswith(".jpg") and (folder / stored).is_file():
            seconds = row["time"].timestamp()
            yield _Found(
                folder / stored,
                seconds,
                row["request_id"],
                row["image"],
                row["stream"],
                row["name"],
            )


def _time_of(path: Path, wanted: str) -> float:
    """Return when an image was taken, seconds since 1970; NaN where that is not known."""
    taken = None if wanted == "file" else _exif_time(path)
    if taken is not None:
        return taken
    return float("nan") if wanted == "exif" else path.stat().st_mtime


def _exif_time(path: Path) -> float | None:
    """Return what the camera says; without a zone it counts as UTC."""
    with contextlib.suppress(Exception), Image.open(path) as image:
        tags = image.getexif().get_ifd(_EXIF)
        zone = str(tags.get(_OFFSET) or "+00:00").replace("Z", "+00:00")
        text = f"{str(tags[_TAKEN]).strip()}{zone}"
        return datetime.datetime.strptime(text, "%Y:%m:%d %H:%M:%S%z").timestamp()
    return None
