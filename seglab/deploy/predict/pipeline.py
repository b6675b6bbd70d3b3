"""Many files through the network: read and written by threads beside it, images of one size together."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from seglab.bundle.loader import Bundle, Prediction
from seglab.core.errors import PlaceError
from seglab.deploy.predict.files.reading import FAULTS, Decoded, decode
from seglab.deploy.predict.files.sources import Source
from seglab.deploy.predict.ledger import Ledger
from seglab.deploy.predict.outputs import Outputs
from seglab.deploy.predict.progress import Progress

# Class scores that are held at once, as a number of floats.
_MOST_SCORES = 64 << 20
# What predicts a file that is not held whole, telling how far it is; returns its entry in the ledger.
Special = Callable[[Decoded, Callable[[float], None]], dict[str, Any]]


class Pipeline:
    """Predicts files and notes those that are done.

    Args:
        bundle: The model.
        outputs: Writes what belongs to an image.
        ledger: Where files that are done are noted.
        progress: Told of every file.
        large: Predicts an image that is too large to be held.
        video: Predicts a video.

    Attributes:
        masks: Files that were predicted before, with their masks: overlays are drawn of these.
        overlaid: Those of which it was so.
        faults: What was wrong with each file that was skipped.
    """

    def __init__(
        self,
        bundle: Bundle,
        outputs: Outputs,
        ledger: Ledger,
        progress: Progress,
        large: Special,
        video: Special,
    ) -> None:
        self._bundle, self._outputs = bundle, outputs
        self._ledger, self._progress = ledger, progress
        self._large, self._video = large, video
        self._batch = outputs.options.batch_size
        self.most_pixels = most_pixels(bundle, outputs.options.whole_pixels)
        self.masks: Mapping[Source, Path | None] = {}
        self.overlaid: list[Source] = []
        self.faults: dict[str, str] = {}
        self._alike: dict[tuple[int, ...], list[Decoded]] = {}
        self._writing: deque[tuple[Source, Future[dict[str, Any]]]] = deque()

    def run(self, sources: Sequence[Source]) -> None:
        """Predict files; `faults` then says what was wrong with those that were skipped.

        Raises:
            PlaceError: Outputs cannot be written, or the disk is full.
        """
        workers = self._outputs.options.workers
        with ThreadPoolExecutor(workers) as readers, ThreadPoolExecutor(workers) as writers:
            try:
                for decoded in self._read(sources, readers):
                    self._take(decoded, writers)
                for shape in list(self._alike):
                    self._predict(shape, writers)
                self._note(all_of_them=True)
            except BaseException:
                readers.shutdown(wait=False, cancel_futures=True)
                writers.shutdown(wait=False, cancel_futures=True)
                self._keep_what_is_written()
                raise

    def _read(self, sources: Sequence[Source], readers: ThreadPoolExecutor) -> Iterator[Decoded]:
        """Yield files as they are decoded, in order, a few ahead."""
        waiting = iter(sources)
        ahead: deque[tuple[Source, Future[Decoded]]] = deque()
        while True:
            while len(ahead) < 2 * self._batch and (source := next(waiting, None)) is not None:
                ahead.append((source, readers.submit(self._decode, source)))
            if not ahead:
                return
            source, future = ahead.popleft()
            try:
                yield future.result()
            except FAULTS as error:
                self._skip(source, error)

    def _decode(self, source: Source) -> Decoded:
        if source.is_video:
            return Decoded(source, source.version(), None)
        return decode(source, self._bundle, self.most_pixels)

    def _take(self, decoded: Decoded, writers: ThreadPoolExecutor) -> None:
        image = decoded.image
        if image is None:
            self._predict_special(decoded)
            return
        known = _read_mask(self.masks.get(decoded.source), image.shape[:2])
        if known is not None:
            self.overlaid.append(decoded.source)
            future = writers.submit(self._outputs.write, decoded, known)
            self._writing.append((decoded.source, future))
            self._note(all_of_them=False)
            return
        group = self._alike.setdefault(image.shape, [])
        group.append(decoded)
        most = max(1, min(self._batch, self.most_pixels // (image.shape[0] * image.shape[1])))
        if len(group) >= most:
            self._predict(image.shape, writers)
        elif sum(map(len, self._alike.values())) > 2 * self._batch:
            self._predict(max(self._alike, key=lambda shape: len(self._alike[shape])), writers)

    def _predict_special(self, decoded: Decoded) -> None:
        work, told = self._video if decoded.source.is_video else self._large, 0.0

        def tell(share: float) -> None:
            nonlocal told
            self._progress.advance(share - told)
            told = share

        try:
            self._ledger.add(work(decoded, tell))
        except PlaceError:
            raise
        except FAULTS as error:
            self._skip(decoded.source, error)
        else:
            self._progress.advance(1.0 - told)

    def _predict(self, shape: tuple[int, ...], writers: ThreadPoolExecutor) -> None:
        group = self._alike.pop(shape)
        for decoded, scores in zip(group, self._scores(group), strict=True):
            if isinstance(scores, Prediction):
                future = writers.submit(self._outputs.write, decoded, scores)
                self._writing.append((decoded.source, future))
            else:
                self._skip(decoded.source, scores)
        self._note(all_of_them=False)

    def _scores(self, group: Sequence[Decoded]) -> list[Prediction | Exception]:
        """Predict images of one size; one by one where that fails together."""
        images = [one.image for one in group if one.image is not None]
        try:
            return [*self._bundle.predict_batch(images, self._outputs.wanted)]
        except FAULTS as error:
            if len(group) == 1:
                return [error]
            return [found for one in group for found in self._scores([one])]

    def _note(self, all_of_them: bool) -> None:
        """Note files whose outputs are written; wait for some where many are not."""
        while self._writing and (
            all_of_them or self._writing[0][1].done() or len(self._writing) > 2 * self._batch
        ):
            _, future = self._writing.popleft()
            self._ledger.add(future.result())
            self._progress.advance()

    def _keep_what_is_written(self) -> None:
        for _, future in self._writing:
            if not future.cancelled() and future.exception() is None:
                self._ledger.add(future.result())

    def _skip(self, source: Source, error: Exception) -> None:
        text = " ".join(str(error).split()) or type(error).__name__
        self.faults[str(source.place)] = text.removeprefix(f"{source.place}: ")
        self._progress.skipped += 1
        self._progress.advance()


def _read_mask(path: Path | None, size: tuple[int, ...]) -> Prediction | None:
    """Return what was predicted before; None where it is not there whole."""
    try:
        mask = None if path is None else np.array(Image.open(path))
    except OSError:
        return None
    if mask is None or mask.shape != size:
        return None
    return Prediction(mask, np.empty((0, *size), np.float32), None)


def most_pixels(bundle: Bundle, whole_pixels: int) -> int:
    """Return up to how many pixels an image is held whole.

    A bundle that predicts by windows gives the same in bands, so there memory alone decides.
    """
    if bundle.window is None:
        return whole_pixels
    return max(1, min(whole_pixels, _MOST_SCORES // len(bundle.class_names)))
