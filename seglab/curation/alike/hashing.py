"""Perceptual hashes of an image as it may come back: flipped, or with a little cut away on some side."""

from __future__ import annotations

import imagehash
import numpy as np
from PIL import Image

_CUT = 0.03
# Where the cut-away part lies, as shares of it above and left: the middle is kept, or a corner.
_CORNERS = ((0.5, 0.5), (0.0, 0.0), (0.0, 1.0), (1.0, 0.0), (1.0, 1.0))
NUM_VARIANTS = 2 + len(_CORNERS)
# Place of the mirror image among the variants.
MIRRORED = 1
# An image shrunk to this first gives the same hashes but for a bit or two, at a tenth of the time.
_MOST_PX = 256
# Hashes of one picture differ in up to ten bits after all that `alike.transforms` does to it.
MAX_BITS = 11
# Correlation of two images, moved over each other, from which they are one picture.
SAME_PICTURE = 0.9


def perceptual_hash(image: np.ndarray) -> int:
    """Return the 64-bit pHash of an image, uint8 RGB `(H, W, 3)`, as in the manifest's column `phash`.

    References:
        ImageHash: https://github.com/JohannesBuchner/imagehash
    """
    return int(str(imagehash.phash(Image.fromarray(np.ascontiguousarray(image)))), 16)


def variant_hashes(image: np.ndarray) -> np.ndarray:
    """Return the hashes of the image, of its mirror image, and of five cuts, uint64 `(7,)`."""
    picture = Image.fromarray(image)
    picture.thumbnail((_MOST_PX, _MOST_PX), Image.Resampling.BOX)
    small = np.asarray(picture)
    height, width = small.shape[:2]
    down, right = round(height * _CUT), round(width * _CUT)
    views = [image, small[:, ::-1]]
    for above, left in _CORNERS:
        top, start = round(down * above), round(right * left)
        views.append(small[top : top + height - down, start : start + width - right])
    return np.array([perceptual_hash(view) for view in views], dtype=np.uint64)
