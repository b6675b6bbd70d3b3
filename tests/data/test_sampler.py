from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from seglab.core.errors import DataError
from seglab.data.loading.sampler import (
    EvalBatchSampler,
    SampleKey,
    TrainBatchSampler,
    epoch_order,
    num_batches,
)

seeds = st.integers(0, 2**31)
epochs = st.integers(0, 1000)


@given(st.integers(1, 200), seeds, epochs)
def test_epoch_order_is_a_permutation_and_pure(count: int, seed: int, epoch: int) -> None:
    order = epoch_order(count, seed, epoch)
    assert sorted(order.tolist()) == list(range(count))
    np.testing.assert_array_equal(order, epoch_order(count, seed, epoch))


def test_epoch_order_is_the_same_on_every_machine() -> None:
    assert epoch_order(8, seed=0, epoch=0).tolist() == GOLDEN_ORDER


def test_epoch_order_differs_by_epoch_and_seed() -> None:
    orders = {tuple(epoch_order(50, seed, epoch)) for seed in range(3) for epoch in range(3)}
    assert len(orders) == 9


@pytest.mark.parametrize(
    ("num_samples", "batch_size", "all_of_them", "full_ones"),
    [(8, 4, 2, 2), (9, 4, 3, 2), (11, 4, 3, 2), (4, 4, 1, 1), (3, 4, 1, 0), (5, 1, 5, 5)],
)
def test_number_of_batches_by_hand(
    num_samples: int, batch_size: int, all_of_them: int, full_ones: int
) -> None:
    assert num_batches(num_samples, batch_size, drop_last=False) == all_of_them
    assert num_batches(num_samples, batch_size, drop_last=True) == full_ones


def test_train_batches_by_hand() -> None:
    order = epoch_order(5, seed=3, epoch=2)
    sampler = TrainBatchSampler(5, 2, seed=3, drop_last=True)
    sampler.set_position(2)
    expected = [
        [SampleKey(order[0], 2, 0), SampleKey(order[1], 2, 1)],
        [SampleKey(order[2], 2, 2), SampleKey(order[3], 2, 3)],
    ]
    assert list(sampler) == expected
    assert len(sampler) == 2


@settings(max_examples=60)
@given(st.data(), st.integers(1, 60), st.booleans(), seeds, epochs)
def test_train_ranks_partition_every_effective_batch(
    data: st.DataObject, count: int, drop_last: bool, seed: int, epoch: int
) -> None:
    world_size = data.draw(st.integers(1, 4))
    batch_size = world_size * data.draw(st.integers(1, 6))
    assume(not drop_last or count >= batch_size)
    assume(drop_last or count % batch_size % world_size == 0)
    ranks = []
    for rank in range(world_size):
        sampler = TrainBatchSampler(count, batch_size, seed, drop_last, rank, world_size)
        sampler.set_position(epoch)
        ranks.append(list(sampler))
        assert len(ranks[-1]) == len(sampler) == num_batches(count, batch_size, drop_last)
    alone = TrainBatchSampler(count, batch_size, seed, drop_last)
    alone.set_position(epoch)
    joined = [list(itertools.chain(*shares)) for shares in zip(*ranks, strict=True)]
    assert joined == list(alone)
    assert all(len({len(share) for share in shares}) == 1 for shares in zip(*ranks, strict=True))
    keys = list(itertools.chain(*joined))
    used = len(keys) if drop_last else count
    assert [key.position for key in keys] == list(range(used))
    assert [key.index for key in keys] == epoch_order(count, seed, epoch)[:used].tolist()
    assert {key.epoch for key in keys} == {epoch}


@given(st.data(), st.integers(1, 60), st.integers(1, 9), st.booleans(), seeds, epochs)
def test_train_start_in_mid_epoch_gives_the_suffix(
    data: st.DataObject, count: int, batch_size: int, drop_last: bool, seed: int, epoch: int
) -> None:
    assume(not drop_last or count >= batch_size)
    sampler = TrainBatchSampler(count, batch_size, seed, drop_last)
    sampler.set_position(epoch)
    whole = list(sampler)
    batch = data.draw(st.integers(0, len(whole)))
    sampler.set_position(epoch, batch)
    assert list(sampler) == whole[batch:]
    assert len(sampler) == len(whole)


def test_train_position_is_read_when_iteration_is_asked_for() -> None:
    sampler = TrainBatchSampler(6, 2, seed=0, drop_last=True)
    sampler.set_position(4, 1)
    batches = iter(sampler)
    sampler.advance()
    assert sampler.position == (5, 0)
    assert {key.epoch for batch in batches for key in batch} == {4}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_samples": 3}, "set batch_size to 3 or less, or drop_last=false"),
        ({"num_samples": 0}, "no training samples"),
        ({"batch_size": 0}, "batch_size of at least 1, got 0"),
        ({"batch_size": 5, "world_size": 2}, "set it to 4 or 6"),
        ({"rank": 2, "world_size": 2}, "got rank 2 of 2"),
        ({"num_samples": 11, "drop_last": False, "world_size": 2}, "set drop_last=true"),
    ],
)
def test_train_refuses_sizes_that_do_not_fit(arguments: dict[str, int], message: str) -> None:
    fitting = {"num_samples": 10, "batch_size": 4, "seed": 0, "drop_last": True}
    with pytest.raises(DataError, match=message):
        TrainBatchSampler(**{**fitting, **arguments})


def test_train_lists_all_problems_at_once() -> None:
    with pytest.raises(DataError) as caught:
        TrainBatchSampler(2, 3, seed=0, drop_last=True, world_size=2)
    assert "must divide" in str(caught.value)
    assert "do not fill one batch" in str(caught.value)


@pytest.mark.parametrize(("epoch", "batch"), [(-1, 0), (0, -1), (0, 4)])
def test_train_refuses_positions_outside_the_epoch(epoch: int, batch: int) -> None:
    with pytest.raises(DataError, match=rf"batch in 0..3, got epoch {epoch}, batch {batch}"):
        TrainBatchSampler(6, 2, seed=0, drop_last=True).set_position(epoch, batch)


def test_eval_groups_shapes_by_hand() -> None:
    sampler = EvalBatchSampler(["a", "b", "a", "a", "b"], batch_size=2)
    assert list(sampler) == [[0, 2], [3], [1, 4]]
    assert len(sampler) == 3


@given(
    st.lists(st.sampled_from(["a", "b", "c"]), max_size=60), st.integers(1, 9), st.integers(1, 5)
)
def test_eval_visits_every_row_exactly_once(
    shapes: list[str], batch_size: int, world_size: int
) -> None:
    ranks = [EvalBatchSampler(shapes, batch_size, rank, world_size) for rank in range(world_size)]
    batches = [batch for rank in ranks for batch in rank]
    assert sorted(row for batch in batches for row in batch) == list(range(len(shapes)))
    assert all(1 <= len(batch) <= batch_size for batch in batches)
    assert all(len({shapes[row] for row in batch}) == 1 for batch in batches)
    assert all(len(list(rank)) == len(rank) for rank in ranks)
    if len(shapes) >= world_size:
        assert min(len(rank) for rank in ranks) >= 1
    assert [list(rank) for rank in ranks] == [list(rank) for rank in ranks]


def test_eval_refuses_a_batch_size_of_zero() -> None:
    with pytest.raises(DataError, match="got batch size 0, rank 0 of 1"):
        EvalBatchSampler(["a"], batch_size=0)


GOLDEN_ORDER = [5, 0, 2, 1, 3, 4, 6, 7]
