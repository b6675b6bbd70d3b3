"""The back end for CPU training: one OpenCV warp on arrays as they are stored, in the workers.

kornia computes in float on whole batches, which a CPU pays for with many times the time an image.
Here the crop is sampled once, straight from the cached source, colours of 8 bits go through tables,
and a crop that only moves or mirrors pixels is a plain copy.
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from seglab.augment import colour as colours
from seglab.augment import geometry
from seglab.augment.band_effects import apply_band_effects
from seglab.augment.geometry import Matrix, PixelCopy, Size
from seglab.augment.options import AugmentSpec
from seglab.augment.params import AugmentParams, ColourParams, sample_params
from seglab.augment.steps import apply_steps, build_steps
from seglab.core.bands import Bands
from seglab.core.errors import ShapeError
from seglab.core.labels import DEFAULT_IGNORE_INDEX

Image = NDArray[Any]
# The mean colour only fills what nobody learns from: every eighth pixel tells it well enough.
FILL_STRIDE = 8
_WARPED_AT_ONCE = 4


class Uint8Augment:
    """Augment one sample held in arrays: uint8 RGB or grey, or bands of the type they are stored in.

    Convention:
        Image bilinear (boxes are averaged first where the crop shrinks by 2 or more), mask nearest,
        both sampled once from the source. Pixels outside the source and erased boxes get the mean
        colour of the source in the image and `ignore_index` in the mask.

    Args:
        spec: Limits and probabilities; `spec.mixing` is left to `BatchMixer`.
        crop_hw: (H, W) of the result.
        ignore_index: Void value of the masks, 0..255.
        bands: What is known of the bands; None for RGB and grey of 8 bits.

    Raises:
        ShapeError: `crop_hw` or `ignore_index` is out of range.
    """

    def __init__(
        self,
        spec: AugmentSpec,
        crop_hw: Size,
        ignore_index: int = DEFAULT_IGNORE_INDEX,
        bands: Bands | None = None,
    ) -> None:
        if len(crop_hw) != 2 or min(crop_hw) < 1:
            raise ShapeError(f"crop_hw must be a positive (H, W), got {crop_hw}")
        if not 0 <= ignore_index <= 255:
            raise ShapeError(f"ignore_index of a uint8 mask must lie in 0..255, got {ignore_index}")
        self.spec = spec
        self.crop_hw = (int(crop_hw[0]), int(crop_hw[1]))
        self.ignore_index = ignore_index
        self.bands = None if bands is None or bands.like_rgb else bands
        shape = (
            (*self.crop_hw, 3) if self.bands is None else (*self.crop_hw, len(self.bands.numbers))
        )
        example = np.zeros(shape, dtype="uint8" if self.bands is None else self.bands.dtype)
        self.steps = build_steps(spec.steps, example, self.ignore_index)

    def __call__(self, image: Image, mask: Image, rng: np.random.Generator) -> tuple[Image, Image]:
        """Draw an augmentation and apply it.

        Args:
            image: uint8 `(H, W, 3)` RGB or `(H, W)` grey, or `(H, W, C)` of the type of the bands
                (one band as `(H, W)`); not changed.
            mask: uint8 `(Hm, Wm)` class indices or `ignore_index`, at any size; not changed.
            rng: Source of all randomness.

        Returns:
            Image `(h, w, C)` or `(h, w)` of the same type and mask uint8 `(h, w)`, both with memory
            of their own.

        Raises:
            ShapeError: An array has another dtype or number of dimensions.
        """
        _check_arrays(image, mask, self.bands)
        height, width = image.shape[:2]
        params = sample_params(
            self.spec, rng, (height, width), self.crop_hw, mask, self.ignore_index
        )
        return apply_steps(self.steps, *self.apply(image, mask, params), rng)

    def apply(self, image: Image, mask: Image, params: AugmentParams) -> tuple[Image, Image]:
        """Apply a drawn augmentation; arguments and results as in `__call__`.

        Raises:
            ShapeError: Wrong arrays, or an image of another size than the one drawn for.
        """
        _check_arrays(image, mask, self.bands)
        if image.shape[:2] != params.image_hw:
            raise ShapeError(
                f"parameters were drawn for an image of {params.image_hw}, got {image.shape[:2]}"
            )
        mask_hw = (mask.shape[0], mask.shape[1])
        mask_matrix = geometry.to_mask_matrix(params.matrix, params.image_hw, mask_hw)
        crop = warp_image(image, params.matrix, params.crop_hw)
        labels = warp_mask(mask, mask_matrix, params.crop_hw, self.ignore_index)
        mean = mean_colour(image)
        invented = find_invented(params)
        if invented is not None:
            # Also where the mask, rounding at another size, would still show a label at the rim.
            labels[invented] = self.ignore_index
            crop[invented] = mean
        if self.bands is not None:
            return apply_band_effects(crop, params, mean, self.bands), labels
        return apply_effects(crop, params, colours.mean_luma(mean)), labels


def mean_colour(image: Image) -> tuple[float, ...]:
    """Return the mean of every eighth row and column, one value per channel; of integers rounded."""
    part = image[::FILL_STRIDE, ::FILL_STRIDE]
    mean = np.atleast_1d(part.mean(axis=(0, 1), dtype=np.float64))
    return tuple((mean if image.dtype.kind == "f" else np.rint(mean)).tolist())


def find_invented(params: AugmentParams) -> NDArray[np.bool_] | None:
    """Return bool `(h, w)`, True where the crop shows no pixel of the source or an erased one.

    None stands for "nowhere": most crops lie inside their source.
    """
    covered = geometry.is_covered(params.matrix, params.crop_hw, params.image_hw)
    if covered and not params.erase:
        return None
    if covered:
        invented = np.zeros(params.crop_hw, dtype=np.bool_)
    else:
        inside = np.ones(params.image_hw, dtype=np.uint8)
        invented = warp_mask(inside, params.matrix, params.crop_hw, 0) == 0
    for top, left, bottom, right in params.erase:
        invented[top:bottom, left:right] = True
    return invented


def warp_image(image: Image, matrix: Matrix, crop_hw: Size) -> Image:
    """Sample a crop of an image bilinearly; outside the image its edge goes on.

    Args:
        image: `(H, W, C)` or `(H, W)`, uint8, uint16 or float32.
        matrix: crop -> image, see `seglab.augment.geometry`.
        crop_hw: (h, w) of the result.

    Returns:
        `(h, w, C)` or `(h, w)` of the same type.
    """
    copy = geometry.find_pixel_copy(matrix, crop_hw)
    if copy is not None:
        return _copy_pixels(image, copy, crop_hw, 0)
    factor = geometry.shrink_factor(matrix, crop_hw)
    if factor > 1:
        image, matrix = _shrink(image, matrix, crop_hw, factor)
    return _warp(image, matrix, crop_hw, cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP, None)


def warp_mask(mask: Image, matrix: Matrix, crop_hw: Size, ignore_index: int) -> Image:
    """Sample a crop of a mask by nearest neighbour; void outside the mask.

    Args:
        mask: uint8 `(Hm, Wm)`.
        matrix: crop -> mask, see `seglab.augment.geometry.to_mask_matrix`.
        crop_hw: (h, w) of the result.
        ignore_index: Void value.

    Returns:
        uint8 `(h, w)` with no other values than those of the mask and void.
    """
    copy = geometry.find_pixel_copy(matrix, crop_hw)
    if copy is not None:
        return _copy_pixels(mask, copy, crop_hw, ignore_index)
    flags = cv2.INTER_NEAREST | cv2.WARP_INVERSE_MAP
    return _warp(mask, matrix, crop_hw, flags, ignore_index)


def apply_effects(image: Image, params: AugmentParams, luma: float) -> Image:
    """Apply colour, blur, noise and JPEG to a crop.

    Args:
        image: uint8 `(h, w, 3)` or `(h, w)`; may be overwritten.
        params: What was drawn.
        luma: Mean luma of the source (0..255), about which the contrast turns.
    """
    if params.colour is not None:
        image = _apply_colour(image, params.colour, luma)
    if params.blur_sigma > 0:
        size = colours.blur_kernel_size(params.blur_sigma, params.crop_hw)
        image = cv2.GaussianBlur(
            image, (size, size), params.blur_sigma, borderType=cv2.BORDER_REFLECT_101
        )
    if params.noise_std > 0:
        rows, columns = colours.noise_indices(params.noise_offset, params.crop_hw)
        bank = colours.noise_bank() if image.ndim == 3 else colours.noise_bank()[..., 0]
        noise = bank[rows[:, None], columns] * np.float32(params.noise_std)
        image = cv2.add(image, noise, dtype=cv2.CV_8U)
    if params.jpeg_quality > 0:
        image = _compress(image, params.jpeg_quality)
    return image


def _check_arrays(image: Image, mask: Image, bands: Bands | None) -> None:
    dtype, channels = ("uint8", 3) if bands is None else (bands.dtype, len(bands.numbers))
    planes = image.ndim == 2 if bands is None or channels == 1 else False
    fits = planes or (image.ndim == 3 and image.shape[2] == channels)
    if image.dtype != dtype or not fits or image.size == 0:
        flat = " or (H, W)" if bands is None or channels == 1 else ""
        raise ShapeError(
            f"expected a {dtype} image (H, W, {channels}){flat}, got {image.dtype} {image.shape}"
        )
    if mask.dtype != np.uint8 or mask.ndim != 2 or mask.size == 0:
        raise ShapeError(f"expected a uint8 mask (H, W), got {mask.dtype} {mask.shape}")


def _copy_pixels(source: Image, copy: PixelCopy, crop_hw: Size, outside: int) -> Image:
    height, width = crop_hw
    top, left = max(copy.top, 0), max(copy.left, 0)
    bottom = min(copy.top + height, source.shape[0])
    right = min(copy.left + width, source.shape[1])
    if (bottom - top, right - left) == crop_hw:
        crop = source[top:bottom, left:right].copy()
    else:
        crop = np.full((height, width, *source.shape[2:]), outside, dtype=source.dtype)
        if bottom > top and right > left:
            inside = np.s_[top - copy.top : bottom - copy.top, left - copy.left : right - copy.left]
            crop[inside] = source[top:bottom, left:right]
    if not (copy.flip_x or copy.flip_y):
        return crop
    flipped: Image = cv2.flip(crop, -1 if copy.flip_x and copy.flip_y else int(copy.flip_x))
    return flipped


def _warp(source: Image, matrix: Matrix, crop_hw: Size, flags: int, outside: int | None) -> Image:
    """Warp with OpenCV; `outside` None repeats the edge."""
    if source.ndim == 3 and source.shape[2] > _WARPED_AT_ONCE:
        # Of more channels OpenCV rounds positions to 1/32 of a pixel.
        starts = range(0, source.shape[2], _WARPED_AT_ONCE)
        parts = [np.ascontiguousarray(source[..., i : i + _WARPED_AT_ONCE]) for i in starts]
        return np.dstack([_warp(part, matrix, crop_hw, flags, outside) for part in parts])
    border = cv2.BORDER_REPLICATE if outside is None else cv2.BORDER_CONSTANT
    value = (float(outside or 0),)
    size = (crop_hw[1], crop_hw[0])
    index_matrix = geometry.to_index_matrix(matrix)
    crop: Image
    if matrix[2, 0] == 0 and matrix[2, 1] == 0:
        crop = cv2.warpAffine(source, index_matrix[:2], size, None, flags, border, value)
    else:
        crop = cv2.warpPerspective(source, index_matrix, size, None, flags, border, value)
    return crop


def _shrink(image: Image, matrix: Matrix, crop_hw: Size, factor: int) -> tuple[Image, Matrix]:
    """Average boxes, counted from the image origin, of the part that the crop sees."""
    left, top, right, bottom = geometry.footprint(matrix, crop_hw)
    count = -(-np.array([image.shape[1], image.shape[0]]) // factor)
    # One more box on each side than the footprint touches, for the bilinear step.
    first = np.floor(np.array([left, top]) / factor).astype(int) - 1
    last = np.ceil(np.array([right, bottom]) / factor).astype(int) + 1
    x0, y0 = first.clip(0, count - 1) * factor
    x1, y1 = last.clip(first.clip(0, count - 1) + 1, count) * factor
    part = image[y0:y1, x0:x1]
    missing = (-part.shape[0] % factor, -part.shape[1] % factor)
    if any(missing):
        part = cv2.copyMakeBorder(part, 0, missing[0], 0, missing[1], cv2.BORDER_REPLICATE)
    size = (part.shape[1] // factor, part.shape[0] // factor)
    small: Image = cv2.resize(part, size, interpolation=cv2.INTER_AREA)
    inverse = geometry.scaling(1 / factor, 1 / factor)
    return small, inverse @ geometry.translation(-float(x0), -float(y0)) @ matrix


def _apply_colour(image: Image, colour: ColourParams, luma: float) -> Image:
    image = cv2.LUT(image, colours.tone_table(colour, luma))
    matrix = colours.colour_matrix(colour)
    if matrix is None or image.ndim == 2:
        return image
    mixed: Image = cv2.transform(image, matrix)
    return mixed


def _compress(image: Image, quality: int) -> Image:
    """Encode and decode as JPEG, as BGR: else luma and chroma weigh the wrong channels."""
    grey = image.ndim == 2
    source = image if grey else cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
    _, code = cv2.imencode(".jpg", source, [cv2.IMWRITE_JPEG_QUALITY, quality])
    decoded = cv2.imdecode(code, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR)
    result = decoded if grey else cv2.cvtColor(decoded, cv2.COLOR_BGR2RGB)
    return np.asarray(result, dtype=np.uint8)
