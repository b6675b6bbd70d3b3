"""Loads a seglab bundle and predicts, from an image file's bytes to a mask, with numpy, onnxruntime, Pillow.

One file that stands alone, for a product to copy. Sizes are (H, W); the format: docs/bundle.md.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import onnxruntime as ort
from PIL import Image, ImageOps

VERSIONS = (1,)
Array = np.ndarray[Any, np.dtype[Any]]
_MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr")
FLIPS = {"h": (-1,), "v": (-2,), "hv": (-2, -1)}


class BundleError(ValueError):
    """The bundle is damaged, was changed, or is of another format."""


class ImageError(ValueError):
    """The bytes are no image that this model takes."""


class Prediction(NamedTuple):
    """What comes of one image."""

    mask: Array  # uint8 (H, W), class indices
    probabilities: Array  # float32 (classes, H, W); (0, H, W) where they were not asked for
    features: Array | None  # float32 (F,), the encoder's, pooled over the image


class Bundle:
    """A model ready to predict, made by `load`; `info` is bundle.json and `id` names its content."""

    def __init__(self, files: dict[str, bytes], variant: str | None, threads: int | None) -> None:
        self.info: dict[str, Any] = json.loads(files["bundle.json"])
        self.id = hashlib.sha256(files["bundle.json"]).hexdigest()[:16]
        self.variant = variant or self.info["variant"]
        if self.variant not in self.info["variants"]:
            raise BundleError(f"expected a variant of {list(self.info['variants'])}, got {variant}")
        self.class_names: list[str] = self.info["labels"]["class_names"]
        self.palette: list[tuple[int, ...]] = [tuple(c) for c in self.info["labels"]["palette"]]
        self.window: tuple[int, ...] | None = tuple(self.info["predict"]["window"] or ()) or None
        options = ort.SessionOptions()
        options.intra_op_num_threads, options.log_severity_level = threads or 0, 3
        names = self.info["variants"][self.variant]
        self.nets = [ort.InferenceSession(files[name], options) for name in names]

    def decode(self, content: bytes) -> Array:
        """Return a file's pixels upright, `(H, W, channels)`: uint8, or what an array file holds."""
        accepts = self.info["input"]
        try:
            if content[:6] == b"\x93NUMPY":
                return self._checked(np.load(io.BytesIO(content), allow_pickle=False))
            if accepts["bands"]:
                raise ImageError(f"expected the bands {accepts['bands']} as an array file (.npy)")
            with Image.open(io.BytesIO(content)) as image:
                if image.width * image.height > accepts["max_pixels"]:
                    raise ImageError(f"{image.size} is above {accepts['max_pixels']} pixels")
                if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
                    raise ImageError(f"expected one image, got {image.format} of several frames")
                deep, grey16 = ";16" in str(image.tile), image.mode.startswith("I")
                if not grey16 and (deep or image.mode not in _MODES):
                    raise ImageError(f"expected 8 bits, or 16-bit grey, got mode {image.mode}")
                upright = image if image.format == "TIFF" else ImageOps.exif_transpose(image)
                if grey16:
                    values = np.asarray(upright, np.uint32)
                    upright = Image.fromarray(((values + 128) // 257).astype(np.uint8))
                rgb, grey = upright.convert("RGB"), accepts["channels"] == 1
                return self._checked(np.asarray(rgb.convert("L") if grey else rgb))
        except Exception as error:
            ours = isinstance(error, ImageError)
            text = str(error).partition(" <")[0]  # Pillow adds where in memory the bytes are
            raise error if ours else ImageError(f"not an image, or damaged: {text}") from error

    def predict(self, image: Array) -> Prediction:
        """Predict one decoded image `(H, W, channels)`."""
        return self.predict_batch([image])[0]

    def predict_batch(self, images: Sequence[Array], give: str = "all") -> list[Prediction]:
        """Predict decoded images; `give="masks"`: no probabilities, `"logits"`: untempered logits."""
        images, found = [self._checked(image) for image in images], dict[int, Prediction]()
        for shape in dict.fromkeys(image.shape for image in images):
            places = [index for index, image in enumerate(images) if image.shape == shape]
            part = self._predict(np.stack([images[index] for index in places]), give)
            found |= zip(places, part, strict=True)
        return [found[index] for index in range(len(images))]

    def run(self, batch: Array, net: int = 0) -> tuple[Array, Array | None]:
        """Return logits `(B, classes, H, W)` and features `(B, F)` of raw values `(B, C, H, W)`."""
        logits, *features = self.nets[net].run(None, {"image": batch})
        return logits, features[0] if features else None

    def run_padded(self, batch: Array, net: int) -> tuple[Array, Array | None]:
        """As `run`, for any height and width: padded to what the network takes, and cut off again."""
        (height, width), accepts = batch.shape[2:], self.info["input"]
        divisor, least = accepts["size_divisor"], accepts["min_size"]
        sides = (-(-max(side, least) // divisor) * divisor for side in (height, width))
        logits, features = self.run(pad(batch, *sides), net)
        return logits[..., :height, :width], features

    def _checked(self, image: Array) -> Array:
        channels = self.info["input"]["channels"]
        image = image[..., None] if image.ndim == 2 else image
        if image.ndim == 3 and image.shape[2] == channels and image.size:
            return image
        raise ImageError(f"expected an image (H, W, {channels}), got {image.shape}")

    def _predict(self, images: Array, give: str) -> list[Prediction]:
        size, views = images.shape[1:3], self.info["predict"]
        images = at_working_size(images, self.info["input"]["image_size"])
        batch, seen = np.moveaxis(images, 3, 1).astype(np.float32), list[Array]()
        total: Any = np.float32(0)
        is_one = len(self.nets) * len(views["scales"]) * (1 + len(views["flips"])) == 1
        for net in range(len(self.nets)):
            for scale in views["scales"]:
                scaled = resize(batch, [max(1, round(side * scale)) for side in batch.shape[2:]])
                for flip in ((), *(FLIPS[name] for name in views["flips"])):
                    logits, features = self._blended(np.flip(scaled, flip), net)
                    one = np.flip(resize(logits, size), flip)
                    total = one if is_one else total + softmax(one)
                    seen += [] if features is None else [features]
        shares = total[:, :0] if give == "masks" else total if is_one else np.log(total + 1e-38)
        shares = softmax(shares / np.float32(self.info["temperature"])) if give == "all" else shares
        pooled = np.mean(seen, axis=0) if seen else [None] * len(images)
        return [Prediction(*one) for one in zip(argmax(total), shares, pooled, strict=True)]

    def _blended(self, batch: Array, net: int) -> tuple[Array, Array | None]:
        if self.window is None:
            return self.run_padded(batch, net)
        (height, width), (tall, wide) = batch.shape[2:], self.window
        batch = pad(batch, max(height, tall), max(width, wide))
        overlap, weight = self.info["predict"]["overlap"], bell(tall)[:, None] * bell(wide)
        shape = (len(batch), len(self.class_names), *batch.shape[2:])
        sums, total, seen = np.zeros(shape, np.float32), np.zeros(shape[2:], np.float32), []
        for top in window_starts(shape[2], tall, overlap):
            for left in window_starts(shape[3], wide, overlap):
                area = np.s_[..., top : top + tall, left : left + wide]
                logits, features = self.run_padded(batch[area], net)
                sums[area] += logits * weight
                total[area] += weight
                seen += [] if features is None else [features]
        return (sums / total)[..., :height, :width], np.mean(seen, axis=0) if seen else None


def load(
    path: str | Path, variant: str | None = None, threads: int | None = None, check: bool = True
) -> Bundle:
    """Read a bundle, a folder or a zip; with `check` its golden images must come out as at export."""
    files = read_files(Path(path))
    bundle = Bundle(files, variant, threads)
    for golden in bundle.info["golden"] if check else ():
        found = bundle.predict(bundle.decode(files[golden["image"]])).probabilities
        expected = np.load(io.BytesIO(files[golden["expected"]]), allow_pickle=False)
        off = float(np.abs(found - expected[bundle.variant]).mean())
        if not off <= golden["tolerance"]:
            raise BundleError(f"{path}: {golden['image']} comes out other than at export: {off:g}")
    return bundle


def read_files(path: Path) -> dict[str, bytes]:
    """Return a bundle's files by name, after their list, links and hashes were found in order."""
    if path.is_dir():
        if any(entry.is_symlink() for entry in (path, *path.rglob("*"))):
            raise BundleError(f"{path}: holds symbolic links, which a bundle must not")
        entries = (entry for entry in path.rglob("*") if entry.is_file())
        files = {entry.relative_to(path).as_posix(): entry.read_bytes() for entry in entries}
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if sum(one.file_size for one in archive.infolist()) > 8 << 30:
                raise BundleError(f"{path}: unpacks to more than 8 GiB")
            files = {n: archive.read(n) for n in archive.namelist() if not n.endswith("/")}
    else:
        raise BundleError(f"{path}: expected a bundle: a folder, or a zip of one")
    try:
        info = json.loads(files["bundle.json"])
        listed, version = dict(info["files"]), info["version"]
    except (KeyError, ValueError, TypeError) as error:
        raise BundleError(f"{path}: expected a bundle, with a sound bundle.json") from error
    if version not in VERSIONS:
        raise BundleError(f"{path}: expected version {VERSIONS}, got {version}; update the loader")
    off = listed.keys() ^ (files.keys() - {"bundle.json"})
    off |= {n for n in listed if n in files and hashlib.sha256(files[n]).hexdigest() != listed[n]}
    if off:
        raise BundleError(f"{path}: not as exported (changed, missing or added): {sorted(off)}")
    return files


def softmax(logits: Array) -> Array:
    """Return probabilities over axis 1."""
    shares = np.exp(logits - logits.max(1, keepdims=True))
    return shares / shares.sum(1, keepdims=True)


def argmax(logits: Array) -> Array:
    """Return the first largest over axis 1, uint8; whole planes are ten times as fast as NumPy's."""
    best, mask = logits[:, 0].copy(), np.zeros(logits[:, 0].shape, np.uint8)
    for index in range(1, logits.shape[1]):
        mask[logits[:, index] > best] = index
        np.maximum(best, logits[:, index], out=best)
    return mask


def resize(planes: Array, size: Sequence[int]) -> Array:
    """Resize `(..., H, W)` bilinearly; pixels are areas (torch's `align_corners=False`)."""
    for axis, side in ((-2, size[0]), (-1, size[1])):
        if (old := planes.shape[axis]) != side:
            at = np.clip((np.arange(side) + 0.5) * (old / side) - 0.5, 0, old - 1)
            low = at.astype(int)
            share = (at - low).astype(np.float32)[(slice(None),) if axis == -1 else np.s_[:, None]]
            upper = planes.take(np.minimum(low + 1, old - 1), axis)
            planes = planes.take(low, axis) * (1 - share) + upper * share
    return planes


def at_working_size(images: Array, size: Sequence[int] | None) -> Array:
    """Resize `(B, H, W, C)`: by area along sides that shrink, bilinearly along those that grow."""
    planes = np.moveaxis(images, 3, 1)
    for axis, side in enumerate(size or (), 2):
        if side < (old := planes.shape[axis]):
            edges = np.arange(side + 1) * (old / side)
            ends = np.arange(1, old + 1)
            shares = np.minimum(edges[1:, None], ends) - np.maximum(edges[:-1, None], ends - 1)
            shares = shares.clip(0) * (side / old)
            planes = np.moveaxis(np.moveaxis(planes, axis, -1) @ shares.T, -1, axis)
    planes = resize(np.rint(planes).astype(images.dtype), size or planes.shape[2:])
    return np.moveaxis(np.rint(planes).astype(images.dtype), 1, 3)


def pad(batch: Array, height: int, width: int) -> Array:
    """Extend `(..., H, W)` at the bottom and the right by reflection, then by the last pixel."""
    for mode in ("reflect", "edge"):
        missing = [(0, 0)] * (batch.ndim - 2)
        for side, old in ((height, batch.shape[-2]), (width, batch.shape[-1])):
            missing += [(0, min(side - old, old - 1) if mode == "reflect" else side - old)]
        batch = np.pad(batch, missing, mode) if np.any(missing) else batch
    return batch


def window_starts(side: int, window: int, overlap: float) -> list[int]:
    """Return where windows begin along a side, evenly, at steps of at most `window * (1 - overlap)`."""
    steps = -(-(side - window) // max(1, int(window * (1.0 - overlap) + 1e-6)))
    return [round(index * (side - window) / steps) for index in range(steps + 1)] if steps else [0]


def bell(side: int) -> Array:
    """Return the Gaussian along a window's side, with a deviation of an eighth of it."""
    return np.exp(-32 * ((np.arange(side) - (side - 1) / 2) / side) ** 2).astype(np.float32)
