"""Augmentation: drawn once in NumPy, applied to arrays as they are stored or to batches on a device.

Names load on first use, so that reading a configuration imports neither torch nor OpenCV.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seglab.augment.band_effects import require_band_steps
    from seglab.augment.device import DeviceAugment
    from seglab.augment.mixing import BatchMixer
    from seglab.augment.params import AugmentParams, ColourParams, sample_params
    from seglab.augment.preview import PreviewSample, preview_grid
    from seglab.augment.spec import AugmentSpec, MixingSpec
    from seglab.augment.uint8 import Uint8Augment

__all__ = [
    "AugmentParams",
    "AugmentSpec",
    "BatchMixer",
    "ColourParams",
    "DeviceAugment",
    "MixingSpec",
    "PreviewSample",
    "Uint8Augment",
    "preview_grid",
    "require_band_steps",
    "sample_params",
]

_MODULES = {
    "AugmentParams": "params",
    "AugmentSpec": "spec",
    "BatchMixer": "mixing",
    "ColourParams": "params",
    "DeviceAugment": "device",
    "MixingSpec": "spec",
    "PreviewSample": "preview",
    "Uint8Augment": "uint8",
    "preview_grid": "preview",
    "require_band_steps": "band_effects",
    "sample_params": "params",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
