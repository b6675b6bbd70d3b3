"""`seglab data describe --run`: on which data a run was trained, and whether its files are still there."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.core.errors import DataNotFoundError

if TYPE_CHECKING:
    from seglab.data.manifest import Manifest

_LISTED = 1000


def tell_data_of_run(run: Path, root: Path | None) -> int:
    """Print version, place, splits, and each file that is missing or changed.

    Args:
        run: The folder of the run.
        root: Where the raw data is now; None: where the manifest says.

    Returns:
        0 where all files are those of the run, 1 where some are not.

    Raises:
        RunNotFoundError: There is no run.
        DataNotFoundError: The run knows no version, no manifest of it is left, or its root is gone.
    """
    from seglab.data.manifest import Manifest, find_version
    from seglab.runs import RunRecord

    record = RunRecord.open(run)
    content = record.read()
    fingerprint = content["dataset_fingerprint"]
    if fingerprint is None:
        raise DataNotFoundError(
            f"run {record.run_id} says no fingerprint of its data: it ended before the data was opened"
        )
    folders = _folders(record.run_dir, content["config"])
    file = find_version(fingerprint, folders)
    if file is None:
        looked = "\n".join(f"  {folder}" for folder in folders)
        raise DataNotFoundError(
            f"run {record.run_id} was trained on version {fingerprint}, and no manifest of that version "
            f"is left; looked in\n{looked}\nPut manifest.{fingerprint}.parquet into one of them"
        )
    manifest = Manifest.read(file, root)
    if not manifest.root.is_dir():
        raise DataNotFoundError(
            f"the data of run {record.run_id} is not at {manifest.root}; give --root"
        )
    splits = ", ".join(f"{name} {count}" for name, count in manifest.splits().items() if count)
    sys.stdout.write(
        f"run {record.run_id}: {manifest.name}, version {fingerprint}\nmanifest {file}\n"
        f"files in {manifest.root}\nsplits {splits}\n"
    )
    return _tell_files(manifest)


def _tell_files(manifest: Manifest) -> int:
    """Print the files that are not as the manifest says; return 1 where there are any."""
    from seglab.data.freshness import FileHashes, disagreements

    wrong = disagreements(manifest, FileHashes(manifest.root))
    for name, what in list(wrong.items())[:_LISTED]:
        sys.stdout.write(f"  {name} {what}\n")
    if len(wrong) > _LISTED:
        sys.stdout.write(f"  and {len(wrong) - _LISTED} more\n")
    kept = manifest.table[manifest.table["keep"]]
    unknown = int((kept["mask"].notna() & kept["mask_sha256"].isna()).sum())
    if unknown:
        sys.stdout.write(
            f"{unknown} masks: their content is not known, only that they are there or not\n"
        )
    total = len(set(kept["image"]) | set(kept["mask"].dropna()))
    sys.stdout.write(
        f"{len(wrong)} of {total} files are not those of this version\n"
        if wrong
        else f"all {total} files are those of this version\n"
    )
    return 1 if wrong else 0


def _folders(run_dir: Path, config: Mapping[str, Any]) -> list[Path]:
    """Return where a version may lie: with the run, where the run read it, where imports go."""
    data, paths = config.get("data") or {}, config.get("paths") or {}
    folders = [run_dir / "manifest"]
    if data.get("manifest"):
        named = Path(data["manifest"]).expanduser()
        folders.append(named.parent if named.suffix == ".parquet" else named)
    if paths.get("data_dir"):
        imports = Path(paths["data_dir"]).expanduser() / "manifests"
        folders += sorted(imports.glob(f"{data.get('name', '*')}-*"))
    return folders
