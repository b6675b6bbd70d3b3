"""What is written of an image: the mask always, and what else was asked for."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.input_statistics import pixel_entropy
from seglab.bundle.loader import Bundle, Prediction
from seglab.core.disk.files import atomic_path
from seglab.core.disk.mask_png import write_mask
from seglab.deploy.predict.areas import count_classes
from seglab.deploy.predict.files.georeference import Georeference, write_raster
from seglab.deploy.predict.files.reading import Decoded
from seglab.deploy.predict.files.sources import Source
from seglab.deploy.predict.options import PredictFilesOptions

_JPEG_QUALITY = 90


class Outputs:
    """Writes what belongs to an image below the folder of predictions.

    Args:
        folder: Folder of predictions.
        bundle: Classes and colours.
        options: What is written.
    """

    def __init__(self, folder: Path, bundle: Bundle, options: PredictFilesOptions) -> None:
        self.folder = folder
        self.options = options
        self.num_classes = len(bundle.class_names)
        self.palette = [(red, green, blue) for red, green, blue in bundle.palette]
        colours = np.zeros((256, 3), np.float32)
        colours[: len(self.palette)] = self.palette
        self._colours = colours * np.float32(options.overlay_alpha)

    @property
    def with_probabilities(self) -> bool:
        """Whether anything is written that needs them."""
        return self.options.probabilities or self.options.entropy

    @property
    def wanted(self) -> str:
        """What the bundle is to give, as `predict_batch` calls it."""
        return "all" if self.with_probabilities else "masks"

    def path(self, kind: str, source: Source, suffix: str) -> Path:
        """Return where an output of a file goes, such as `masks/NAME.png`."""
        path = self.folder / kind / f"{source.name}{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def write(self, decoded: Decoded, found: Prediction) -> dict[str, Any]:
        """Write all outputs of an image; return its entry in the ledger."""
        source, place = decoded.source, decoded.georeference
        files = [self._plane("masks", source, found.mask, place, coloured=True)]
        if self.options.overlays and decoded.image is not None:
            picture = self.overlay(decoded.image, found.mask)
            files.append(self.write_jpeg(source, picture))
        if self.options.entropy:
            files.append(self._plane("entropy", source, entropy(found.probabilities), place))
        if self.options.probabilities:
            files.append(self._probabilities(source, found.probabilities, place))
        counts = count_classes(found.mask, self.num_classes)
        return self.entry(decoded, files, found.mask.shape, [(None, counts)])

    def entry(
        self,
        decoded: Decoded,
        files: list[Path],
        size: tuple[int, ...],
        counts: list[tuple[float | None, list[int]]],
    ) -> dict[str, Any]:
        """Return what the ledger notes of a file that is done."""
        place = decoded.georeference
        return {
            "name": decoded.source.name,
            "source": str(decoded.source.place),
            "version": decoded.version,
            "files": [one.relative_to(self.folder).as_posix() for one in files],
            "height": size[0],
            "width": size[1],
            "pixel_m2": None if place is None else place.pixel_m2,
            "counts": counts,
        }

    def overlay(self, image: np.ndarray, mask: np.ndarray) -> np.ndarray:
        """Return the colours of the classes laid over an image, uint8 `(H, W, 3)`."""
        mixed = picture(image) * np.float32(1 - self.options.overlay_alpha) + self._colours[mask]
        return np.rint(mixed).astype(np.uint8)

    def write_jpeg(self, source: Source, pixels: np.ndarray) -> Path:
        """Write an overlay; return its path."""
        held = io.BytesIO()
        Image.fromarray(pixels).save(held, "JPEG", quality=_JPEG_QUALITY)
        path = self.path("overlays", source, ".jpg")
        with atomic_path(path) as temporary:
            temporary.write_bytes(held.getvalue())
        return path

    def _plane(
        self,
        kind: str,
        source: Source,
        plane: np.ndarray,
        place: Georeference | None,
        coloured: bool = False,
    ) -> Path:
        """Write a uint8 plane `(H, W)`: PNG, or GeoTIFF where the image has a place on Earth."""
        if place is not None:
            path = self.path(kind, source, ".tif")
            colours = self.palette if coloured else ()
            write_raster(path, _once(plane[None]), (1, *plane.shape), place, colours)
            return path
        path = self.path(kind, source, ".png")
        write_mask(path, plane, self.palette if coloured else [(grey,) * 3 for grey in range(256)])
        return path

    def _probabilities(
        self, source: Source, planes: np.ndarray, place: Georeference | None
    ) -> Path:
        path = self.path("probabilities", source, ".npy" if place is None else ".tif")
        if place is not None:
            write_raster(path, _once(planes), planes.shape, place)
            return path
        with atomic_path(path) as temporary, temporary.open("wb") as stream:
            np.save(stream, planes.astype(np.float16))
        return path


def entropy(probabilities: np.ndarray) -> np.ndarray:
    """Return the entropy of `(classes, H, W)` over its largest possible value times 255, uint8 `(H, W)`."""
    return np.rint(255 * np.clip(pixel_entropy(probabilities), 0, 1)).astype(np.uint8)


def picture(image: np.ndarray) -> np.ndarray:
    """Return what to show of an image `(H, W, channels)`, uint8 `(H, W, 3)`: its first three bands.

    Values that are no bytes are stretched from the 2nd to the 98th percentile of each band.
    """
    bands = image[..., :3] if image.shape[2] >= 3 else np.repeat(image[..., :1], 3, axis=2)
    if bands.dtype == np.uint8:
        return bands
    low, high = np.percentile(bands, (2, 98), axis=(0, 1))
    level = (bands - low) / np.maximum(high - low, 1e-12)
    return np.rint(255 * np.clip(level, 0, 1)).astype(np.uint8)


def _once(planes: np.ndarray) -> Iterator[np.ndarray]:
    yield planes
