"""From the bytes of images to answers: the bundle in use, its batcher, and every bound on the way."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import Bundle, ImageError, Prediction, load
from seglab.serve.errors import Refused
from seglab.serve.keys import Keys
from seglab.serve.limits import Budget, Hold, Rate
from seglab.serve.metrics import Metrics
from seglab.serve.options import ServeOptions
from seglab.serve.pipeline.answers import answer_image, palette_png
from seglab.serve.pipeline.batcher import Batcher
from seglab.serve.pipeline.images import decode, held_size
from seglab.serve.schema import ImageAnswer, Model, Output, Timing

if TYPE_CHECKING:
    from seglab.monitor.log.writer import RequestLog

_LOG_SECONDS = 4.0  # in which the log is written at the end; the supervisor waits 5
_HELPERS = 2  # threads that decode and encode, beside the network's


@dataclass(frozen=True)
class Seen:
    """What the log is to know of an image that was predicted."""

    bundle: Bundle
    pixels: np.ndarray
    found: Prediction  # thinned logits in the place of probabilities
    counts: np.ndarray  # pixels of each class
    queue: float  # seconds
    predict: float  # seconds


@dataclass
class Upload:
    """An image as it was sent; one of a request that is logged gets `seen`."""

    name: str | None
    content: bytes
    is_logged: bool = False
    seen: Seen | None = None


@dataclass
class Wanted:
    """In what form the answer shall be."""

    output: Sequence[Output] = ("mask", "areas")
    tolerance: float = 0.0


@dataclass
class Clock:
    """Seconds that the stages of a request took."""

    start: float = field(default_factory=time.monotonic)
    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Add what happens inside to a stage."""
        start = time.monotonic()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.monotonic() - start

    def timing(self) -> Timing:
        """Return milliseconds."""
        stages = {name: round(1000 * value, 2) for name, value in self.seconds.items()}
        names = ("read", "decode", "predict", "encode")
        total = round(1000 * (time.monotonic() - self.start), 2)
        return Timing(**{name: stages.get(name, 0.0) for name in names}, total=total)


class Service:
    """One worker's predictor; made inside its event loop.

    Args:
        bundle: The bundle in use first.
        options: Every bound.
        metrics: What is counted.
        keys: Who may call.
        rate: How often; None: as often as they like.
        log: Gets the requests; None: nothing does.
    """

    def __init__(
        self,
        bundle: Bundle,
        options: ServeOptions,
        metrics: Metrics,
        keys: Keys,
        rate: Rate | None = None,
        log: RequestLog | None = None,
    ) -> None:
        self.options, self.metrics, self.keys, self.rate = options, metrics, keys, rate
        self.bundle, self.log = bundle, log
        self.draining = False
        self.batcher = Batcher(options, metrics)
        self.budget = Budget(options.memory * 2**20, metrics)
        self._helpers = ThreadPoolExecutor(_HELPERS, thread_name_prefix="images")
        self._show_bundle(1)

    @property
    def is_stuck(self) -> bool:
        """Whether the network has been at one batch for much longer than any request may take."""
        return self.batcher.busy_seconds > max(60.0, 3 * self.options.deadline)

    def use(self, bundle: Bundle, keys: Keys) -> None:
        """Let everything that comes from now on be predicted by another bundle."""
        self._show_bundle(0)
        self.bundle, self.keys = bundle, keys
        self._show_bundle(1)

    def _show_bundle(self, value: int) -> None:
        model = describe(self.bundle)
        self.metrics.bundle.labels(model.id, model.name, model.variant).set(value)

    async def predict(
        self, uploads: Sequence[Upload], wanted: Wanted, hold: Hold, clock: Clock
    ) -> list[ImageAnswer]:
        """Return the answers to images, in order.

        Raises:
            Refused: One of them cannot be answered; the message names it where there are several.
        """
        bundle = self.bundle

        async def one(upload: Upload) -> ImageAnswer:
            mask = await self._mask(bundle, upload, hold, clock)
            given = (bundle, mask, upload.name, wanted.output, wanted.tolerance)
            with clock.stage("encode"):
                return await hold.run(self._helpers, answer_image, *given)

        self.batcher.let_in(len(uploads))
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(_named(one, uploads, n)) for n in range(len(uploads))]
        except BaseExceptionGroup as failed:
            raise failed.exceptions[0] from None
        return [task.result() for task in tasks]

    async def predict_png(self, upload: Upload, hold: Hold, clock: Clock) -> bytes:
        """Return the mask of one image as a palette PNG."""
        bundle = self.bundle
        self.batcher.let_in(1)
        mask = await self._mask(bundle, upload, hold, clock)
        with clock.stage("encode"):
            return await hold.run(self._helpers, palette_png, mask, bundle.palette)

    async def _mask(self, bundle: Bundle, upload: Upload, hold: Hold, clock: Clock) -> np.ndarray:
        """Return class indices `(H, W)` of an image that was let in."""
        try:
            with clock.stage("decode"):
                image = await hold.run(self._helpers, self._decode, bundle, upload, hold)
        except BaseException:
            self.batcher.drop(1)
            raise
        with clock.stage("predict"):
            start = time.monotonic()
            try:
                found, waited = await self.batcher.predict(bundle, image, upload.is_logged)
            except ImageError as error:
                raise Refused("image", str(error)) from error
        seconds = time.monotonic() - start - waited
        mask = found.mask
        self.metrics.images.inc()
        self.metrics.pixels.inc(mask.size)
        counts = np.bincount(mask.reshape(-1), minlength=len(bundle.class_names))
        if upload.is_logged:
            upload.seen = Seen(bundle, image, found, counts, waited, seconds)
        for name, count in zip(bundle.class_names, counts.tolist(), strict=True):
            self.metrics.class_pixels.labels(name).inc(count)
        return mask

    def _decode(self, bundle: Bundle, upload: Upload, hold: Hold) -> np.ndarray:
        hold.take(held_size(upload.content, self.options))
        return decode(bundle, upload.content)

    async def close(self) -> None:
        """End the threads once what they do is done."""
        await self.batcher.close()
        self._helpers.shutdown(wait=False, cancel_futures=True)
        if self.log is not None:
            await asyncio.to_thread(self.log.close, _LOG_SECONDS)


async def _named(one: Any, uploads: Sequence[Upload], number: int) -> ImageAnswer:
    """Answer one of several images; a refusal says which."""
    upload = uploads[number]
    try:
        return await one(upload)
    except Refused as refused:
        if len(uploads) > 1:
            name = f" ({upload.name})" if upload.name else ""
            refused.message = f"image {number + 1} of {len(uploads)}{name}: {refused.message}"
        raise


def describe(bundle: Bundle) -> Model:
    """Return what answers and logs say of a bundle."""
    return Model(name=str(bundle.info["name"]), id=bundle.id, variant=bundle.variant)


def open_bundle(options: ServeOptions) -> Bundle:
    """Load the bundle that the options name, checked against its golden images.

    Raises:
        BundleError: It is damaged, or not of the palette and classes it says.
        ConfigError: It is not there, or nothing has the alias.
    """
    cores = os.cpu_count() or 1
    threads = options.threads or max(1, cores // options.workers)
    return load(locate_bundle(options.bundle), variant=options.variant, threads=threads)
