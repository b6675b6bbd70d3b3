"""What may be done to a training sample: the options under `augment`, as in `conf/augment/*.yaml`.

Only limits and probabilities live here: `seglab.augment.params` draws from them, the back ends
apply what was drawn. Every default means "leave the sample alone".

References:
    Zhong et al. (2020): https://arxiv.org/abs/1708.04896
    Yun et al. (2019): https://arxiv.org/abs/1905.04899
    Olsson et al. (2021): https://arxiv.org/abs/2007.07936
    Bochkovskiy et al. (2020): https://arxiv.org/abs/2004.10934
    Ghiasi et al. (2021): https://arxiv.org/abs/2012.07177
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from annotated_types import Interval
from pydantic import Field, model_validator

from seglab.core.options import Fraction, Options, Pair, Span, Targets, broken_rule

Backend = Literal["uint8", "kornia"]


class GeometrySpec(Options):
    """Which part of the source the crop shows, and how it is bent on the way."""

    crop: Literal["random", "center"] = "center"
    """`random` draws the position of the crop; `center` always takes the middle."""
    hflip: Fraction = 0.0
    """Probability of a left-right mirror."""
    vflip: Fraction = 0.0
    """Probability of an upside-down mirror."""
    scale: Annotated[Pair, Span(0.05, 20)] = (1.0, 1.0)
    """Zoom of the source before the crop, log-uniform in `[low, high]`; 2 shows objects twice as
    large, 1 keeps the pixels of the working image."""
    aspect: Annotated[Pair, Span(0.2, 5)] = (1.0, 1.0)
    """Width over height of the zoom, log-uniform in `[low, high]`."""
    rotate: Annotated[float, Interval(ge=0, le=180)] = 0.0
    """Largest rotation in degrees, drawn uniformly on both sides."""
    shear: Annotated[float, Interval(ge=0, le=45)] = 0.0
    """Largest horizontal shear in degrees."""
    perspective: Annotated[float, Interval(ge=0, le=0.4)] = 0.0
    """Largest tilt; 0.2 shows one corner at up to 1.2 / 0.8 = 1.5 times the size of the opposite one."""
    perspective_p: Fraction = 0.0
    """Probability of a tilt."""
    rare_class_crop: Fraction = 0.0
    """Probability of placing a random crop on a pixel of a class drawn uniformly from those present
    in the mask, however few pixels it has."""


class ColourSpec(Options):
    """Point-wise changes of colour; all of them together happen with probability `p`."""

    p: Fraction = 0.0
    """Probability that the colours of a sample change at all."""
    brightness: Annotated[float, Interval(ge=0, le=0.95)] = 0.0
    """Factor drawn in `1 - brightness .. 1 + brightness`."""
    contrast: Annotated[float, Interval(ge=0, le=0.95)] = 0.0
    """Factor about the mean luma of the source, drawn in `1 - contrast .. 1 + contrast`."""
    saturation: Fraction = 0.0
    """Factor drawn in `1 - saturation .. 1 + saturation`."""
    hue: Annotated[float, Interval(ge=0, le=0.5)] = 0.0
    """Largest turn of the hue, as a fraction of the full circle (0.5 is half a turn)."""
    gamma: Annotated[float, Interval(ge=0, le=4)] = 0.0
    """Exponent drawn log-uniformly in `1 / (1 + gamma) .. 1 + gamma`."""
    grayscale: Fraction = 0.0
    """Probability, once `p` has struck, of dropping the colour altogether."""


class BlurSpec(Options):
    """Gaussian blur."""

    p: Fraction = 0.0
    """Probability."""
    sigma: Annotated[Pair, Span(0.05, 20)] = (0.1, 1.5)
    """Range of the standard deviation in pixels of the crop, log-uniform."""


class NoiseSpec(Options):
    """Additive Gaussian noise.

    Of bands, 0..255 stands for percentiles 2 to 98 of the training part.
    """

    p: Fraction = 0.0
    """Probability."""
    std: Annotated[Pair, Span(0, 100)] = (2.0, 10.0)
    """Range of the standard deviation in grey levels of 0..255."""


class JpegSpec(Options):
    """JPEG compression."""

    p: Fraction = 0.0
    """Probability."""
    quality: Annotated[Pair, Span(1, 100)] = (40.0, 90.0)
    """Range of the quality, 1 (worst) to 100."""


class ErasingSpec(Options):
    """One box per sample replaced by the mean colour, its labels by void (Zhong et al., 2020)."""

    p: Fraction = 0.0
    """Probability."""
    scale: Annotated[Pair, Span(0.001, 0.9)] = (0.02, 0.1)
    """Range of the area of the box as a fraction of the crop."""
    ratio: Annotated[Pair, Span(0.05, 20)] = (0.5, 2.0)
    """Range of height over width of the box, log-uniform."""


class MixingSpec(Options):
    """Probabilities of mixing a sample with others of its batch; at most one of the four happens."""

    cutmix: Fraction = 0.0
    """A box of another sample (Yun et al., 2019)."""
    classmix: Fraction = 0.0
    """Half of the classes of another sample (Olsson et al., 2021)."""
    mosaic: Fraction = 0.0
    """Four samples around a random point (Bochkovskiy et al., 2020)."""
    copy_paste: Fraction = 0.0
    """One class of another sample, rare ones first (after Ghiasi et al., 2021)."""

    @model_validator(mode="after")
    def _exclude_each_other(self) -> MixingSpec:
        if self.total > 1.0 + 1e-9:
            raise broken_rule(
                f"the probabilities exclude each other, so they sum to 1 at most, got {self.total:g}"
            )
        return self

    @property
    def total(self) -> float:
        """Probability that a sample is mixed at all."""
        return self.cutmix + self.classmix + self.mosaic + self.copy_paste


# 16 images of 512x512 a step, U-Net/resnet34, H100, 14 workers: 401 images a second with uint8 in the
# workers, 340 with kornia on the device, whose kernels the step has to wait for (docs/gpus.md).
ENOUGH_WORKERS = 12


class AugmentSpec(Options):
    """Everything that may happen to a training sample between the cache and the model."""

    backend: Literal["auto", "uint8", "kornia"] = "auto"
    """`uint8` (OpenCV, in the workers), `kornia` (batches, on the device) or `auto`, see
    `resolve_backend`."""
    geometry: GeometrySpec = GeometrySpec()
    """Crop, flips and warps."""
    colour: ColourSpec = ColourSpec()
    """Point-wise colour changes."""
    blur: BlurSpec = BlurSpec()
    """Gaussian blur."""
    noise: NoiseSpec = NoiseSpec()
    """Gaussian noise."""
    jpeg: JpegSpec = JpegSpec()
    """JPEG artefacts."""
    erasing: ErasingSpec = ErasingSpec()
    """Random erasing."""
    mixing: MixingSpec = MixingSpec()
    """Mixing of the samples of a batch."""

    steps: dict[str, Annotated[dict[str, Any], Targets("augment_step")]] = Field(
        default_factory=dict
    )
    """Steps of your own by names of your choice, after all others but mixing; only with `uint8`."""

    @model_validator(mode="after")
    def _steps_take_arrays(self) -> AugmentSpec:
        if self.steps and self.backend == "kornia":
            raise broken_rule("steps take arrays, so they go with backend=uint8, got 'kornia'")
        return self

    def __hash__(self) -> int:
        """Steps are a dict, which has no hash of its own."""
        return hash(self.model_dump_json())

    def resolve_backend(self, device_type: str, num_workers: int = 0) -> Backend:
        """Return the back end to use where training runs on `device_type` (`cpu`, `cuda`, ...).

        `auto` takes `uint8` for the CPU, where kornia costs many times more, for steps of one's
        own, and where so many loader workers keep a GPU fed; `kornia` else.
        """
        if self.backend == "auto":
            in_workers = device_type == "cpu" or num_workers >= ENOUGH_WORKERS or self.steps
            return "uint8" if in_workers else "kornia"
        return self.backend


CORRUPTIONS = {
    "gaussian_noise": "sensor noise in low light; standard deviation as in ImageNet-C",
    "gaussian_blur": "a lens out of focus; deviation in pixels of 224, ImageNet-C's extra set",
    "jpeg": "compression; JPEG quality as in ImageNet-C",
    "fog": "fog; roughness and lower depths as in ImageNet-C",
    "rain": "rain with mist; not in ImageNet-C, set by eye",
    "brightness": "overexposure; added to V of HSV as in ImageNet-C",
    "contrast": "flat light; factor about the mean colour as in ImageNet-C",
}
