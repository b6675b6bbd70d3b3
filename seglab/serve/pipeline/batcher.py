"""Images of many requests through one network: a bounded queue, and batches of one size.

A batch is whatever waits when the network gets free. Only where images are being decoded at that moment
does it wait for them, for a short time, so that a lone request is never kept back.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from seglab.bundle.input_statistics import thinned
from seglab.bundle.loader import Bundle, Prediction
from seglab.serve.errors import Refused
from seglab.serve.metrics import Metrics
from seglab.serve.options import ServeOptions

_LOG = logging.getLogger("seglab.serve")
_NEWEST = 0.3  # weight of the newest measurement in the mean
_LEAST = 2**16  # an image below so many pixels costs as much: what a call costs whatever its size


@dataclass(eq=False)
class _Waiting:
    bundle: Bundle
    image: np.ndarray
    answer: asyncio.Future[Prediction]
    is_logged: bool
    waited: float = 0.0
    since: float = field(default_factory=time.monotonic)

    @property
    def pixels(self) -> int:
        return int(self.image.shape[0] * self.image.shape[1])

    @property
    def cost(self) -> int:
        return max(self.pixels, _LEAST)

    def goes_with(self, other: _Waiting) -> bool:
        return self.bundle is other.bundle and self.image.shape == other.image.shape


class Batcher:
    """A queue in front of the network, and the thread that empties it.

    Args:
        options: Bounds of queue and batch.
        metrics: What is told of them.
    """

    def __init__(self, options: ServeOptions, metrics: Metrics) -> None:
        self._options, self._metrics = options, metrics
        self._queue: deque[_Waiting] = deque()
        self._announced = 0  # images let in that are not in the queue yet
        self._more = asyncio.Event()
        self._network = ThreadPoolExecutor(1, thread_name_prefix="network")
        self._seconds_per_pixel = 0.0
        self._running: tuple[float, int] | None = None  # since when, and its cost in pixels
        self._task = asyncio.get_running_loop().create_task(self._work())

    @property
    def waiting(self) -> int:
        """Images that wait, those being decoded counted."""
        return len(self._queue) + self._announced

    @property
    def busy_seconds(self) -> float:
        """How long the network has been at its batch; 0 where it rests."""
        return time.monotonic() - self._running[0] if self._running else 0.0

    def expected_wait(self) -> float:
        """Return the seconds until the network is free for one more image, by what it took lately."""
        if not self._running and not self._queue:
            return 0.0
        ahead = sum(one.cost for one in self._queue) * self._seconds_per_pixel
        if self._running:
            ahead += max(0.0, self._running[1] * self._seconds_per_pixel - self.busy_seconds)
        return ahead

    def check_room(self, images: int = 1) -> None:
        """Look whether images would be let in now.

        Raises:
            Refused: The queue is full, or they would wait for too long.
        """
        wait = self.expected_wait()
        if self.waiting + images > self._options.queue and self.waiting:
            raise Refused("queue", f"{self.waiting} images wait; try again later", max(wait, 1))
        # One always waits: the network must not rest while the next is on its way.
        if wait > self._options.max_wait and self.waiting:
            text = f"an image would wait {wait:.1f} s for the network; try again later"
            raise Refused("wait", text, wait)

    def let_in(self, images: int) -> None:
        """Announce images that are about to be decoded; raises as `check_room`."""
        self.check_room(images)
        self._announced += images
        self._show()

    def drop(self, images: int) -> None:
        """Take back images that were let in and will not come."""
        self._announced -= images
        self._show()
        self._more.set()

    async def predict(
        self, bundle: Bundle, image: np.ndarray, is_logged: bool = False
    ) -> tuple[Prediction, float]:
        """Predict an image that was let in.

        Args:
            bundle: What decoded the image; a batch has one bundle.
            image: `(H, W, channels)` as `bundle.decode` returns it.
            is_logged: Whether thinned logits are returned in the place of probabilities; else there are none.

        Returns:
            The prediction, and the seconds that the image waited for the network.
        """
        one = _Waiting(bundle, image, asyncio.get_running_loop().create_future(), is_logged)
        self._queue.append(one)
        self.drop(1)
        try:
            return await one.answer, one.waited
        finally:
            if one in self._queue:  # nobody waits for it any more
                self._queue.remove(one)
                self._show()

    async def close(self) -> None:
        """Let the batch that runs end, and stop."""
        self._task.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._network.shutdown)

    def _show(self) -> None:
        self._metrics.queue_images.set(self.waiting)

    async def _work(self) -> None:
        while True:
            self._more.clear()
            if not self._queue:
                await self._more.wait()
                continue
            await self._gather()
            if batch := self._take():
                await self._run(batch)

    async def _gather(self) -> None:
        """Wait a moment for images that are being decoded, where the batch has room."""
        end = time.monotonic() + self._options.batch_wait
        while self._announced and 0 < len(self._queue) < self._options.max_batch:
            left = end - time.monotonic()
            if left <= 0:
                return
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), left)
            except TimeoutError:
                return

    def _take(self) -> list[_Waiting]:
        """Take the one that waited longest, and what goes with it, out of the queue."""
        if not self._queue:
            return []
        first = self._queue[0]
        room = max(1, min(self._options.max_batch, self._options.batch_pixels // first.pixels))
        batch = [one for one in self._queue if one.goes_with(first)][:room]
        for one in batch:
            self._queue.remove(one)
        self._show()
        return [one for one in batch if not one.answer.done()]

    async def _run(self, batch: list[_Waiting]) -> None:
        start = time.monotonic()
        for one in batch:
            one.waited = start - one.since
            self._metrics.stage_seconds.labels("wait").observe(one.waited)
        cost = sum(one.cost for one in batch)
        self._running = start, cost
        outcomes = await asyncio.get_running_loop().run_in_executor(
            self._network, _predict, batch[0].bundle, batch
        )
        self._running = None
        seconds = time.monotonic() - start
        fresh = seconds / cost
        old = self._seconds_per_pixel or fresh
        self._seconds_per_pixel = old + _NEWEST * (fresh - old)
        self._metrics.stage_seconds.labels("predict").observe(seconds)
        self._metrics.batch_images.observe(len(batch))
        for one, outcome in zip(batch, outcomes, strict=True):
            _hand_over(one.answer, outcome)


def _hand_over(answer: asyncio.Future[Prediction], outcome: Prediction | Exception) -> None:
    if answer.done():
        return  # its caller has gone
    if isinstance(outcome, Exception):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _predict(bundle: Bundle, batch: Sequence[_Waiting]) -> list[Prediction | Exception]:
    """Predict a batch; where it fails each image alone, so that one cannot fail the others."""
    # Masks are all that is answered; what the log needs besides it makes of the logits, later.
    give = "logits" if any(one.is_logged for one in batch) else "masks"
    try:
        found = bundle.predict_batch([one.image for one in batch], give)
    except Exception as error:  # noqa: BLE001 - whatever it is, the service goes on
        if len(batch) == 1:
            return [error]
        _LOG.warning("a batch of %d failed, each image alone now: %s", len(batch), error)
        return [_predict(bundle, [one])[0] for one in batch]
    return [
        # A copy, so that the log does not hold the whole batch.
        one._replace(probabilities=thinned(one.probabilities).copy())
        if wanted.is_logged
        else one._replace(probabilities=one.probabilities[:0])
        for one, wanted in zip(found, batch, strict=True)
    ]
