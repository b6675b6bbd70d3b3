"""The images a queue is chosen from: those of a request log, or of a folder."""

from __future__ import annotations

import datetime
import os
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from seglab.bundle.input_statistics import output_statistics
from seglab.bundle.loader import Bundle
from seglab.core.errors import ConfigError, DataError
from seglab.data.files.image_files import read_bytes
from seglab.deploy.predict.files.sources import find_sources
from seglab.feedback.options import QueueOptions
from seglab.monitor.log.reading import read_log
from seglab.monitor.log.schema import OK
from seglab.monitor.samples import logged_sample

Tell = Callable[[str], None]
_OF_ITEMS = "time request_id image name stream".split()
_COLUMNS = [*_OF_ITEMS, *"bundle status size entropy features stored".split()]


@dataclass(frozen=True, eq=False)
class Candidates:
    """Images that may be labelled.

    Attributes:
        rows: Of each `id`, `request_id`, `number`, `name`, `stream` and `time`, as an item has them.
        places: Where the image files are.
        entropy: Mean entropy of the probabilities, `(n,)`, within 0 to 1.
        features: Pooled features, `(n, F)`; None: the bundle gives none.
        left_out: Why others are none, with counts.
    """

    rows: list[dict[str, Any]]
    places: list[Path]
    entropy: np.ndarray
    features: np.ndarray | None
    left_out: Counter[str]

    @property
    def ids(self) -> list[str]:
        """Return the name of each."""
        return [row["id"] for row in self.rows]

    def image_name(self, place: int) -> str:
        """Return the path that an image gets below the folder of the queue."""
        return f"images/{self.rows[place]['id']}{self.places[place].suffix.lower()}"

    @property
    def streams(self) -> np.ndarray:
        """Return the camera, sequence or group of each, str `(n,)`."""
        return np.array([row["stream"] for row in self.rows], dtype=np.str_)


def find_candidates(options: QueueOptions, bundle: Bundle, tell: Tell) -> Candidates:
    """Return the images that may be labelled.

    Raises:
        ConfigError: The bundle is of images that annotation tools do not show.
        DataError: There are none.
    """
    if bundle.info["input"]["bands"]:
        raise ConfigError(
            "bundle: takes bands that annotation tools do not show; expected RGB or grey"
        )
    found = (
        _of_folder(options, bundle, tell)
        if options.images is not None
        else _of_log(options, bundle, tell)
    )
    if not found.rows:
        reasons = ", ".join(f"{count} {reason}" for reason, count in found.left_out.items())
        place = options.images if options.log is None else options.log
        raise DataError(f"{place}: no image that can be labelled: {reasons or 'nothing is there'}")
    return found


def _of_log(options: QueueOptions, bundle: Bundle, tell: Tell) -> Candidates:
    folder = Path(str(options.log)).expanduser()
    start, end = (
        None if text is None else datetime.datetime.fromisoformat(text)
        for text in (options.start, options.end)
    )
    table = read_log(folder, start, end, _COLUMNS, tell=tell)
    left_out: Counter[str] = Counter()
    for reason, fits in (
        ("answered by another bundle", pc.field("bundle") == bundle.id),
        ("refused by the service", pc.field("status") == OK),
        ("without a stored image (serve with log.privacy=images)", pc.field("stored").is_valid()),
    ):
        kept = table.filter(fits)
        left_out[reason], table = len(table) - len(kept), kept
    by_id: dict[str, int] = {}
    told = zip(table["stored"].to_pylist(), table["size"].to_pylist(), strict=True)
    for row, (stored, size) in enumerate(told):
        if reason := _why_not(folder / stored, size):
            left_out[reason] += 1
            continue
        name = Path(stored).stem
        left_out["answered again under the same id"] += name in by_id
        by_id[name] = row
    table = table.take(pa.array(list(by_id.values()), pa.int64()))
    numbers = logged_sample(table)
    rows = [
        {
            "id": name,
            "request_id": row["request_id"],
            "number": row["image"],
            "name": row["name"],
            "stream": row["stream"] or "",
            "time": row["time"].isoformat(),
        }
        for name, row in zip(by_id, table.select(_OF_ITEMS).to_pylist(), strict=True)
    ]
    places = [folder / stored for stored in table["stored"].to_pylist()]
    entropy = numbers.statistics["entropy"].astype(np.float64)
    return Candidates(rows, places, entropy, numbers.features, +left_out)


def _why_not(path: Path, size: list[float]) -> str:
    """Return why an image of the log is no candidate; empty where it is one."""
    if path.suffix == ".npy":
        return "stored as an array, which annotation tools do not show"
    try:
        with Image.open(path) as image:
            found = [image.height, image.width]
    except OSError:
        return "whose stored image is gone or damaged"
    return "" if found == list(map(int, size)) else "stored as thumbnails alone"


def _of_folder(options: QueueOptions, bundle: Bundle, tell: Tell) -> Candidates:
    sources, notes = find_sources(str(options.images), Path(options.output).expanduser())
    for note in notes:
        tell(note)
    left_out: Counter[str] = Counter()
    rows, places, entropy, features = [], [], [], []
    groups = _groups([str(one.place) for one in sources], options.group_pattern)
    for count, (source, group) in enumerate(zip(sources, groups, strict=True), 1):
        if source.is_video:
            left_out["videos; extract their frames"] += 1
            continue
        try:
            found = bundle.predict(bundle.decode(read_bytes(source.place)))
        except (ValueError, OSError) as error:
            left_out["that cannot be read"] += 1
            tell(f"{source.place}: {error}")
            continue
        told = {"request_id": None, "number": 0, "name": str(source.place), "time": None}
        rows.append({"id": _as_name(source.name), **told, "stream": group})
        places.append(source.place)
        entropy.append(float(output_statistics(found)["entropy"]))
        features.append(found.features)
        if count % 100 == 0:
            tell(f"{count} of {len(sources)} images predicted")
    has_features = bool(features) and all(one is not None for one in features)
    stacked = np.array(features, dtype=np.float32) if has_features else None
    return Candidates(rows, places, np.array(entropy), stacked, left_out)


def _groups(paths: Sequence[str], pattern: str | None) -> list[str]:
    if pattern is None:
        return [""] * len(paths)
    try:
        found = [re.search(pattern, path.replace(os.sep, "/")) for path in paths]
    except re.error as error:
        raise ConfigError(f"group_pattern: not a regular expression: {error}") from error
    return ["" if one is None else one[one.re.groups and 1] or "" for one in found]


def _as_name(name: str) -> str:
    """Return the name of a sample as one of a file without folders."""
    return name.replace("/", "__")
