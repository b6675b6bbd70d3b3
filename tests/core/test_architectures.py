"""Sizes by hand; that they equal the built models' is in tests/models/test_contract.py."""

import subprocess
import sys

import pytest

import seglab.models.options  # noqa: F401 - declares our own
from seglab.core.architectures import (
    ARCHITECTURES,
    get_architecture,
    min_size,
    min_train_batch,
    output_stride,
    size_divisor,
)
from seglab.core.errors import ConfigError


@pytest.mark.parametrize(
    ("arch", "depth", "options", "expected"),
    [
        ("unet", 5, {}, 32),
        ("unet", 4, {}, 16),
        ("segnet", None, None, 1),
        ("segnet_basic", None, None, 1),
        ("unetplusplus", 5, {}, 32),
        ("unetplusplus", 4, {}, 16),
        ("linknet", 3, {}, 8),
        ("manet", None, None, 32),
        ("fpn", 4, {}, 16),
        ("pspnet", None, None, 8),
        ("pspnet", 5, {}, 32),
        ("deeplabv3", 5, {}, 8),
        ("deeplabv3", 5, {"encoder_output_stride": 16}, 16),
        ("deeplabv3plus", 5, {}, 16),
        ("deeplabv3plus", 3, {}, 8),
        ("deeplabv3plus", 5, {"encoder_output_stride": 8}, 8),
        ("pan", 5, {}, 16),
        ("upernet", 5, {}, 32),
        ("segformer", 5, {}, 32),
        ("dpt", 4, {}, 32),
        ("dpt", 3, {}, 16),
    ],
)
def test_size_divisor_by_hand(arch, depth, options, expected):
    assert size_divisor(arch, depth, options) == expected


def test_pan_needs_eight_pixels_of_its_deepest_feature():
    assert min_size("pan") == 8 * 16
    assert min_size("pan", 5, {"encoder_output_stride": 32}) == 8 * 32
    assert min_size("unet") == 32


def test_output_stride_is_bounded_by_depth():
    assert output_stride("unet", 5) == 32
    assert output_stride("deeplabv3", 5) == 8
    assert output_stride("deeplabv3plus", 3) == 8
    assert output_stride("dpt") == 16


def test_four_architectures_cannot_train_on_one_image():
    two = {arch for arch in ARCHITECTURES if min_train_batch(arch) == 2}
    assert two == {"deeplabv3", "deeplabv3plus", "pan", "upernet"}


def test_unknown_architecture_names_the_nearest():
    with pytest.raises(ConfigError, match=r"'unett' \(did you mean 'unet'\?\)"):
        get_architecture("unett")


def test_no_torch_is_imported():
    code = "import sys, seglab.core.architectures; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
