"""One predicted sample as figures and trackers show it.

It lives here, below both, because `analysis` and `engine` may not import each other.
"""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
from PIL import Image

from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError, ShapeError

PREDICTIONS = "predictions"
# With `.confidence.png` the 255 bytes at which file systems end names.
_MOST_LETTERS, _BEGINNING = 240, 220


def prediction_path(run_dir: Path, sample_id: str) -> Path:
    """Return where a run keeps the class indices it predicted for a sample, a PNG with palette."""
    return run_dir / PREDICTIONS / f"{_file_name(sample_id)}.png"


def confidence_path(run_dir: Path, sample_id: str) -> Path:
    """Return where a run keeps the probability of the predicted class times 255, a grey PNG."""
    return run_dir / PREDICTIONS / f"{_file_name(sample_id)}.confidence.png"


def probabilities_path(run_dir: Path, sample_id: str) -> Path:
    """Return where a run keeps the probabilities of all classes, if it was asked to."""
    return run_dir / PREDICTIONS / f"{_file_name(sample_id)}.probs.npz"


def write_probabilities(run_dir: Path, sample_id: str, shares: np.ndarray) -> None:
    """Keep uint8 `(C, H, W)`: probabilities times 255, rounded; compressed, a file an image."""
    path = probabilities_path(run_dir, sample_id)
    with atomic_path(path) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, probabilities=shares)


def read_probabilities(run_dir: Path, sample_id: str, num_classes: int) -> np.ndarray | None:
    """Return what a run thinks of every pixel of a sample.

    Args:
        run_dir: Folder of the run.
        sample_id: The sample.
        num_classes: Number of classes C.

    Returns:
        Float32 `(C, H, W)` in [0, 1], summing to 1 up to rounding. Where the run kept only the predicted
        class and its confidence, the rest is spread evenly over the other classes. None: nothing was kept.

    Raises:
        DataError: A file is damaged, or of another number of classes.
    """
    path = probabilities_path(run_dir, sample_id)
    if path.is_file():
        shares = _read_shares(path)
        if shares.ndim != 3 or shares.shape[0] != num_classes:
            raise DataError(
                f"{path}: expected probabilities of {num_classes} classes, got an array of shape "
                f"{shares.shape}; the run knows other classes than the manifest"
            )
        return shares.astype(np.float32) / 255
    mask_file, confidence_file = (
        prediction_path(run_dir, sample_id),
        confidence_path(run_dir, sample_id),
    )
    if not (mask_file.is_file() and confidence_file.is_file()):
        return None
    return _spread(_read_png(mask_file), _read_png(confidence_file), num_classes, mask_file)


def _spread(mask: np.ndarray, confidence: np.ndarray, num_classes: int, path: Path) -> np.ndarray:
    if mask.shape != confidence.shape or mask.max(initial=0) >= num_classes:
        raise DataError(
            f"{path}: expected class indices below {num_classes} at the size of the confidence, got "
            f"up to {mask.max(initial=0)} at {mask.shape} and {confidence.shape}"
        )
    share = confidence.astype(np.float32) / 255
    rest = (1 - share) / (num_classes - 1)
    probabilities = np.broadcast_to(rest, (num_classes, *mask.shape)).copy()
    np.put_along_axis(probabilities, mask[None].astype(np.int64), share[None], axis=0)
    return probabilities


def _read_shares(path: Path) -> np.ndarray:
    try:
        with np.load(path, allow_pickle=False) as content:
            shares: np.ndarray = content["probabilities"]
            return shares
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}); evaluate the run again") from error


def _read_png(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as picture:
            return np.array(picture)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} is damaged ({error}); evaluate the run again") from error


def _file_name(sample_id: str) -> str:
    """Return an id as one readable file name: ids may hold slashes and anything else."""
    name = quote(sample_id, safe="")
    if len(name) <= _MOST_LETTERS:
        return name
    # A letter beyond ASCII takes 6 to 12 when quoted, so names of moderate length come here.
    return f"{name[:_BEGINNING]}-{hashlib.sha256(sample_id.encode()).hexdigest()[:16]}"


@dataclass(frozen=True)
class SamplePrediction:
    """An image with what it shows and what the model saw in it.

    Args:
        sample_id: Name of the sample in the manifest.
        image: uint8 RGB `(H, W, 3)`, not normalised. May have another size than the masks;
            those who show it resize the image, never the masks.
        mask: Integer `(Hm, Wm)`, class indices or the ignored index.
        prediction: Integer `(Hm, Wm)`, class indices. Ignored pixels carry a prediction too.
        confidence: Float `(Hm, Wm)` in [0, 1], probability of the predicted class; None: not kept.
        shows: What `image` shows where that is not the image itself, such as `bands 4, 3, 2`.

    Raises:
        ShapeError: An array has another shape or dtype.
    """

    sample_id: str
    image: np.ndarray
    mask: np.ndarray
    prediction: np.ndarray
    confidence: np.ndarray | None = None
    shows: str = ""

    def __post_init__(self) -> None:
        problems = []
        if self.image.ndim != 3 or self.image.shape[2] != 3 or self.image.dtype != np.uint8:
            problems.append(
                f"image: expected uint8 (H, W, 3), got {self.image.dtype} {self.image.shape}"
            )
        for name, array in (("mask", self.mask), ("prediction", self.prediction)):
            if array.ndim != 2 or array.dtype.kind not in "iu":
                problems.append(
                    f"{name}: expected integers (H, W), got {array.dtype} {array.shape}"
                )
        if self.mask.shape != self.prediction.shape:
            problems.append(
                f"mask {self.mask.shape} and prediction {self.prediction.shape} differ in size"
            )
        if problems:
            raise ShapeError(f"sample {self.sample_id!r}: " + "; ".join(problems))
