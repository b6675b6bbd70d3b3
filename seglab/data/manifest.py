"""The manifest: one table that says what a data set is, and the hub of all data work.

Importers write it, audits, splits and reviews read and rewrite it, the datamodule reads it. It
knows files only by their paths relative to `root`, or by URL; it never opens an image.

On disk a manifest is `manifest.parquet`, which is complete in itself, and `manifest.yaml`, its
readable companion with label space and provenance.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import InitVar, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from seglab.core.disk.files import atomic_path, hash_json, write_text
from seglab.core.disk.urls import is_url
from seglab.core.errors import DataError, DataNotFoundError, list_problems, nearest
from seglab.core.labels import LabelSpace
from seglab.data.columns import content_hash, json_rows, matches, text_array
from seglab.data.contract import table_problems
from seglab.data.decoded import DecodedMasks
from seglab.data.remote import below, place_of
from seglab.data.table import COLUMNS, SCHEMA, SPLITS, URL, fits_schema, frame_of, normalise

log = logging.getLogger(__name__)

MASK_ENCODINGS = ("index", "colour")
MANIFEST_NAME = "manifest.parquet"
# In the provenance: the versions that a manifest was made from, and the data fingerprint of each.
VERSIONS, OF_DATA = "versions", "of_data"
_SCHEMA_VERSION = 2
# Of the first version, which knew no hashes of masks.
_READABLE = (1, _SCHEMA_VERSION)
_WITHOUT_MASK_HASHES = 1
_METADATA_KEY = b"seglab_manifest"
# Tells at once that a file is as it was written; the fingerprint of it takes longer.
_CONTENT_KEY = b"seglab_content"


@dataclass(frozen=True, eq=False)
class Manifest:
    """Samples, label space and place of one data set.

    Args:
        table: One row per sample with exactly the columns of `seglab.data.table.COLUMNS`; treat it as
            read-only and make a changed manifest by `with_table`.
        labels: What the values in the masks mean.
        root: Folder the paths in the table are relative to, made absolute, or its URL.
        name: Name of the data set, for people.
        mask_encoding: `"index"`: mask files hold raw ids; `"colour"`: they hold RGB colours of the
            palette.
        provenance: Where the manifest came from (importer, options, notes); plain content.
        content: The table as Arrow, where that fits the schema: its types need no look then.
        changed: Where the table is that of a valid manifest but for some columns, their names: the rest
            needs no look, and its lists are those of that manifest.

    Raises:
        DataError: The table breaks its contract; every problem found is listed.
    """

    table: pd.DataFrame
    labels: LabelSpace
    root: Path
    name: str
    mask_encoding: str
    provenance: dict[str, Any]
    content: InitVar[pa.Table | None] = None
    changed: InitVar[Collection[str]] = COLUMNS
    # Filled by the import that made this manifest; not a part of what it says.
    decoded: DecodedMasks = field(
        default_factory=DecodedMasks, init=False, repr=False, compare=False
    )

    def __post_init__(self, content: pa.Table | None, changed: Collection[str]) -> None:
        problems = []
        if self.mask_encoding not in MASK_ENCODINGS:
            problems.append(
                f"mask_encoding must be one of {', '.join(MASK_ENCODINGS)}, "
                f"got {self.mask_encoding!r}"
            )
        object.__setattr__(self, "root", place_of(self.root))
        table, faults = normalise(self.table, changed) if content is None else (self.table, [])
        problems += faults or table_problems(table, self.labels.num_classes, content, changed)
        if problems:
            raise DataError(list_problems(f"manifest {self.name!r} is not valid", problems))
        object.__setattr__(self, "table", table)

    @cached_property
    def fingerprint(self) -> str:
        """16 hexadecimal digits that stand for table, label space and mask encoding.

        The table holds hashes of images and masks, so a change of any of them is one of the
        fingerprint. It is independent of the place of the data, the name, the provenance and the
        order of rows. Flags count, so that versions which differ in them alone are told apart and can be
        gone back to; to ask whether two fingerprints stand for the same data see `is_of`.
        """
        known = self.table["mask_sha256"].notna().any()
        return self._digest(_SCHEMA_VERSION) if known else self._fingerprint_without_mask_hashes

    @cached_property
    def _fingerprint_without_mask_hashes(self) -> str:
        return self._digest(_WITHOUT_MASK_HASHES, without="mask_sha256")

    def _digest(self, version: int, without: str = "") -> str:
        head = [version, hash_json(self.labels.to_dict()), self.mask_encoding]
        digest = hashlib.sha256(json.dumps(head).encode())
        for rows in json_rows(self.table.drop(columns=[without] if without else [])):
            digest.update(rows)
        return digest.hexdigest()[:16]

    def is_of(self, fingerprint: str | None) -> bool:
        """Return whether a fingerprint is that of this data, as far as it can tell.

        Also one of a former version of seglab, which did not stand for the content of masks, and that of
        a version which differs from this one in flags alone: an audit changes no image, mask or split.
        """
        return (
            fingerprint in (self.fingerprint, self._fingerprint_without_mask_hashes)
            or fingerprint in self._fingerprints_of_same_data()
        )

    def _fingerprints_of_same_data(self) -> list[str]:
        """Return those of the former versions that differ from this one in flags alone, oldest first."""
        entries = [one for one in self.provenance.get(VERSIONS, []) if OF_DATA in one]
        return [one["of"] for one in entries if one[OF_DATA] == self.data_fingerprint]

    def recorded_fingerprints(self) -> dict[str, str]:
        """Return the fields of a run's record that tell its data.

        Runs are of the same data where `data_fingerprint` is equal: that of the first version which has
        the same images, masks and splits, so that an audit between two trainings parts no runs.
        """
        first = next(iter(self._fingerprints_of_same_data()), self.fingerprint)
        return {"dataset_fingerprint": self.fingerprint, "data_fingerprint": first}

    @cached_property
    def data_fingerprint(self) -> str:
        """As `fingerprint`, without the flags: what is trained on, whatever is said of it."""
        return self._digest(_SCHEMA_VERSION, without="flags")

    def path(self, name: str) -> Path:
        """Return where a file of the table is: below the root, or at its own URL."""
        return below(self.root, name)

    @cached_property
    def is_remote(self) -> bool:
        """Whether files of kept samples are read by URL."""
        kept = self.table[self.table["keep"]]
        return is_url(self.root) or any(
            matches(text_array(kept[column]), URL).any() for column in ("image", "mask")
        )

    def split(self, name: str) -> pd.DataFrame:
        """Return the kept rows of a split, sorted by `sample_id`; empty when it has none.

        Raises:
            DataError: `name` is no split.
        """
        if name not in SPLITS:
            raise DataError(
                f"unknown split {name!r}{nearest(name, SPLITS)}; splits are {', '.join(SPLITS)}"
            )
        rows = self.table[(self.table["split"] == name) & self.table["keep"]]
        return rows.sort_values("sample_id").reset_index(drop=True)

    def splits(self) -> dict[str, int]:
        """Return the number of kept samples of each split; 0 for a split without any."""
        counts = self.table.loc[self.table["keep"], "split"].value_counts()
        return {name: int(counts.get(name, 0)) for name in SPLITS}

    def groups_of(self, sample_ids: Sequence[str]) -> list[str] | None:
        """Return the group of each sample; None where no group has more than one sample."""
        if (self.table["group"] == self.table["sample_id"]).all():
            return None
        groups = self.table.set_index("sample_id").loc[list(sample_ids), "group"]
        return [str(group) for group in groups]

    def with_table(self, table: pd.DataFrame) -> Manifest:
        """Return a manifest with another table and everything else as here."""
        return dataclasses.replace(self, table=table)

    def write(self, folder: Path) -> Path:
        """Write `manifest.parquet` and `manifest.yaml` into `folder`; return the Parquet path.

        A different former version stays as `manifest.<its fingerprint>.parquet` and `.yaml`. Each
        file is replaced in one step, the Parquet file first: it alone is what counts, so a process
        killed between the two leaves a valid manifest.
        """
        path = folder / MANIFEST_NAME
        _keep_former(path, self.fingerprint)
        head = self._head()
        text = yaml.safe_dump(head, sort_keys=False, allow_unicode=True, default_flow_style=None)
        content = pa.Table.from_pandas(self.table, schema=SCHEMA, preserve_index=False)
        told = {_METADATA_KEY: text.encode(), _CONTENT_KEY: content_hash(text.encode(), content)}
        content = content.replace_schema_metadata(told)
        with atomic_path(path) as temporary:
            pq.write_table(content, temporary)
        write_text(path.with_suffix(".yaml"), text)
        return path

    def _head(self) -> dict[str, Any]:
        return {
            "schema_version": _SCHEMA_VERSION,
            "fingerprint": self.fingerprint,
            "name": self.name,
            "root": str(self.root),
            "mask_encoding": self.mask_encoding,
            "labels": self.labels.to_dict(),
            # JSON in between turns tuples, paths and dates into what safe YAML can hold.
            "provenance": json.loads(json.dumps(self.provenance, default=str)),
        }

    @classmethod
    def read(cls, path: Path, root: Path | None = None) -> Manifest:
        """Read a manifest.

        Args:
            path: The folder that holds `manifest.parquet`, or the Parquet file.
            root: Where the data is now; default is the root written in `manifest.yaml` (a relative
                one counts from the manifest's folder), or in the Parquet file without a YAML.

        Raises:
            DataNotFoundError: There is no such file.
            DataError: The file is damaged, of another schema, or was changed since it was written.
        """
        file = path / MANIFEST_NAME if path.is_dir() else path
        if not file.is_file():
            raise DataNotFoundError(
                f"no manifest at {path}: expected a folder with {MANIFEST_NAME}, or the Parquet "
                "file; write one with `seglab data import`"
            )
        content, head = _read_parquet(file)
        place = root or _place(file, head)
        manifest = cls(
            table=frame_of(content),
            labels=LabelSpace.from_dict(head["labels"]),
            root=place_of(place, file.parent),
            name=head["name"],
            mask_encoding=head["mask_encoding"],
            provenance=head["provenance"],
            content=content if fits_schema(content) else None,
        )
        if _is_as_written(content):
            # In the place of the cached property.
            manifest.__dict__["fingerprint"] = head["fingerprint"]
        if manifest.fingerprint != head["fingerprint"]:
            raise DataError(
                f"{file} says fingerprint {head['fingerprint']} but its content has "
                f"{manifest.fingerprint}: it was changed outside seglab; import the data again"
            )
        return manifest


def _read_parquet(file: Path) -> tuple[pa.Table, dict[str, Any]]:
    try:
        content = pq.read_table(file)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error
    return content, _read_head(file)


def _read_head(file: Path) -> dict[str, Any]:
    try:
        metadata = pq.read_schema(file).metadata or {}
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(file, error) from error
    if _METADATA_KEY not in metadata:
        raise DataError(
            f"{file} is a Parquet file but no seglab manifest (its metadata has no label space); "
            "write one with `seglab data import`"
        )
    head: dict[str, Any] = yaml.safe_load(metadata[_METADATA_KEY])
    if head["schema_version"] not in _READABLE:
        raise DataError(
            f"{file} has manifest schema {head['schema_version']}, this seglab reads "
            f"{' and '.join(map(str, _READABLE))}; import the data again"
        )
    return head


def find_version(fingerprint: str, folders: Sequence[Path]) -> Path | None:
    """Return the first file in some folders that holds this version of a manifest, now or formerly."""
    for folder in folders:
        former = folder / f"manifest.{fingerprint}.parquet"
        for file in (folder / MANIFEST_NAME, former):
            if file.is_file() and _read_head(file)["fingerprint"] == fingerprint:
                return file
    return None


def _unreadable(file: Path, error: Exception) -> DataError:
    return DataError(f"{file} is not a readable Parquet file: {error}")


def _is_as_written(content: pa.Table) -> bool:
    told = content.schema.metadata
    if _CONTENT_KEY not in told:
        # Files of former versions.
        return False
    return told[_CONTENT_KEY] == content_hash(told[_METADATA_KEY], content).encode()


def _place(file: Path, head: Mapping[str, Any]) -> str:
    """Return the root: the YAML's, which may be edited when data moves, else the Parquet's."""
    companion = file.with_suffix(".yaml")
    if not companion.is_file():
        return str(head["root"])
    try:
        content = yaml.safe_load(companion.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise DataError(f"{companion} is not valid YAML: {error}") from error
    if not isinstance(content, dict) or content.get("fingerprint") != head["fingerprint"]:
        log.warning("%s is not of the version in %s; it is ignored", companion, file.name)
        return str(head["root"])
    changed = [
        key
        for key in ("mask_encoding", "labels")
        if hash_json(content.get(key)) != hash_json(head[key])
    ]
    if changed:
        raise DataError(
            f"{companion}: {' and '.join(changed)} differ from {file.name}; only `root` may be "
            "edited by hand. Import the data again with the labels you want"
        )
    root = content.get("root", head["root"])
    if not isinstance(root, str):
        raise DataError(
            f"{companion}: root: expected a path or URL as text, got {root!r}; put quotes around it"
        )
    return root


def _keep_former(path: Path, fingerprint: str) -> None:
    """Copy a different former version aside; a copy, so that there always is a manifest."""
    if not path.is_file():
        return
    try:
        former = str(_read_head(path)["fingerprint"])
    except DataError:
        former = "damaged-" + hashlib.sha256(path.read_bytes()).hexdigest()[:16]
    if former == fingerprint:
        return
    for file in (path, path.with_suffix(".yaml")):
        kept = file.with_name(f"{path.stem}.{former}{file.suffix}")
        if file.is_file() and not kept.exists():
            with atomic_path(kept) as temporary:
                shutil.copyfile(file, temporary)


__all__ = ["COLUMNS", "MANIFEST_NAME", "MASK_ENCODINGS", "SPLITS", "Manifest", "find_version"]
