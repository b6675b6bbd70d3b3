"""A manifest as labels of logged images: its samples are named `<request id>-<image>`."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import read_files
from seglab.core.errors import DataError
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest


def manifest_labels(
    place: Path, bundles: Sequence[str]
) -> tuple[dict[str, Callable[[], np.ndarray]], dict[str, Path]]:
    """Return the masks and the images of a manifest's kept samples, by sample.

    Args:
        place: Folder of the manifest, or the Parquet file.
        bundles: Whose classes have to be those of the manifest.

    Raises:
        DataError: The manifest is damaged, elsewhere than on this disk, or of other classes.
    """
    manifest = Manifest.read(place)
    if manifest.is_remote:
        raise DataError(f"labels: expected masks on this disk, got those of {manifest.root}")
    for path in bundles:
        info = json.loads(read_files(locate_bundle(path))["bundle.json"])["labels"]
        if list(manifest.labels.class_names) != info["class_names"]:
            raise DataError(
                f"labels: expected the classes of {path}, {', '.join(info['class_names'])}; got "
                f"{', '.join(manifest.labels.class_names)}"
            )
        if manifest.labels.ignore_index != info["ignore_index"]:
            raise DataError(
                f"labels: expected ignore_index {info['ignore_index']}, as in {path}, got "
                f"{manifest.labels.ignore_index}"
            )
    kept = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
    masks: dict[str, Callable[[], np.ndarray]] = {}
    images: dict[str, Path] = {}
    for sample, image, mask in zip(kept["sample_id"], kept["image"], kept["mask"], strict=True):
        file = manifest.path(mask)
        masks[sample] = functools.partial(read_mask, file, manifest.labels, manifest.mask_encoding)
        images[sample] = manifest.path(image)
    return masks, images
