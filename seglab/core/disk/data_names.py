"""What a data set is called: runs, experiments and pages name it after the folder of its manifest."""

from __future__ import annotations

import re
from pathlib import Path

# Says nothing of the data: `seglab data synth` and a run's own copy use it.
_PLAIN = "manifest"
_UNSAFE = re.compile(r"[^\w.+-]+")


def data_set_name(manifest: Path) -> str:
    """Return the name of the data set of a manifest, which can name a folder too.

    Args:
        manifest: The folder of the manifest, or its file; it need not be there.

    >>> data_set_name(Path("manifests/street 2")), data_set_name(Path("drawn/manifest"))
    ('street_2', 'drawn')
    """
    place = manifest.expanduser().absolute()
    if place.suffix == ".parquet":
        place = place.parent
    if place.name == _PLAIN:
        place = place.parent
    return _UNSAFE.sub("_", place.name).lstrip("._+-") or "data"
