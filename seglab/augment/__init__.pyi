from .band_effects import require_band_steps as require_band_steps
from .device import DeviceAugment as DeviceAugment
from .mixing import BatchMixer as BatchMixer
from .options import AugmentSpec as AugmentSpec
from .options import MixingSpec as MixingSpec
from .params import (
    AugmentParams as AugmentParams,
)
from .params import (
    ColourParams as ColourParams,
)
from .params import (
    sample_params as sample_params,
)
from .preview import PreviewSample as PreviewSample
from .preview import preview_grid as preview_grid
from .uint8 import Uint8Augment as Uint8Augment
