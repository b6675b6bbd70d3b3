"""A model: any `torch.nn.Module` from images `(B, in_channels, H, W)` to logits `(B, num_classes, H, W)`."""

from torch import Tensor, nn


class TinyNet(nn.Module):
    """Two convolutions at a quarter of the size, upsampled."""

    def __init__(self, num_classes: int, in_channels: int = 3, width: int = 16) -> None:
        super().__init__()
        self.encoder = nn.Sequential(
            *(nn.Conv2d(in_channels, width, 3, 2, 1), nn.BatchNorm2d(width), nn.ReLU()),
            *(nn.Conv2d(width, 2 * width, 3, 2, 1), nn.BatchNorm2d(2 * width), nn.ReLU()),
        )
        self.head = nn.Conv2d(2 * width, num_classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits of the size of the image."""
        small = self.head(self.encoder(image))
        return nn.functional.interpolate(small, scale_factor=4.0, mode="bilinear")
