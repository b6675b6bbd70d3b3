"""The two ways to a manifest: importing raw data, and opening what was imported.

An importer is `import_x(root, *, options...) -> ImportedFiles`. It looks at names and lists; what
is in the files is checked by `seglab.data.build`. Raw data is never written to.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

import seglab.data.annotated.options
import seglab.data.synth.options  # noqa: F401 - declares it
from seglab.core.disk.files import hash_json
from seglab.core.disk.provenance import code_origin
from seglab.core.disk.urls import is_url, url_text
from seglab.core.errors import ConfigError, DataNotFoundError, nearest
from seglab.core.parts.components import components, load_component
from seglab.core.parts.nodes import call
from seglab.core.parts.own_parts import own_options, read_part
from seglab.core.parts.plugins import TARGET, load_target
from seglab.core.text.option_words import option_name
from seglab.core.text.shell import shell_command
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.freshness import FileHashes, require_files, with_mask_hashes
from seglab.data.importers.ids.inference import require_published_form
from seglab.data.importers.options import ImporterOptions, OwnImporterOptions
from seglab.data.importers.renewal import is_current, read_former, tell_changes
from seglab.data.manifest import Manifest

log = logging.getLogger(__name__)


def import_dataset(
    importer: str,
    root: Path,
    out: Path,
    name: str,
    options: Mapping[str, Any] | None = None,
    on_error: str = "raise",
    hashes: FileHashes | None = None,
) -> Manifest:
    """Import a data set and write its manifest into `out`.

    Args:
        importer: Name in the registry of components.
        root: Folder of the raw data, or the file that stands for it; only read, unless the importer
            makes or downloads the data.
        out: Folder for `manifest.parquet` and `manifest.yaml`.
        name: Name of the data set.
        options: The importer's own keyword options.
        on_error: `"raise"` or `"quarantine"`, see `build_manifest`.
        hashes: Learns those of the files, so that they need not be read again to be checked.

    Raises:
        ConfigError: Unknown importer or options, or options of the wrong type; all are listed.
        DataNotFoundError: The raw data is not there or files of it are missing.
        LabelError: What the values in the masks mean is not certain; the message names the options
            that state it.
        DataError: Files are faulty and `on_error` is `"raise"`.
    """
    complete = resolve_options(importer, options or {})
    root, complete = declared_options(importer).located(_tidy(root), complete)
    imported = _read(importer, root, complete)
    if not imported.mask_values:
        require_published_form(
            [root / one.mask for one in imported.samples if one.mask is not None]
        )
        imported.mask_values = f"mask values as published with {importer}"
    for note in [*imported.notes, imported.mask_values]:
        log.info("%s: %s", name, note)
    provenance = {"importer": importer, "options": complete, "mask_values": imported.mask_values}
    # Taken before the files are read: what changes meanwhile is read again the next time.
    statuses = {} if hashes is None else hashes.statuses(_file_names(imported.samples, root))
    manifest = build_manifest(imported, root, name, provenance, on_error=on_error)
    manifest.write(out)
    if hashes is not None:
        for file, digest in (("image", "sha256"), ("mask", "mask_sha256")):
            read = zip(manifest.table[file], manifest.table[digest], strict=True)
            hashes.learn(statuses, {name: value for name, value in read if name is not None})
    return manifest


def _read(importer: str, root: Path, options: Mapping[str, Any]) -> ImportedFiles:
    if not _is_own(importer):
        found: ImportedFiles = load_component("importer", importer)(root, **options)
        return found
    part = read_part("data.options", "importer", {TARGET: importer, **options}, _own_keys)
    imported = call("data.importer", importer, part.make(), {}, root)
    if not isinstance(imported, ImportedFiles):
        raise ConfigError(
            f"data.importer: expected {importer} to give seglab.data.build.ImportedFiles, got "
            f"{type(imported).__name__}"
        )
    return imported


def _is_own(importer: str) -> bool:
    """Whether an importer is a class or function of one's own: ours have no dotted path."""
    return "." in importer


def _own_keys(found: Any) -> type[ImporterOptions]:
    return OwnImporterOptions


def _file_names(samples: Sequence[SampleFiles], root: Path) -> list[str]:
    files = [file for one in samples for file in (one.image, one.mask) if file is not None]
    return [Path(os.path.relpath(root / file, root)).as_posix() for file in files]


def open_dataset(
    *,
    name: str,
    importer: str,
    root: Path | None,
    manifest: Path | None,
    options: Mapping[str, Any],
    data_dir: Path,
) -> Manifest:
    """Return the manifest of a configured data set, importing it on first use.

    An explicit `manifest` wins over importer and options; `root` then only counts if it is a URL, or
    the manifest's own root is not there. Its files must be those it stands for; of files by URL it is
    asked here whether they are there, and their content is compared when it is read.

    Otherwise the manifest lives under `data_dir/manifests`, in a folder named after the data set
    and a hash of root, importer and options. It is written on first use, under a lock, and as long
    as nothing changed a later use costs a `stat` a file. Where files came, went or changed, the
    data is imported again, what changed is said in one line, and the former version stays beside.

    Raises:
        ConfigError: Unknown importer or options, or no root where one is needed.
        DataNotFoundError: The manifest, the root, or files the manifest lists are not there.
        DataError: The data is faulty, or not what the explicit manifest stands for.
    """
    data_dir = data_dir.expanduser().absolute()
    if manifest is not None:
        return _open_explicit(manifest.expanduser(), root, data_dir)
    complete = resolve_options(importer, options)
    if root is None and not declared_options(importer).makes_data:
        raise ConfigError(f"data set {name!r}: importer {importer!r} needs data.root, the raw data")
    place = root or data_dir / f"{importer}-{hash_json(complete)[:8]}"
    place, complete = declared_options(importer).located(_tidy(place), complete)
    own = [code_origin(importer)["sha256"]] if _is_own(importer) else []
    key = hash_json([str(place), importer, complete, *own])[:8]
    folder = data_dir / "manifests" / f"{name}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that start at once must not both import; the second one waits and reads.
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        hashes = _hashes(place, data_dir)
        former = read_former(folder)
        if former is not None:
            if not declared_options(importer).makes_data:
                _require_root(former)
            if is_current(former, hashes):
                return former
        renewed = import_dataset(importer, place, folder, name, complete, hashes=hashes)
    tell_changes(former, renewed, folder)
    return renewed


def _open_explicit(file: Path, root: Path | None, data_dir: Path) -> Manifest:
    opened = Manifest.read(file)
    if root is not None and (is_url(root) or not opened.root.is_dir()):
        opened = Manifest.read(file, root=root.expanduser())
    elif root is not None and root.expanduser().absolute() != Path(opened.root).absolute():
        log.warning(
            "data.root=%s is not used: the files of the manifest %s are where it says, in %s",
            root,
            file,
            opened.root,
        )
    _require_root(opened)
    hashes = _hashes(opened.root, data_dir)
    require_files(opened, hashes, file, _import_again(opened, file))
    return with_mask_hashes(opened, hashes, file)


def _import_again(manifest: Manifest, file: Path) -> str:
    """Return the command that imports the data of a manifest again, with the options it had."""
    importer = manifest.provenance.get("importer")
    if importer is None or importer not in components("importer"):
        return f"seglab data import IMPORTER {shell_command(manifest.root)} --out FOLDER"
    usual = resolve_options(importer, {})
    options = manifest.provenance.get("options") or {}
    words = [
        word
        for key, value in options.items()
        if key in usual and value != usual[key]
        for word in ("--option", f"{key}={json.dumps(value, ensure_ascii=False)}")
    ]
    out = file if file.is_dir() else file.parent
    named = ("--out", out, "--name", manifest.name)
    return shell_command("seglab", "data", "import", importer, manifest.root, *named, *words)


def _hashes(root: Path, data_dir: Path) -> FileHashes:
    """Return what is known of the files below a root, whatever they were imported as."""
    return FileHashes(root, data_dir / "manifests" / f".files-{hash_json(str(root))}.json")


def _tidy(root: Path) -> Path:
    """Return an absolute path without `..`; links stay, since data sets are often made of them.

    Raises:
        ConfigError: It is a URL.
    """
    if is_url(root):
        raise ConfigError(
            f"data is imported from a folder of this machine, got {url_text(root)}; import it where the "
            "files are, then give the manifest with this URL as its root"
        )
    return Path(os.path.normpath(root.expanduser().absolute()))


def _require_root(manifest: Manifest) -> None:
    if not manifest.root.is_dir():
        raise DataNotFoundError(
            f"data set {manifest.name!r}: its root {manifest.root} is not there; set data.root to "
            "where the data is now"
        )


def resolve_options(importer: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of an importer as plain values, the defaults filled in.

    Raises:
        ConfigError: Unknown importer, unknown options or wrong values; every one is listed.
    """
    declared = declared_options(importer)
    try:
        complete = declared.read(options, "data.options")
    except ConfigError as error:
        name = option_name("")
        names = {"data.options.": name, "'data.options'": f"'{name.rstrip(' .')}'"}
        problems = error.problems
        for key, typed in names.items():
            problems = [one.replace(key, typed) for one in problems]
        raise ConfigError(problems) from error
    # The defaults of one's own are whatever Python takes, so they stay with the code.
    return dict(options) if _is_own(importer) else complete.to_dict()


def declared_options(importer: str) -> type[ImporterOptions]:
    """Return what an importer may be told.

    Raises:
        ConfigError: There is no such importer.
    """
    known: Any = components("importer")
    if _is_own(importer):
        try:
            found = load_target(importer, "importer")
        except ConfigError as error:
            raise ConfigError([f"data.importer: {one}" for one in error.problems]) from error
        own: Any = own_options("importer", importer, found, OwnImporterOptions)
        return own
    if importer not in known:
        raise ConfigError(
            f"unknown importer {importer!r}{nearest(importer, known)}; importers are "
            f"{', '.join(known)}"
        )
    declared: type[ImporterOptions] = known[importer]
    return declared
