"""The one shape every model has: image in, logits of the same size out, and what it asks of images.

Engine, inference and export rely on the attributes here and on nothing else of a model.
"""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn

from seglab.core.architectures import min_size, min_train_batch, size_divisor
from seglab.core.bands import Bands
from seglab.core.errors import ConfigError, ShapeError
from seglab.models.freezing import freeze
from seglab.models.normalization import Normalization
from seglab.models.options import ModelFacts
from seglab.models.weights.encoder_weights import LoadReport


class Segmenter(nn.Module):
    """Base of all models: encoder, decoder, head, and their contract.

    Subclasses set `encoder`, `decoder` and `head` and implement `forward`: image float
    `(B, C, H, W)`, normalised by `mean` and `std`, to logits `(B, num_classes, H, W)`.

    Args:
        arch: Key of `seglab.core.architectures.ARCHITECTURES`.
        num_classes: Number of classes, at least 1.
        in_channels: Number of image channels.
        normalization: Mean and standard deviation the encoder was trained with.
        facts: What it asks of images, for an `arch` that is no such key.

    Attributes:
        mean: One value per image channel, for images in [0, 1]: stored values over `full_scale`.
        std: One value per image channel.
        full_scale: The stored value that counts as 1; 255 for images of 8 bits.
        band_numbers: Which bands of the files its channels are; None for RGB or grey.
        size_divisor: H and W must be multiples of it.
        min_size: H and W must be at least this many pixels.
        min_train_batch: Smallest batch in training mode.
        encoder_name: Name of the encoder.
        load_report: What came from the encoder's weight file; None when it was not loaded.
        unused_parameters: Names of parameters the logits do not depend on; they are without
            gradient, so that distributed training need not search for them.

    Raises:
        ConfigError: `num_classes` or `in_channels` is below 1.
    """

    encoder: nn.Module
    decoder: nn.Module
    head: nn.Module
    encoder_name: str

    def __init__(
        self,
        arch: str,
        num_classes: int,
        in_channels: int,
        normalization: Normalization,
        facts: ModelFacts | None = None,
    ) -> None:
        super().__init__()
        problems = [
            f"model: expected {name} of at least 1, got {value}"
            for name, value in (("num_classes", num_classes), ("in_channels", in_channels))
            if value < 1
        ]
        if problems:
            raise ConfigError(problems)
        self.arch = arch
        self.num_classes = num_classes
        self.in_channels = in_channels
        self.mean = normalization.mean
        self.std = normalization.std
        self.full_scale = 255.0
        self.band_numbers: tuple[int, ...] | None = None
        self.size_divisor = facts.stride if facts else size_divisor(arch)
        self.min_size = facts.min_size if facts else min_size(arch)
        self.min_train_batch = facts.min_train_batch if facts else min_train_batch(arch)
        self.load_report: LoadReport | None = None
        self.unused_parameters: tuple[str, ...] = ()
        self._encoder_frozen = False

    def normalise_by(self, bands: Bands) -> None:
        """Take images of these bands, normalised by their own mean and deviation.

        Raises:
            ConfigError: The model has another number of channels.
        """
        if len(bands.numbers) != self.in_channels:
            raise ConfigError(
                f"model: has {self.in_channels} channels, got {len(bands.numbers)} bands"
            )
        self.full_scale, self.band_numbers = bands.full_scale, bands.numbers
        self.mean = tuple(value / bands.full_scale for value in bands.mean)
        self.std = tuple(value / bands.full_scale for value in bands.std)

    def freeze_encoder(self) -> None:
        """Keep the encoder as it is: no gradients, and eval mode even after `train()`."""
        self._encoder_frozen = True
        freeze(self.encoder)

    def train(self, mode: bool = True) -> Self:
        """Set training mode; a frozen encoder stays in eval mode."""
        super().train(mode)
        if self._encoder_frozen:
            self.encoder.eval()
        return self

    def check_image(self, image: Tensor) -> None:
        """Raise unless the image has a shape this model takes; silent while being exported.

        Args:
            image: `(B, C, H, W)`.

        Raises:
            ShapeError: Wrong rank, channels or size; the size to pad to is given.
        """
        if torch.compiler.is_compiling() or torch.jit.is_tracing():  # type: ignore[attr-defined, no-untyped-call]
            return
        if image.ndim != 4 or image.shape[1] != self.in_channels:
            raise ShapeError(
                f"expected an image (B, {self.in_channels}, H, W), got {tuple(image.shape)}"
            )
        height, width = image.shape[-2:]
        padded = tuple(self._fitting(side) for side in (height, width))
        if padded != (height, width):
            raise ShapeError(
                f"{self.arch} takes H and W in multiples of {self.size_divisor}, at least "
                f"{self.min_size}; got {height}x{width}, pad it to {padded[0]}x{padded[1]}"
            )

    def _fitting(self, side: int) -> int:
        steps = -(-max(side, self.min_size) // self.size_divisor)
        return steps * self.size_divisor
