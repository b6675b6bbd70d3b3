"""One sample of a manifest, from its files to the arrays that are trained on, held against the manifest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from seglab.core.disk.files import sha256_bytes
from seglab.core.errors import DataError
from seglab.data.bands.decode import decode_bands, select_bands
from seglab.data.files.images import decode_image
from seglab.data.files.masks import decode_mask
from seglab.data.manifest import Manifest
from seglab.data.remote import RemotePath


@dataclass(frozen=True)
class SourceFiles:
    """The files of a sample, and what the manifest knows of them."""

    sample_id: str
    image: Path
    mask: Path | None
    sha256: str | None
    mask_sha256: str | None
    class_pixels: Sequence[int]


class SampleDecoder:
    """Decodes the kept samples of a manifest, in order of `sample_id`.

    Args:
        manifest: Data set; samples with `keep` false are left out.
        image_size: Working size (H, W) of images, or None for each one's own. Images shrink by area
            averaging and grow bilinearly.
        channels: 3 for RGB, 1 for grey; without effect beside `bands`.
        bands: Numbers of the bands to keep as stored, instead of RGB or grey.
    """

    def __init__(
        self,
        manifest: Manifest,
        image_size: tuple[int, int] | None,
        channels: int,
        bands: tuple[int, ...] | None = None,
    ) -> None:
        self.manifest = manifest
        self.image_size = image_size
        self.bands = bands
        self.channels = len(bands) if bands else channels
        self.table = manifest.table[manifest.table["keep"]].sort_values("sample_id")

    def sources(self) -> Iterator[SourceFiles]:
        """Yield the files of every sample."""
        names = ("sample_id", "image", "mask", "sha256", "mask_sha256", "class_pixels")
        columns = [self.table[name] for name in names]
        for sample_id, image, mask, *known in zip(*columns, strict=True):
            path = self.manifest.path(mask) if isinstance(mask, str) else None
            yield SourceFiles(sample_id, self.manifest.path(image), path, *known)

    def image(self, source: SourceFiles) -> np.ndarray:
        """Return the image at its working size, `(H, W, channels)`.

        Raises:
            DataError: It is damaged, or not the file that was imported.
            FileNotFoundError: There is no such file.
        """
        content = _read_imported(source.image, source.sha256)
        if self.bands:
            image = select_bands(decode_bands(content, source.image), self.bands, source.image)
        else:
            image = decode_image(content, source.image, self.channels)
        resized = _resize(image, self.image_size) if self.image_size else image
        return np.ascontiguousarray(resized.reshape(*resized.shape[:2], self.channels))

    def mask(self, source: SourceFiles) -> np.ndarray | None:
        """Return the mask, uint8 `(H, W)`; None for a sample without one.

        Raises:
            DataError: As for `image`, or its pixels of each class are not those of the manifest.
            FileNotFoundError: There is no such file.
        """
        if source.mask is None:
            return None
        labels = self.manifest.labels
        content = _read_imported(source.mask, source.mask_sha256)
        # The file is the one the import read, so is what came of it.
        decoded = self.manifest.decoded.get(source.mask_sha256)
        if decoded is not None:
            return decoded
        mask = decode_mask(content, source.mask, labels, self.manifest.mask_encoding)
        mask = np.ascontiguousarray(mask)
        counts = np.bincount(mask.ravel(), minlength=256)
        if len(source.class_pixels) == labels.num_classes + 1:
            found = [*counts[: labels.num_classes], counts[labels.ignore_index]]
            if not np.array_equal(found, source.class_pixels):
                raise DataError(f"{source.mask}: not the mask that was imported (other pixels)")
        return mask


def _read_imported(path: Path, sha256: str | None) -> bytes:
    content = path.read_version(sha256) if isinstance(path, RemotePath) else path.read_bytes()
    if sha256 is not None and sha256_bytes(content) != sha256:
        raise DataError(f"{path}: not the file that was imported (other SHA-256)")
    return content


def _resize(image: np.ndarray, image_size: tuple[int, int]) -> np.ndarray:
    """Resize `(H, W)` or `(H, W, C)` of any type: by area along axes that shrink, then bilinearly."""
    height, width = image_size
    smaller = (min(height, image.shape[0]), min(width, image.shape[1]))
    if smaller != image.shape[:2]:
        image = cv2.resize(image, smaller[::-1], interpolation=cv2.INTER_AREA)
    if image.shape[:2] != image_size:
        image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)
    return image
