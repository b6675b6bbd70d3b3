"""A large image from its file to its outputs, within bounded memory."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from seglab.bundle.loader import Bundle
from seglab.core.disk.mask_png import write_mask_rows
from seglab.deploy.predict.areas import count_classes
from seglab.deploy.predict.files.georeference import Georeference, write_raster
from seglab.deploy.predict.files.reading import Decoded
from seglab.deploy.predict.files.sources import Source
from seglab.deploy.predict.large.bands import Layout, Part, predict_bands
from seglab.deploy.predict.large.pixels import Pixels, new_pixels, shrunk, spool
from seglab.deploy.predict.outputs import Outputs, entropy

# Overlays are to be looked at; larger ones open in few viewers.
_OVERLAY_SIDE = 4096


class LargeImages:
    """Predicts images of which only bands are held.

    Args:
        bundle: The model.
        outputs: Says what is written, and where.
        folder: For pixels and scores that are not finished; emptied before and after each image.

    Attributes:
        cut: Number of images that went by windows though the bundle predicts in one piece.
    """

    def __init__(self, bundle: Bundle, outputs: Outputs, folder: Path) -> None:
        self._bundle = bundle
        self._outputs = outputs
        self._folder = folder
        self.cut = 0

    def predict(self, decoded: Decoded, tell: Callable[[float], None]) -> dict[str, Any]:
        """Write all outputs of an image; return its entry in the ledger.

        Args:
            decoded: The image without its pixels.
            tell: Told which share is done.

        Raises:
            ImageError: The file is damaged, or is not what the model takes.
        """
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir(parents=True)
        try:
            return self._predict(decoded, tell)
        finally:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _predict(self, decoded: Decoded, tell: Callable[[float], None]) -> dict[str, Any]:
        options, bundle = self._outputs.options, self._bundle
        pixels = spool(decoded.source, bundle, self._folder)
        height, width = pixels.shape[:2]
        part, layout = self._layout(pixels)
        mask = new_pixels(self._folder / "mask.raw", (height, width), "uint8")
        unsure = new_pixels(self._folder / "entropy.raw", (height, width), "uint8")
        planes = (len(bundle.class_names), height, width)
        shares = self._folder / "probabilities.npy"
        if options.probabilities:
            np.lib.format.open_memmap(shares, "w+", np.float16, planes)
        counts = np.zeros(planes[0], np.int64)
        seen = 0
        for band in predict_bands(bundle, part, layout, self._outputs.with_probabilities):
            mask.write(band.rows, band.columns, band.mask)
            counts += count_classes(band.mask, planes[0])
            if band.probabilities is not None and options.entropy:
                unsure.write(band.rows, band.columns, entropy(band.probabilities))
            if band.probabilities is not None and options.probabilities:
                np.load(shares, "r+")[:, band.rows, band.columns] = band.probabilities
            seen += band.mask.size
            tell(seen / (height * width))
        files = [self._plane("masks", decoded, mask, self._outputs.palette)]
        if options.overlays:
            files.append(self._overlay(decoded.source, pixels, mask))
        if options.entropy:
            files.append(self._plane("entropy", decoded, unsure, ()))
        if options.probabilities:
            files.append(self._probabilities(decoded, shares, planes))
        return self._outputs.entry(decoded, files, (height, width), [(None, counts.tolist())])

    def _layout(self, pixels: Pixels) -> tuple[Part, Layout]:
        """Return what reads the image, and how it is gone over."""
        info, options = self._bundle.info, self._outputs.options
        window = self._bundle.window or options.window
        overlap, size = info["predict"]["overlap"], (pixels.shape[0], pixels.shape[1])
        if info["input"]["image_size"] is None:
            self.cut += self._bundle.window is None
            return pixels.part, Layout(size, size, (window[0], window[1]), overlap)
        small = shrunk(pixels, tuple(info["input"]["image_size"]))
        source = (small.shape[0], small.shape[1])
        # At the working size the image goes through in one piece, unless the bundle has windows.
        whole = self._bundle.window or (
            max(1, round(source[0] * max(info["predict"]["scales"]))),
            max(1, round(source[1] * max(info["predict"]["scales"]))),
        )
        return (lambda rows, columns: small[rows, columns]), Layout(
            size, source, (whole[0], whole[1]), overlap
        )

    def _plane(self, kind: str, decoded: Decoded, plane: Pixels, palette: Any) -> Path:
        place = decoded.georeference
        rows = (plane.part(one, slice(None)) for one in plane.strips())
        if place is not None:
            path = self._outputs.path(kind, decoded.source, ".tif")
            size = (1, plane.shape[0], plane.shape[1])
            write_raster(path, (band[None] for band in rows), size, place, palette)
            return path
        path = self._outputs.path(kind, decoded.source, ".png")
        grey = [(value,) * 3 for value in range(256)]
        write_mask_rows(path, rows, (plane.shape[0], plane.shape[1]), palette or grey)
        return path

    def _overlay(self, source: Source, pixels: Pixels, mask: Pixels) -> Path:
        """Write an overlay of every n-th pixel, so that no side is longer than a viewer takes."""
        step = slice(None, None, -(-max(mask.shape) // _OVERLAY_SIDE))
        small = self._outputs.overlay(pixels.part(step, step), mask.part(step, step))
        return self._outputs.write_jpeg(source, small)

    def _probabilities(self, decoded: Decoded, shares: Path, planes: tuple[int, int, int]) -> Path:
        place = decoded.georeference
        path = self._outputs.path(
            "probabilities", decoded.source, ".npy" if place is None else ".tif"
        )
        if place is None:
            shutil.move(shares, path)
        else:
            write_raster(path, _rows(shares, planes, place), planes, place)
        return path


def _rows(shares: Path, planes: tuple[int, int, int], place: Georeference) -> Iterator[np.ndarray]:
    step = 512
    for top in range(0, planes[1], step):
        yield np.load(shares, "r")[:, top : top + step].astype(np.float32)
