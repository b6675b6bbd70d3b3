"""Which samples make up which batch, as a pure function of seed, epoch and batch number.

Nothing here remembers what was drawn before: training can start at any batch of any epoch and sees
the same batches as a run that came there step by step. That is why PyTorch's own samplers, which
draw from a generator whose state depends on history, are not used.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from seglab.core.errors import DataError, list_problems
from seglab.core.seeding import generator
from seglab.data.loading.sampling import weighted_order


class SampleKey(NamedTuple):
    """One draw of a sample; all the randomness of its augmentation follows from it.

    Attributes:
        index: Row in the dataset.
        epoch: Epoch, from 0.
        position: Place in the order of the whole epoch over all ranks, from 0.
    """

    # The name hides tuple.index, which nobody needs on a key.
    index: int  # type: ignore[assignment]
    epoch: int
    position: int


def epoch_order(num_samples: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order of one epoch: an int64 permutation of `0..num_samples-1`, shape `(N,)`."""
    return generator(seed, "order", epoch).permutation(num_samples)


def num_batches(num_samples: int, batch_size: int, drop_last: bool) -> int:
    """Return the number of batches in one full epoch; `drop_last` leaves out a short last batch."""
    full, rest = divmod(num_samples, batch_size)
    return full if drop_last or rest == 0 else full + 1


class TrainBatchSampler(Sampler[list[SampleKey]]):
    """Batches of `SampleKey` for training, one rank's share of each.

    Each effective batch takes the next `batch_size` positions of `epoch_order`; rank r takes the
    r-th equal part of it. So the samples of a step, and with them its gradient, do not depend on
    the number of ranks. Iterating starts at the position last set and leaves it alone: two
    iterations without `set_position` or `advance` between them are the same.

    Args:
        num_samples: Size of the training set.
        batch_size: Effective batch size: samples of one step over all ranks.
        seed: Seed of the order.
        drop_last: Leave out the short batch at the end of an epoch.
        rank: This process, `0..world_size-1`.
        world_size: Number of processes that share each batch.
        weights: How often each sample is drawn, relative to the others; None: each once an epoch.

    Raises:
        DataError: The sizes do not fit together; the message lists every reason and what to change.
    """

    def __init__(
        self,
        num_samples: int,
        batch_size: int,
        seed: int,
        drop_last: bool,
        rank: int = 0,
        world_size: int = 1,
        weights: np.ndarray | None = None,
    ) -> None:
        problems = _size_problems(num_samples, batch_size, drop_last, rank, world_size)
        if problems:
            raise DataError(list_problems("these training batches cannot be made", problems))
        self.num_samples = num_samples
        self.batch_size = batch_size
        self.seed = seed
        self.drop_last = drop_last
        self.rank = rank
        self.world_size = world_size
        self.weights = weights
        self._position = (0, 0)

    @property
    def position(self) -> tuple[int, int]:
        """Epoch and batch at which the next iteration starts."""
        return self._position

    def set_position(self, epoch: int, batch: int = 0) -> None:
        """Let the next iteration start at `batch` of `epoch`.

        Args:
            epoch: Epoch, from 0.
            batch: Batches of that epoch that are already done, `0..len(self)`; with `len(self)` the
                iteration is empty.

        Raises:
            DataError: `epoch` is negative, or `batch` is not within the epoch.
        """
        if epoch < 0 or not 0 <= batch <= len(self):
            raise DataError(
                f"expected an epoch of at least 0 and a batch in 0..{len(self)}, got epoch "
                f"{epoch}, batch {batch}; was the run started with another batch size or data set?"
            )
        self._position = (epoch, batch)

    def advance(self) -> None:
        """Move on to the start of the next epoch."""
        self._position = (self._position[0] + 1, 0)

    def __len__(self) -> int:
        """Return the batches of a full epoch, also when iteration starts in the middle of one."""
        return num_batches(self.num_samples, self.batch_size, self.drop_last)

    def __iter__(self) -> Iterator[list[SampleKey]]:
        """Iterate over the batches that are left of the epoch.

        The position is read here and not at the first `next`: a data loader with workers asks for
        batches at once, one without workers later, and both must start at the same place.
        """
        epoch, first = self._position
        return self._batches(epoch, first)

    def _batches(self, epoch: int, first: int) -> Iterator[list[SampleKey]]:
        if self.weights is None:
            order = epoch_order(self.num_samples, self.seed, epoch)
        else:
            order = weighted_order(self.weights, self.seed, epoch)
        for batch in range(first, len(self)):
            start = batch * self.batch_size
            share = min(self.batch_size, self.num_samples - start) // self.world_size
            start += self.rank * share
            yield [
                SampleKey(int(order[position]), epoch, position)
                for position in range(start, start + share)
            ]


class EvalBatchSampler(Sampler[list[int]]):
    """Batches of dataset rows for evaluation: every row exactly once over all ranks, none padded.

    A batch holds rows of one shape only, so no pixel has to be invented to stack it. The order is
    fixed: shapes by first appearance, rows ascending within a shape. Ranks can get different
    numbers of batches; where there are fewer batches than ranks, batches are split so that no rank
    stays idle, as long as there is a row for each.

    Args:
        shapes: One hashable shape a row, for example `((H, W), (Hm, Wm))` of image and mask.
        batch_size: Largest number of rows in a batch of one rank.
        rank: This process, `0..world_size-1`.
        world_size: Number of processes that share the rows.

    Raises:
        DataError: `batch_size` is below 1 or `rank` is not below `world_size`.
    """

    def __init__(
        self, shapes: Sequence[Hashable], batch_size: int, rank: int = 0, world_size: int = 1
    ) -> None:
        if batch_size < 1 or not 0 <= rank < world_size:
            raise DataError(
                "expected an evaluation batch size of at least 1 and a rank below the number of "
                f"ranks; got batch size {batch_size}, rank {rank} of {world_size}"
            )
        groups: dict[Hashable, list[int]] = {}
        for row, shape in enumerate(shapes):
            groups.setdefault(shape, []).append(row)
        batches = [
            rows[start : start + batch_size]
            for rows in groups.values()
            for start in range(0, len(rows), batch_size)
        ]
        self._batches = _split_for_ranks(batches, world_size)[rank::world_size]

    def __len__(self) -> int:
        """Return the number of batches of this rank."""
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        """Iterate over the batches of this rank."""
        return iter([list(batch) for batch in self._batches])


def _size_problems(
    num_samples: int, batch_size: int, drop_last: bool, rank: int, world_size: int
) -> list[str]:
    if world_size < 1 or not 0 <= rank < world_size:
        return [f"expected a rank below the number of ranks, got rank {rank} of {world_size}"]
    if num_samples < 1:
        return ["there are no training samples"]
    if batch_size < 1:
        return [f"expected a batch_size of at least 1, got {batch_size}"]
    problems = []
    if batch_size % world_size:
        lower = batch_size - batch_size % world_size
        problems.append(
            f"batch_size {batch_size} is for all {world_size} devices together and must divide by "
            f"their number; set it to {lower or lower + world_size} or {lower + world_size}"
        )
    if drop_last and num_samples < batch_size:
        problems.append(
            f"{num_samples} training samples do not fill one batch of {batch_size}, and drop_last "
            f"leaves out what is not full; set batch_size to {num_samples} or less, or "
            "drop_last=false"
        )
    rest = num_samples % batch_size
    if not drop_last and rest % world_size:
        problems.append(
            f"the last batch of an epoch has {rest} samples, which {world_size} devices cannot "
            "share equally; set drop_last=true"
        )
    return problems


def _split_for_ranks(batches: list[list[int]], world_size: int) -> list[list[int]]:
    """Halve the largest batches until there is one for each rank, or all hold one row."""
    while batches and len(batches) < world_size:
        largest = max(range(len(batches)), key=lambda number: len(batches[number]))
        rows = batches[largest]
        if len(rows) == 1:
            break
        half = (len(rows) + 1) // 2
        batches[largest : largest + 1] = [rows[:half], rows[half:]]
    return batches
