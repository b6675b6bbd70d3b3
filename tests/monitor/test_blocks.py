"""Blocks of neighbouring images."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.monitor.blocks import Streams, alike_for, choose_block
from tests.monitor.samples import video


def test_likeness_is_that_of_the_process() -> None:
    """An autoregressive process of first order is alike for (1 + r) / (1 - r) images."""
    long = video(20_000, 0, likeness=0.8)
    one = Streams.of(long.streams)
    assert alike_for(long.statistics["sharpness"], one) == pytest.approx(9, rel=0.15)
    apart = np.random.default_rng(0).permutation(long.statistics["sharpness"])
    assert alike_for(apart, one) == pytest.approx(1, abs=0.2)


def test_streams_that_differ_are_alike_within() -> None:
    rng = np.random.default_rng(0)
    names = np.repeat(["a", "b", "c", "d"], 100)
    values = np.repeat([0.0, 5.0, 10.0, 15.0], 100) + rng.standard_normal(400)
    streams = Streams.of(names)
    assert alike_for(values, streams) > 50
    assert choose_block(values[:, None], streams)[0] == 100


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(1, 12), min_size=1, max_size=6), st.integers(1, 15), st.integers(0, 1000)
)
def test_blocks_stay_together(sizes: list[int], block: int, seed: int) -> None:
    names = np.repeat([f"s{number}" for number in range(len(sizes))], sizes)
    mixed = np.random.default_rng(seed).permutation(names)
    streams, rng = Streams.of(mixed), np.random.default_rng(seed)
    order = streams.shuffled(block, rng)
    assert sorted(order) == list(range(len(names)))
    drawn = streams.draw(40, block, rng)
    assert len(drawn) == 40
    for numbers in (order, drawn):
        same = mixed[numbers][1:] == mixed[numbers][:-1]
        steps = np.diff(streams.place_of[numbers])
        torn = ~same | ~np.isin(steps, [1, *(1 - size for size in sizes)])
        most = sum(-(-size // block) + 1 for size in sizes) if numbers is order else 41
        assert torn.sum() <= most


def test_every_image_is_drawn_as_often() -> None:
    streams = Streams.of(np.repeat(["long", "short"], [30, 10]))
    counts = np.bincount(streams.draw(200_000, 15, np.random.default_rng(0)), minlength=40)
    assert counts.tolist() == pytest.approx([5_000] * 40, rel=0.1)


def test_cameras_take_turns() -> None:
    streams = Streams.of(np.repeat(["a", "b"], 20))
    order = streams.shuffled(20, np.random.default_rng(0), cameras=2)
    assert len(set(streams.stream_of[order[::2]])) == len(set(streams.stream_of[order[1::2]])) == 1
