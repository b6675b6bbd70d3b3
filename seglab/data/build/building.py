"""From a list of files to a manifest: every file is read once, hashed, measured and checked.

Importers only say which files belong together; what is in them is found out here, the same way
for all. Faults are collected over the whole data set first, so that one pass can mend them all.
"""

from __future__ import annotations

import dataclasses
import datetime
import functools
import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

import seglab
from seglab.core.errors import DataError
from seglab.data.bands.statistics import LAYOUT
from seglab.data.build.faults import handle_faults, require_one_layout, warn_ambiguous
from seglab.data.build.inspection import Inspected, inspect
from seglab.data.build.samples import ImportedFiles, SampleFiles, check_list
from seglab.data.decoded import DecodedMasks
from seglab.data.manifest import COLUMNS, Manifest

log = logging.getLogger(__name__)

ON_ERROR = ("raise", "quarantine")


def build_manifest(
    imported: ImportedFiles,
    root: Path,
    name: str,
    provenance: dict[str, Any],
    num_threads: int | None = None,
    on_error: str = "raise",
) -> Manifest:
    """Read all files of a data set and return its manifest.

    Args:
        imported: What the importer found.
        root: Folder all files lie under.
        name: Name of the data set.
        provenance: Where it comes from; notes, time and version are added.
        num_threads: Files read at once; default is the number of CPUs, at most 8.
        on_error: `"raise"`, or `"quarantine"`: keep rows of faulty samples with `keep=False`, the
            faults in `flags` and the reasons in `provenance["quarantined"]`, and log a warning.

    Raises:
        DataError: There are no samples, ids repeat, files lie outside the root or have names that
            are not UTF-8, or, with
            `on_error="raise"`, files are missing, corrupt, of different sizes or hold unknown mask
            values. Every fault is listed by name. `DataNotFoundError` when all of them are missing.
    """
    if on_error not in ON_ERROR:
        raise DataError(f"on_error must be one of {', '.join(ON_ERROR)}, got {on_error!r}")
    root = root.expanduser().absolute()
    check_list(imported.samples, root, name)
    masks = DecodedMasks()
    reading = functools.partial(inspect, root=root, imported=imported, masks=masks)
    inspected = _map_threads(reading, imported.samples, num_threads)
    inspected, layout = require_one_layout(inspected)
    images = {one.row["image"] for one in inspected}
    lost = {file: text for file, text in imported.faults.items() if file not in images}
    quarantined = handle_faults(inspected, lost, name, on_error)
    warn_ambiguous(inspected, name)
    table = pd.DataFrame([one.row for one in inspected], columns=list(COLUMNS))
    if imported.draw is not None and not table["keep"].all():
        table = imported.draw.again(table)
    complete = {
        **provenance,
        "notes": [*provenance.get("notes", []), *imported.notes],
        "sources": imported.sources,
        "quarantined": quarantined,
        "created": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "seglab_version": seglab.__version__,
    }
    if layout is not None:
        complete[LAYOUT] = dataclasses.asdict(layout)
        log.info("%s: images hold %s", name, layout)
    manifest = Manifest(table, imported.labels, root, name, imported.mask_encoding, complete)
    object.__setattr__(manifest, "decoded", masks)
    return manifest


def _map_threads(
    function: Callable[[SampleFiles], Inspected],
    samples: Sequence[SampleFiles],
    num_threads: int | None,
) -> list[Inspected]:
    """Apply in threads (decoders release the interpreter lock); an interrupt drops what waits."""
    pool = ThreadPoolExecutor(num_threads or min(8, os.cpu_count() or 1))
    try:
        return list(pool.map(function, samples))
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
