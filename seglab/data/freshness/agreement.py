"""Whether the files on disk are those that a manifest stands for."""

from __future__ import annotations

import logging
from pathlib import Path

from seglab.core.errors import DataError, DataNotFoundError, list_problems
from seglab.data.freshness.hashes import NOT_READ, FileHashes
from seglab.data.manifest import Manifest

log = logging.getLogger(__name__)

_ALL_LISTED = 1000
_GONE, _CHANGED = "is missing", "changed since the import"


def disagreements(manifest: Manifest, hashes: FileHashes, fetch: bool = True) -> dict[str, str]:
    """Return file -> what is wrong with it, for the files of all kept samples.

    A file of which the manifest holds no hash counts only where it is missing.

    Args:
        manifest: The manifest.
        hashes: Of the files below its root.
        fetch: Read files by URL too, all of them; else only those count that are missing.
    """
    kept = manifest.table[manifest.table["keep"]]
    expected = dict(zip(kept["image"], kept["sha256"], strict=True))
    expected |= {
        mask: digest
        for mask, digest in zip(kept["mask"], kept["mask_sha256"], strict=True)
        if mask is not None
    }
    found = hashes.of(expected, fetch)
    wrong = {}
    for name, digest in expected.items():
        if found[name] is None:
            wrong[name] = _GONE
        elif digest is not None and found[name] not in (digest, NOT_READ):
            wrong[name] = _CHANGED
    return wrong


def require_files(manifest: Manifest, hashes: FileHashes, place: Path, again: str) -> None:
    """Refuse a manifest whose files are no longer those that were imported.

    Files by URL are only looked for: their content is compared when it is read.

    Args:
        manifest: The manifest.
        hashes: Of the files below its root.
        place: Where the manifest is, for the message.
        again: The command that imports the data again, for the message.

    Raises:
        DataNotFoundError: Files are missing, and nothing else is wrong.
        DataError: Files changed; all are named, with the folder and what to do.
    """
    wrong = disagreements(manifest, hashes, fetch=False)
    if not wrong:
        return
    gone = [name for name, what in wrong.items() if what == _GONE]
    counts = [f"{len(gone)} {'is' if len(gone) == 1 else 'are'} missing"] * bool(gone)
    counts += [f"{len(wrong) - len(gone)} changed"] * (len(gone) < len(wrong))
    noun = "file" if len(wrong) == 1 else "files"
    title = (
        f"data set {manifest.name!r}: {len(wrong)} {noun} under {manifest.root} are not those of "
        f"the manifest {place} ({', '.join(counts)}). Restore them, or import the data again: {again}"
    )
    kind = DataNotFoundError if len(gone) == len(wrong) else DataError
    problems = [f"{name} {what}" for name, what in wrong.items()]
    raise kind(list_problems(title, problems, _ALL_LISTED))


def with_mask_hashes(manifest: Manifest, hashes: FileHashes, place: Path) -> Manifest:
    """Return a manifest with the hashes of masks that it lacks, taken from the files as they are.

    Manifests of former versions of seglab have none; without them a changed mask, and a cache of
    the mask as it was, would go unnoticed.
    """
    table = manifest.table
    bare = table["keep"] & table["mask"].notna() & table["mask_sha256"].isna()
    if not bare.any():
        return manifest
    found = hashes.of(table.loc[bare, "mask"])
    filled = table["mask_sha256"].astype(object)
    filled[bare] = [found[mask] for mask in table.loc[bare, "mask"]]
    complete = manifest.with_table(table.assign(mask_sha256=filled))
    log.warning(
        "the manifest %s was written by a former version of seglab and holds no hashes of %d masks: "
        "they are taken as they are now (fingerprint %s); import the data again to keep them",
        place,
        int(bare.sum()),
        complete.fingerprint,
    )
    return complete
