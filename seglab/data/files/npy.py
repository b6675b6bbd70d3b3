"""Images as NumPy arrays: the plain way in for pixels that no image format holds."""

from __future__ import annotations

import io

import numpy as np

from seglab.core.errors import DataError

NPY_START = b"\x93NUMPY"
_MOST_BANDS = 1024


def read_array(content: bytes) -> np.ndarray:
    """Return the array of a `.npy` file as `(H, W, bands)`; `(H, W)` is one band.

    Raises:
        DataError: Another number of dimensions, or bands that do not come last.
        ValueError: The file is damaged, or holds Python objects, which are never loaded.
    """
    array = np.load(io.BytesIO(content), allow_pickle=False)
    if array.ndim == 2:
        array = array[..., None]
    if array.ndim != 3 or 0 in array.shape or array.shape[2] > _MOST_BANDS:
        raise DataError(f"an array of shape {array.shape}; expected (H, W, bands) or (H, W)")
    if array.shape[0] < min(array.shape[1:]) and array.shape[2] > 16:
        raise DataError(
            f"an array of shape {array.shape} seems to have its bands first; save it as "
            "(H, W, bands): np.moveaxis(array, 0, -1)"
        )
    return np.asarray(array)
