"""When the manifest of an imported data set is still right, and what is said when it is not."""

from __future__ import annotations

import logging
from pathlib import Path

from seglab.core.errors import DataError
from seglab.data.freshness import FileHashes, describe_changes
from seglab.data.freshness.agreement import disagreements
from seglab.data.importers.listing import sources_now
from seglab.data.manifest import MANIFEST_NAME, Manifest

log = logging.getLogger(__name__)


def read_former(folder: Path) -> Manifest | None:
    """Return the manifest in a folder; None where there is none that can be read."""
    if not (folder / MANIFEST_NAME).is_file():
        return None
    try:
        return Manifest.read(folder)
    except DataError as error:
        log.warning("the data is imported again: %s", error)
        return None


def is_current(manifest: Manifest, hashes: FileHashes) -> bool:
    """Return whether an import would find what it found: the same files with the same content."""
    sources = manifest.provenance.get("sources")
    # One of a former version of seglab, which did not look so closely.
    if sources is None or not manifest.root.is_dir():
        return False
    return sources_now(manifest.root, sources) == sources and not disagreements(manifest, hashes)


def tell_changes(former: Manifest | None, renewed: Manifest, folder: Path) -> None:
    """Say in one line what became of a data set since it was imported; nothing if it is the same."""
    if former is None or former.fingerprint == renewed.fingerprint:
        return
    changes = ", ".join(describe_changes(former, renewed)) or "what is known of it changed"
    if "sources" not in former.provenance:
        changes = f"imported again, for its manifest held no hashes of masks; {changes}"
    log.warning(
        "data set %r under %s: %s since %s; new fingerprint %s (%s before, kept in %s)",
        renewed.name,
        renewed.root,
        changes,
        _time_of_import(former),
        renewed.fingerprint,
        former.fingerprint,
        folder,
    )


def _time_of_import(manifest: Manifest) -> str:
    created = manifest.provenance.get("created")
    return "the import" if created is None else f"{str(created)[:16].replace('T', ' ')} UTC"
