"""Importers: one function a data set layout, found by name, and the two ways to a manifest.

An importer is `import_x(root, *, options...) -> ImportedFiles`. It looks at names and lists; what
is in the files is checked by `seglab.data.build`. Raw data is never written to.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import os
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from seglab.core.errors import ConfigError, DataNotFoundError, list_problems, nearest
from seglab.core.files import hash_json
from seglab.data.build import ImportedFiles, build_manifest
from seglab.data.importers.inference import require_published_form
from seglab.data.manifest import MANIFEST_NAME, Manifest

log = logging.getLogger(__name__)

Importer = Callable[..., ImportedFiles]
_ALL_LISTED = 1000


class _Importers(Mapping[str, Importer]):
    """Importers by name, each loaded when it is first asked for."""

    def __init__(self, places: Mapping[str, str]) -> None:
        self._places = dict(places)

    def __getitem__(self, name: str) -> Importer:
        if name not in self._places:
            raise ConfigError(
                f"unknown importer {name!r}{nearest(name, self._places)}; "
                f"importers are {', '.join(self._places)}"
            )
        module, _, function = self._places[name].partition(":")
        loaded: Importer = getattr(importlib.import_module(module), function)
        return loaded

    def __iter__(self) -> Iterator[str]:
        return iter(self._places)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, name: object) -> bool:
        return name in self._places


IMPORTERS: Mapping[str, Importer] = _Importers(
    {
        "folder": "seglab.data.importers.folder:import_folder",
        "camvid": "seglab.data.importers.camvid:import_camvid",
        "voc": "seglab.data.importers.voc:import_voc",
        "cityscapes": "seglab.data.importers.cityscapes:import_cityscapes",
        "ade20k": "seglab.data.importers.ade20k:import_ade20k",
        "oxford_pet": "seglab.data.importers.oxford_pet:import_oxford_pet",
        "synth": "seglab.data.synth.importer:import_synth",
    }
)
# These make their data themselves, so they need no root that exists.
_GENERATORS = frozenset({"synth"})


def import_dataset(
    importer: str,
    root: Path,
    out: Path,
    name: str,
    options: Mapping[str, Any] | None = None,
    on_error: str = "raise",
) -> Manifest:
    """Import a data set and write its manifest into `out`.

    Args:
        importer: Name in `IMPORTERS`.
        root: Folder of the raw data; only read, unless the importer makes or downloads the data.
        out: Folder for `manifest.parquet` and `manifest.yaml`.
        name: Name of the data set.
        options: The importer's own keyword options.
        on_error: `"raise"` or `"quarantine"`, see `build_manifest`.

    Raises:
        ConfigError: Unknown importer or options, or options of the wrong type; all are listed.
        DataNotFoundError: The raw data is not there or files of it are missing.
        LabelError: What the values in the masks mean is not certain; the message names the options
            that state it.
        DataError: Files are faulty and `on_error` is `"raise"`.
    """
    complete = resolve_options(importer, options or {})
    root = _tidy(root)
    imported = IMPORTERS[importer](root, **complete)
    if not imported.mask_values:
        require_published_form(
            [root / one.mask for one in imported.samples if one.mask is not None]
        )
        imported.mask_values = f"mask values as published with {importer}"
    for note in [*imported.notes, imported.mask_values]:
        log.info("%s: %s", name, note)
    provenance = {
        "importer": importer, "options": complete, "mask_values": imported.mask_values,
    }  # fmt: skip
    manifest = build_manifest(imported, root, name, provenance, on_error=on_error)
    manifest.write(out)
    return manifest


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

    An explicit `manifest` wins over importer and options; `root` then only counts if the manifest's
    own root is not there. Otherwise the manifest lives under `data_dir/manifests`, in a folder
    named after the data set and a hash of root, importer and options: it is imported once, under a
    lock, and reused. Files added to the root later go unnoticed; to import again, delete it.

    Raises:
        ConfigError: Unknown importer or options, or no root where one is needed.
        DataNotFoundError: The manifest, the root, or files the manifest lists are not there.
        DataError: The data is faulty.
    """
    if manifest is not None:
        opened = Manifest.read(manifest.expanduser())
        if root is not None and not opened.root.is_dir():
            opened = Manifest.read(manifest.expanduser(), root=root.expanduser())
        _check_files(opened)
        return opened
    complete = resolve_options(importer, options)
    data_dir = data_dir.expanduser().absolute()
    if root is None and importer not in _GENERATORS:
        raise ConfigError(f"data set {name!r}: importer {importer!r} needs data.root, the raw data")
    place = root or data_dir / f"{importer}-{hash_json(complete)[:8]}"
    place = _tidy(place)
    key = hash_json([str(place), importer, complete])[:8]
    folder = data_dir / "manifests" / f"{name}-{key}"
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Two processes that start at once must not both import; the second one waits and reads.
    with FileLock(folder.with_name(f".{folder.name}.lock")):
        if not (folder / MANIFEST_NAME).is_file():
            return import_dataset(importer, place, folder, name, complete)
        opened = Manifest.read(folder)
    _check_files(opened)
    return opened


def _tidy(root: Path) -> Path:
    """Return an absolute path without `..`; links stay, since data sets are often made of them."""
    return Path(os.path.normpath(root.expanduser().absolute()))


def _check_files(manifest: Manifest) -> None:
    """Raise with the names of all kept files that are gone since the manifest was written."""
    if not manifest.root.is_dir():
        raise DataNotFoundError(
            f"data set {manifest.name!r}: its root {manifest.root} is not there; set data.root to "
            "where the data is now"
        )
    kept = manifest.table[manifest.table["keep"]]
    files = [*kept["image"], *(mask for mask in kept["mask"] if mask is not None)]
    missing = [file for file in files if not (manifest.root / file).is_file()]
    if missing:
        raise DataNotFoundError(
            list_problems(
                f"data set {manifest.name!r}: {len(missing)} of {len(files)} files of its manifest "
                f"are missing under {manifest.root}; restore them or import the data again",
                missing,
                _ALL_LISTED,
            )
        )


def resolve_options(importer: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return all options of an importer, the defaults filled in.

    Raises:
        ConfigError: Unknown importer, unknown options or wrong types; every one is listed.
    """
    function = IMPORTERS[importer]
    parameters = {
        name: parameter
        for name, parameter in inspect.signature(function).parameters.items()
        if parameter.kind is inspect.Parameter.KEYWORD_ONLY
    }
    hints = typing.get_type_hints(function)
    problems = []
    for key, value in options.items():
        if key not in parameters:
            known = ", ".join(parameters) or "none"
            problems.append(
                f"importer {importer!r} has no option {key!r}{nearest(str(key), parameters)}; "
                f"options are {known}"
            )
        elif not _fits(value, hints[key]):
            problems.append(
                f"option {key!r} of importer {importer!r} must be {parameters[key].annotation}, "
                f"got {value!r}"
            )
    if problems:
        raise ConfigError(problems)
    defaults = {name: parameter.default for name, parameter in parameters.items()}
    return {**defaults, **{str(key): _plain(value) for key, value in options.items()}}


def _fits(value: Any, hint: Any) -> bool:
    """Return whether a value from YAML is of a simple type; only the outermost layer counts."""
    origin = typing.get_origin(hint)
    if origin in (typing.Union, types.UnionType):
        return any(_fits(value, part) for part in typing.get_args(hint))
    kind = origin or hint
    if kind is Any:
        return True
    if kind is type(None):
        return value is None
    if kind is float:
        return isinstance(value, int | float) and not isinstance(value, bool)
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    if kind in (list, tuple, Sequence):
        return isinstance(value, Sequence) and not isinstance(value, str)
    return isinstance(value, kind)


def _plain(value: Any) -> Any:
    """Return lists and dicts for any sequence or mapping, keys as text, to hash alike."""
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(item) for item in value]
    return value


__all__ = [
    "IMPORTERS",
    "ImportedFiles",
    "Importer",
    "import_dataset",
    "open_dataset",
    "resolve_options",
]
