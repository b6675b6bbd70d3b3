"""Images that follow one another are alike: how far, and how to draw anew without tearing them apart.

A test that takes the frames of a video for independent finds drift everywhere. So whatever is drawn or
shuffled goes in blocks of neighbours of one stream, and what n images are worth is said as the number of
independent ones that would tell as much.

References:
    Kuensch (1989), the block bootstrap: https://doi.org/10.1214/aos/1176347265
    Politis and Romano (1992), its circular form: in "Exploring the Limits of Bootstrap", 263-270
    Geyer (1992), where to stop summing autocorrelations: https://doi.org/10.1214/ss/1177011137
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

# Images in a block, over those that are alike: the variance of a mean comes out too small by about half of
# one over this.
_TIMES_ALIKE = 10


@dataclass(frozen=True)
class Streams:
    """Where each stream lies among the images.

    Attributes:
        members: Numbers of the images of each stream, in order of time.
        stream_of: Stream of each image, int `(n,)`.
        place_of: Position of each image in its stream, int `(n,)`.
    """

    members: tuple[np.ndarray, ...]
    stream_of: np.ndarray
    place_of: np.ndarray

    @classmethod
    def of(cls, names: np.ndarray) -> Streams:
        """Find the streams.

        Args:
            names: Stream of each image in order of time, str `(n,)`; where it is empty the images are taken
                for one stream, which is the careful choice.
        """
        _, stream_of = np.unique(names, return_inverse=True)
        members = tuple(np.flatnonzero(stream_of == one) for one in range(stream_of.max() + 1))
        place_of = np.empty(len(names), np.int64)
        for one in members:
            place_of[one] = np.arange(len(one))
        return cls(members, stream_of, place_of)

    @property
    def num_images(self) -> int:
        """Images of all streams."""
        return len(self.stream_of)

    def shuffled(self, block: int, rng: np.random.Generator, cameras: int = 1) -> np.ndarray:
        """Return the numbers of all images, their blocks in random order.

        Args:
            block: Images of a block at most; a stream that is shorter stays whole.
            rng: Source of randomness.
            cameras: The blocks are dealt to so many, whose images come in turn; the rest is left out.
        """
        pieces: list[np.ndarray] = []
        for one in self.members:
            first = int(rng.integers(block)) if len(one) > block else 0
            cuts = range(first, len(one), block) if len(one) > block else ()
            pieces += [piece for piece in np.split(one, list(cuts)) if len(piece)]
        order = np.concatenate([pieces[number] for number in rng.permutation(len(pieces))])
        each = len(order) // cameras
        return order[: each * cameras].reshape(cameras, each).T.reshape(-1)

    def draw(self, count: int, block: int, rng: np.random.Generator) -> np.ndarray:
        """Return numbers of `count` images, drawn in blocks (the circular block bootstrap).

        Every image is as likely as any other.

        Args:
            count: How many.
            block: Images of a block; a stream that is shorter gives all it has.
            rng: Source of randomness.
        """
        sizes = np.array([len(one) for one in self.members])
        # A block of a short stream holds fewer images, so it is drawn more often.
        likely = 1 / np.minimum(block, sizes)[self.stream_of]
        blocks = -(-count // min(block, int(sizes.min()))) + 1
        starts = rng.choice(self.num_images, blocks, p=likely / likely.sum())
        lengths = np.minimum(block, sizes[self.stream_of[starts]])
        # The first block began before the first image was seen.
        starts = np.repeat(starts, lengths)
        along = np.arange(len(starts)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        skipped = int(rng.integers(lengths[0]))
        streams = self.stream_of[starts]
        places = (self.place_of[starts] + along) % sizes[streams]
        order = np.concatenate(self.members)
        offsets = np.cumsum(sizes) - sizes
        return order[offsets[streams] + places][skipped : skipped + count]


def alike_for(values: np.ndarray, streams: Streams) -> float:
    """Return for how many images in a row values say the same: the integrated autocorrelation time.

    Streams that differ from each other count as alike within, so a reference of a few different drives
    is worth little more than their number.

    Args:
        values: One statistic, float `(n,)`.
        streams: Of the images.

    Returns:
        1 for independent images, up to the longest stream; n over it is the effective sample size.
    """
    spread = float(values.var())
    longest = max(len(one) for one in streams.members)
    if spread <= 0:
        return 1.0
    centred = (values - values.mean()) / np.sqrt(spread)
    sums, counts = np.zeros(longest), np.zeros(longest)
    for one in streams.members:
        size = 1 << (2 * len(one) - 1).bit_length()
        power = np.abs(np.fft.rfft(centred[one], size)) ** 2
        sums[: len(one)] += np.fft.irfft(power, size)[: len(one)]
        counts[: len(one)] += np.arange(len(one), 0, -1)
    correlation = sums / counts
    # Sums of neighbouring pairs are positive where there is more than noise.
    pairs = correlation[: longest // 2 * 2].reshape(-1, 2).sum(1)
    end = np.flatnonzero(pairs <= 0)
    total = 2 * float(pairs[: end[0] if len(end) else None].sum()) - 1
    return float(np.clip(total, 1.0, longest))


def choose_block(values: np.ndarray, streams: Streams) -> tuple[int, float]:
    """Return the images of a block, and for how many images the statistics are alike (the median one).

    Args:
        values: All statistics, `(n, S)`.
        streams: Of the images.
    """
    times = [alike_for(one, streams) for one in values.T if one.var() > 0]
    alike = float(np.median(times)) if times else 1.0
    longest = max(len(one) for one in streams.members)
    block = 1 if alike < 1.5 else round(_TIMES_ALIKE * alike)
    return int(np.clip(block, 1, longest)), alike
