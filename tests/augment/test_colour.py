from __future__ import annotations

import colorsys

import numpy as np
import pytest

from seglab.augment import colour as colours
from seglab.augment.params import NOISE_BANK, ColourParams


def test_identity_leaves_every_level() -> None:
    assert colours.tone_table(ColourParams(), 99.0).tolist() == list(range(256))
    assert colours.colour_matrix(ColourParams()) is None


def test_brightness_contrast_and_gamma_by_hand() -> None:
    assert colours.tone_table(ColourParams(brightness=0.5), 0.0)[[0, 100, 255]].tolist() == [
        0,
        50,
        128,
    ]
    # Contrast turns about the mean: 60 stays, 100 moves to 60 + 2 * 40.
    table = colours.tone_table(ColourParams(contrast=2.0), 60.0)
    assert table[[20, 60, 100, 255]].tolist() == [0, 60, 140, 255]
    # (51 / 255) ** 2 = 0.04, times 255 = 10.2.
    assert colours.tone_table(ColourParams(gamma=2.0), 0.0)[51] == 10


def test_brightness_comes_before_contrast() -> None:
    table = colours.tone_table(ColourParams(brightness=0.5, contrast=2.0), 100.0)
    assert table[[100, 140]].tolist() == [50, 90]


def test_no_saturation_is_the_luma() -> None:
    matrix = colours.colour_matrix(ColourParams(saturation=0.0))
    assert matrix is not None
    pixel = np.array([200.0, 100.0, 50.0])
    assert matrix @ pixel == pytest.approx(np.full(3, pixel @ colours.LUMA), abs=0.01)


@pytest.mark.parametrize("change", [ColourParams(saturation=1.7), ColourParams(hue=0.2)])
def test_greys_and_luma_are_kept(change: ColourParams) -> None:
    matrix = colours.colour_matrix(change)
    assert matrix is not None
    assert matrix @ np.full(3, 80.0) == pytest.approx(np.full(3, 80.0), abs=0.01)
    pixel = np.array([120.0, 90.0, 60.0])
    assert colours.LUMA @ (matrix @ pixel) == pytest.approx(colours.LUMA @ pixel, abs=0.01)


def test_hue_turns_the_way_of_the_colour_circle() -> None:
    matrix = colours.colour_matrix(ColourParams(hue=0.05))
    assert matrix is not None
    for pixel in ([120.0, 90.0, 80.0], [80.0, 120.0, 90.0], [80.0, 90.0, 120.0]):
        before = colorsys.rgb_to_hsv(*(np.array(pixel) / 255))[0]
        after = colorsys.rgb_to_hsv(*(matrix @ pixel / 255))[0]
        step = (after - before + 0.5) % 1 - 0.5
        assert 0.02 < step < 0.09


def test_noise_bank_is_normal_fixed_and_wraps() -> None:
    bank = colours.noise_bank()
    assert abs(float(bank.mean())) < 0.005
    assert float(bank.std()) == pytest.approx(1.0, abs=0.005)
    assert not bank.flags.writeable
    rows, columns = colours.noise_indices((NOISE_BANK - 1, 5), (3, 2))
    assert rows.tolist() == [NOISE_BANK - 1, 0, 1]
    assert columns.tolist() == [5, 6]


def test_blur_kernel_never_exceeds_the_crop() -> None:
    assert colours.blur_kernel_size(1.0, (50, 50)) == 7
    assert colours.blur_kernel_size(5.0, (4, 50)) == 7
