"""Labels that arrive later, joined to the log's rows by the id of their request."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa
from PIL import Image

from seglab.core.errors import DataError, DataNotFoundError

# Id of an image -> its mask, class indices `(H, W)`.
Labels = Mapping[str, Callable[[], np.ndarray]]
_ENDINGS = (".png", ".tif", ".tiff", ".bmp")


def folder_labels(folder: str | Path) -> dict[str, Callable[[], np.ndarray]]:
    """Return the masks of a folder and those below it, by the name of their file without its ending.

    Args:
        folder: Of images of class indices, `<request id>.png`, or `<request id>-<image>.png` where a request
            has several images.

    Raises:
        DataNotFoundError: There is no such folder, or no mask in it.
        DataError: Two files have one name.
    """
    place = Path(folder).expanduser()
    found: dict[str, Callable[[], np.ndarray]] = {}
    for path in sorted(place.rglob("*")) if place.is_dir() else ():
        if path.suffix.lower() not in _ENDINGS:
            continue
        if path.stem in found:
            raise DataError(f"{folder}: expected one mask an image, got two named {path.stem}")
        found[path.stem] = lambda path=path: _read(path)  # type: ignore[misc]
    if not found:
        raise DataNotFoundError(
            f"{folder}: expected a folder of masks named by request id, such as 4f0c-0.png"
        )
    return found


def _read(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            values = np.asarray(image)
    except Exception as error:
        raise DataError(f"{path}: expected a mask, and it cannot be read: {error}") from error
    if values.ndim != 2:
        raise DataError(f"{path}: expected class indices (H, W), got {values.shape}")
    return values


def rows_of_labels(table: pa.Table, labels: Labels) -> tuple[list[int], list[str], list[str]]:
    """Join labels to rows.

    Args:
        table: With `request_id` and `image`.
        labels: By `<request id>-<image>`, or `<request id>` for the first image of a request.

    Returns:
        Rows that have labels; the key of each; the keys that belong to no row.
    """
    rows: list[int] = []
    keys: list[str] = []
    numbers = zip(table["request_id"].to_pylist(), table["image"].to_pylist(), strict=True)
    for row, (request, image) in enumerate(numbers):
        for key in (f"{request}-{image}", str(request) if image == 0 else ""):
            if key in labels:
                rows.append(row)
                keys.append(key)
                break
    return rows, keys, sorted(set(labels) - set(keys))
