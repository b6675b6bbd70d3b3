import pytest

from seglab.models import Normalization


def test_three_channels_stay():
    assert Normalization().for_channels(3) == Normalization()


def test_grey_is_luma_weighted():
    grey = Normalization().for_channels(1)
    # 0.299 * 0.485 + 0.587 * 0.456 + 0.114 * 0.406
    assert grey.mean == pytest.approx((0.458971,))
    assert grey.std == pytest.approx((0.225609,), abs=1e-4)
    assert Normalization((0.5,) * 3, (0.5,) * 3).for_channels(1) == Normalization((0.5,), (0.5,))


def test_more_channels_repeat_in_turn():
    five = Normalization().for_channels(5)
    assert five.mean == (0.485, 0.456, 0.406, 0.485, 0.456)
    assert five.std == (0.229, 0.224, 0.225, 0.229, 0.224)
    assert Normalization().for_channels(2).mean == (0.485, 0.456)
