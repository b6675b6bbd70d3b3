"""What may be done to a training sample, as frozen dataclasses read from `conf/augment/*.yaml`.

Only limits and probabilities live here: `seglab.augment.params` draws from them, the back ends
apply what was drawn. The module imports neither torch nor OpenCV, so a configuration can be checked
before anything heavy is loaded. Every default means "leave the sample alone".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from seglab.augment.limits import choice, number, pair, read_section, require_valid
from seglab.core.errors import ConfigError

Pair = tuple[float, float]
Backend = Literal["uint8", "kornia"]


@dataclass(frozen=True)
class GeometrySpec:
    """Which part of the source the crop shows, and how it is bent on the way.

    Attributes:
        crop: `random` draws the position of the crop; `center` always takes the middle.
        hflip: Probability of a left-right mirror.
        vflip: Probability of an upside-down mirror.
        scale: Zoom of the source before the crop, log-uniform in `[low, high]`; 2 shows objects
            twice as large, 1 keeps the pixels of the working image.
        aspect: Width over height of the zoom, log-uniform in `[low, high]`.
        rotate: Largest rotation in degrees, drawn uniformly on both sides.
        shear: Largest horizontal shear in degrees.
        perspective: Largest tilt; 0.2 shows one corner at up to 1.2 / 0.8 = 1.5 times the size of
            the opposite one.
        perspective_p: Probability of a tilt.
        rare_class_crop: Probability of placing a random crop on a pixel of a class drawn uniformly
            from those present in the mask, however few pixels it has.
    """

    crop: str = choice("center", "random", "center")
    hflip: float = number(0.0, 0.0, 1.0)
    vflip: float = number(0.0, 0.0, 1.0)
    scale: tuple[float, float] = pair((1.0, 1.0), 0.05, 20.0)
    aspect: tuple[float, float] = pair((1.0, 1.0), 0.2, 5.0)
    rotate: float = number(0.0, 0.0, 180.0)
    shear: float = number(0.0, 0.0, 45.0)
    perspective: float = number(0.0, 0.0, 0.4)
    perspective_p: float = number(0.0, 0.0, 1.0)
    rare_class_crop: float = number(0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True)
class ColourSpec:
    """Point-wise changes of colour; all of them together happen with probability `p`.

    Attributes:
        p: Probability that the colours of a sample change at all.
        brightness: Factor drawn in `1 - brightness .. 1 + brightness`.
        contrast: Factor about the mean luma of the source, drawn in `1 - contrast .. 1 + contrast`.
        saturation: Factor drawn in `1 - saturation .. 1 + saturation`.
        hue: Largest turn of the hue, as a fraction of the full circle (0.5 is half a turn).
        gamma: Exponent drawn log-uniformly in `1 / (1 + gamma) .. 1 + gamma`.
        grayscale: Probability, once `p` has struck, of dropping the colour altogether.
    """

    p: float = number(0.0, 0.0, 1.0)
    brightness: float = number(0.0, 0.0, 0.95)
    contrast: float = number(0.0, 0.0, 0.95)
    saturation: float = number(0.0, 0.0, 1.0)
    hue: float = number(0.0, 0.0, 0.5)
    gamma: float = number(0.0, 0.0, 4.0)
    grayscale: float = number(0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True)
class BlurSpec:
    """Gaussian blur: probability, and range of the standard deviation in pixels of the crop."""

    p: float = number(0.0, 0.0, 1.0)
    sigma: tuple[float, float] = pair((0.1, 1.5), 0.05, 20.0)

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True)
class NoiseSpec:
    """Additive Gaussian noise: probability, and range of the deviation in grey levels of 0..255.

    Of bands, 0..255 stands for percentiles 2 to 98 of the training part.
    """

    p: float = number(0.0, 0.0, 1.0)
    std: tuple[float, float] = pair((2.0, 10.0), 0.0, 100.0)

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True)
class JpegSpec:
    """JPEG compression: probability, and range of the quality (1 worst to 100)."""

    p: float = number(0.0, 0.0, 1.0)
    quality: tuple[float, float] = pair((40.0, 90.0), 1.0, 100.0)

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True)
class ErasingSpec:
    """One box a sample replaced by the mean colour, its labels by void (Zhong et al., 2020).

    Attributes:
        p: Probability.
        scale: Range of the area of the box as a fraction of the crop.
        ratio: Range of height over width of the box, log-uniform.
    """

    p: float = number(0.0, 0.0, 1.0)
    scale: tuple[float, float] = pair((0.02, 0.1), 0.001, 0.9)
    ratio: tuple[float, float] = pair((0.5, 2.0), 0.05, 20.0)

    def __post_init__(self) -> None:
        require_valid(self)


@dataclass(frozen=True)
class MixingSpec:
    """Probabilities of mixing a sample with others of its batch; at most one of the four happens.

    Attributes:
        cutmix: A box of another sample (Yun et al., 2019).
        classmix: Half of the classes of another sample (Olsson et al., 2021).
        mosaic: Four samples around a random point (Bochkovskiy et al., 2020).
        copy_paste: One class of another sample, rare ones first (after Ghiasi et al., 2021).
    """

    cutmix: float = number(0.0, 0.0, 1.0)
    classmix: float = number(0.0, 0.0, 1.0)
    mosaic: float = number(0.0, 0.0, 1.0)
    copy_paste: float = number(0.0, 0.0, 1.0)

    def __post_init__(self) -> None:
        require_valid(self)
        if self.total > 1.0 + 1e-9:
            raise ConfigError(
                "MixingSpec: the probabilities exclude each other and must sum to at most 1, "
                f"got {self.total:g}"
            )

    @property
    def total(self) -> float:
        """Probability that a sample is mixed at all."""
        return self.cutmix + self.classmix + self.mosaic + self.copy_paste


@dataclass(frozen=True)
class AugmentSpec:
    """Everything that may happen to a training sample between the cache and the model.

    Attributes:
        backend: `uint8` (OpenCV, in the workers), `kornia` (batches, on the device) or `auto`, see
            `resolve_backend`.
        geometry: Crop, flips and warps.
        colour: Point-wise colour changes.
        blur: Gaussian blur.
        noise: Gaussian noise.
        jpeg: JPEG artefacts.
        erasing: Random erasing.
        mixing: Mixing of the samples of a batch.

    Raises:
        ConfigError: A value is outside its range; all mistakes are listed.
    """

    backend: str = choice("auto", "auto", "uint8", "kornia")
    geometry: GeometrySpec = field(default_factory=GeometrySpec)
    colour: ColourSpec = field(default_factory=ColourSpec)
    blur: BlurSpec = field(default_factory=BlurSpec)
    noise: NoiseSpec = field(default_factory=NoiseSpec)
    jpeg: JpegSpec = field(default_factory=JpegSpec)
    erasing: ErasingSpec = field(default_factory=ErasingSpec)
    mixing: MixingSpec = field(default_factory=MixingSpec)

    def __post_init__(self) -> None:
        require_valid(self)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> AugmentSpec:
        """Read a plain mapping, for example a YAML file; keys left out keep their default.

        Raises:
            ConfigError: Keys are unknown or values wrong; every mistake is listed, with the nearest
                known name and the full path of the key.
        """
        problems: list[str] = []
        spec = read_section(cls, content, "augment", problems)
        if spec is None:
            raise ConfigError(problems)
        return spec

    def to_dict(self) -> dict[str, Any]:
        """Return plain dicts, lists and numbers; `from_dict` turns them back into an equal spec."""
        return {
            key: {k: list(v) if isinstance(v, tuple) else v for k, v in value.items()}
            if isinstance(value, dict)
            else value
            for key, value in dataclasses.asdict(self).items()
        }

    def resolve_backend(self, device_type: str) -> Backend:
        """Return the back end to use where training runs on `device_type` (`cpu`, `cuda`, ...).

        `auto` takes `uint8` for the CPU, where kornia costs many times more, and `kornia` else.
        """
        if self.backend == "auto":
            return "uint8" if device_type == "cpu" else "kornia"
        return "uint8" if self.backend == "uint8" else "kornia"
