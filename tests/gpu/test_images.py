"""Pixels on a GPU: augmentation, corruptions, predictors and evaluation give what the CPU gives."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

from seglab.augment import AugmentSpec, DeviceAugment, Uint8Augment, sample_params
from seglab.augment.corruption.corruptions import CORRUPTIONS, corrupt
from seglab.config.compose import compose
from seglab.core.seeding import generator
from seglab.experiment.evaluate import evaluate
from seglab.experiment.train import TrainResult
from seglab.inference import SlidingWindow, TestTimeAugmentation, WholeImage
from seglab.inference.cost import measure_cost

from .conftest import QUIET

PRESETS = Path(__file__).resolve().parents[2] / "conf" / "augment"
CROP = (96, 128)


@pytest.fixture(scope="module")
def scene() -> tuple[np.ndarray, np.ndarray]:
    """A smooth picture with edges, uint8 `(120, 160, 3)`, and its mask `(120, 160)`."""
    rows, columns = np.mgrid[0:120, 0:160]
    waves = [128 + 100 * np.sin(rows / (9 + i) + columns / (13 + 2 * i)) for i in range(3)]
    image = np.stack(waves, axis=-1)
    mask = ((rows // 30 + columns // 40) % 5).astype(np.uint8)
    image[mask == 3] = (20, 200, 90)
    return image.clip(0, 255).astype(np.uint8), mask


@pytest.mark.parametrize("preset", ["none", "light", "standard"])
def test_both_back_ends_draw_the_same(
    device: str, scene: tuple[np.ndarray, np.ndarray], preset: str
) -> None:
    """kornia's on the device against the workers' on the CPU, with the same draws."""
    spec = AugmentSpec.read(yaml.safe_load((PRESETS / f"{preset}.yaml").read_text()))
    image, mask = scene
    params = [sample_params(spec, generator("gpu", i), mask.shape, CROP) for i in range(12)]
    one = Uint8Augment(spec, CROP, 255)
    crops, labels = zip(*(one.apply(image, mask, item) for item in params), strict=True)
    images = torch.from_numpy(image).permute(2, 0, 1).expand(12, -1, -1, -1).to(device)
    masks = torch.from_numpy(mask).expand(12, -1, -1).to(device)
    found, marks = DeviceAugment(spec, CROP, 255)(images, masks, params)
    assert found.device.type == device
    pictures = found.permute(0, 2, 3, 1).cpu().numpy()
    difference = np.abs(np.stack(crops).astype(int) - pictures)
    assert difference.mean() < 0.5
    assert (difference <= 3).mean() > 0.99
    assert (np.stack(labels) == marks.cpu().numpy()).mean() > 0.998


@pytest.mark.parametrize("name", sorted(CORRUPTIONS))
def test_corruptions_agree_with_the_cpu(
    device: str, scene: tuple[np.ndarray, np.ndarray], name: str
) -> None:
    images = torch.from_numpy(scene[0]).permute(2, 0, 1)[None].contiguous()
    here = corrupt(images, name, 3, 0, ["a"])
    there = corrupt(images.to(device), name, 3, 0, ["a"])
    assert there.device.type == device
    assert (here.int() - there.cpu().int()).abs().max() <= 1
    assert (here != images).any()


@pytest.mark.parametrize("kind", ["whole", "sliding", "tta"])
def test_predictors_agree_with_the_cpu(device: str, kind: str) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 5, 3, padding=1)
    ).eval()
    image = torch.randn(2, 3, 90, 130)

    def logits(place: str) -> torch.Tensor:
        on = net.to(place)
        predictor = {
            "whole": WholeImage(on),
            "sliding": SlidingWindow(on, (48, 64), 0.5),
            "tta": TestTimeAugmentation(WholeImage(on), ["h"], [0.75, 1.0]),
        }[kind]
        with torch.no_grad():
            return predictor(image.to(place), (45, 65)).float().cpu()

    here, there = logits("cpu"), logits(device)
    assert here.shape == there.shape == (2, 5, 45, 65)
    # TF32 of convolutions has ten bits of mantissa.
    torch.testing.assert_close(there, here, rtol=1e-2, atol=1e-2)
    assert (here.argmax(1) == there.argmax(1)).float().mean() > 0.99


def test_evaluation_suite_agrees_with_the_cpu(
    device: str, trained: TrainResult, tmp_path: Path
) -> None:
    words = [f"run={trained.run_dir}", "logger=none", "trainer.precision=fp32"]
    words += ["suite.corruptions=[brightness,fog]", "suite.severities=[3]", "suite.gallery=0"]

    def scores(place: str) -> dict[str, float]:
        cfg = compose([*words, f"trainer.accelerator={place}"], "evaluate")
        return evaluate(cfg, tmp_path / place, QUIET).metrics

    here, there = scores("cpu"), scores(device) if device != "cpu" else scores("auto")
    compared = [name for name in here if name.startswith("val/") and name in there]
    assert len(compared) > 20
    for name in compared:
        # A pixel on the fence between two classes may fall on either side.
        assert there[name] == pytest.approx(here[name], abs=5e-3, rel=2e-2, nan_ok=True), name


def test_cost_is_measured(device: str) -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.Conv2d(8, 4, 3, padding=1)).to(device)
    cost = measure_cost(net, (64, 64), device=device, repeats=2)
    if device == "cuda":
        # At least the weights, the image and the first activation.
        least = 4 * (sum(p.numel() for p in net.parameters()) + 3 * 4096 + 8 * 4096) / 1e6
        assert cost.peak_memory_mb > least
    assert cost.latency_ms > 0
