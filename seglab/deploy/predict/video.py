"""Videos: frame by frame to masks and overlays that show at the same times; needs PyAV.

Masks are PNG frames with the palette in a QuickTime file, which loses nothing; overlays are H.264 in MP4.
Frames come upright, as players turn them. Sound is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from seglab.bundle.loader import Bundle, ImageError, Prediction
from seglab.core.disk.files import atomic_path
from seglab.core.errors import DataError
from seglab.deploy.predict.areas import count_classes
from seglab.deploy.predict.files.reading import Decoded
from seglab.deploy.predict.outputs import Outputs, entropy

_OVERLAY_OPTIONS = {"crf": "20", "preset": "veryfast", "bf": "0"}


class Frame(NamedTuple):
    """A decoded frame.

    Attributes:
        image: uint8 `(H, W, 3)`, upright.
        pts: Its time stamp, in units of the stream's time base.
    """

    image: np.ndarray
    pts: int


class Videos:
    """Predicts videos.

    Args:
        bundle: The model.
        outputs: Says what is written, and where.
    """

    def __init__(self, bundle: Bundle, outputs: Outputs) -> None:
        self._bundle = bundle
        self._outputs = outputs

    def predict(self, decoded: Decoded, tell: Callable[[float], None]) -> dict[str, Any]:
        """Write all outputs of a video; return its entry in the ledger.

        Args:
            decoded: The video; only its source is used.
            tell: Told which share is done.

        Raises:
            ImageError: It has no frames, or frames that the model does not take.
            DataError: PyAV is not installed, or probabilities were asked for.
            OSError: The file is damaged.
        """
        av = _require_av()
        if self._outputs.options.probabilities:
            raise DataError(
                "probabilities are of images, this is a video; entropy can be written of it"
            )
        if self._bundle.info["input"]["bands"]:
            raise ImageError("expected an image of several bands, got a video")
        with decoded.source.open() as stream, av.open(stream) as container:
            if not container.streams.video:
                raise ImageError("the file has no video in it")
            video = container.streams.video[0]
            video.thread_type = "AUTO"
            total = _duration(container, video)
            batches = _batches(_frames(container, video), self._outputs.options.batch_size)
            return self._write(decoded, batches, video.time_base, lambda at: tell(at / total))

    def _write(
        self,
        decoded: Decoded,
        batches: Iterator[list[Frame]],
        time_base: Fraction,
        tell: Callable[[float], None],
    ) -> dict[str, Any]:
        counts: list[tuple[float | None, list[int]]] = []
        classes, size = len(self._bundle.class_names), (0, 0)
        files: list[Path] = []
        with ExitStack() as stack, ThreadPoolExecutor(1) as reader, ThreadPoolExecutor(1) as writer:
            writers: list[tuple[Callable[[Frame, Prediction], np.ndarray], _Writer]] = []
            coming, written = reader.submit(next, batches, None), None
            while (batch := coming.result()) is not None:
                coming = reader.submit(next, batches, None)
                if not writers:
                    size = (batch[0].image.shape[0], batch[0].image.shape[1])
                    writers = self._open(decoded, size, time_base, stack, files)
                if any(frame.image.shape[:2] != size for frame in batch):
                    raise ImageError("the size of its frames changes on the way")
                images = [self._as_taken(frame.image) for frame in batch]
                found = self._bundle.predict_batch(images, self._outputs.wanted)
                if written is not None:
                    written.result()
                written = writer.submit(_put_all, writers, batch, found)
                counts += [
                    (float(frame.pts * time_base), count_classes(scores.mask, classes))
                    for frame, scores in zip(batch, found, strict=True)
                ]
                tell(counts[-1][0] or 0.0)
            if written is None:
                raise ImageError("the file has no frames that can be decoded")
            written.result()
            for _, one in writers:
                one.end()
        return self._outputs.entry(decoded, files, size, counts)

    def _open(
        self,
        decoded: Decoded,
        size: tuple[int, int],
        time_base: Fraction,
        stack: ExitStack,
        files: list[Path],
    ) -> list[tuple[Callable[[Frame, Prediction], np.ndarray], _Writer]]:
        """Open the files of all outputs; each with what makes a frame of it."""
        outputs, colours = self._outputs, np.zeros((256, 4), np.uint8)
        colours[:, 0] = 255
        colours[: len(outputs.palette), 1:] = outputs.palette
        kinds: list[tuple[str, str, Any, Callable[[Frame, Prediction], np.ndarray]]] = [
            ("masks", ".mov", ("png", "pal8", colours), lambda _frame, scores: scores.mask)
        ]
        if outputs.options.overlays:
            kinds.append(
                (
                    "overlays",
                    ".mp4",
                    ("libx264", "yuv420p", None),
                    lambda frame, scores: outputs.overlay(frame.image, scores.mask),
                )
            )
        if outputs.options.entropy:
            kinds.append(("entropy", ".mov", ("png", "gray", None), _unsure))
        found = []
        for kind, suffix, how, make in kinds:
            path = outputs.path(kind, decoded.source, suffix)
            temporary = stack.enter_context(atomic_path(path))
            found.append((make, stack.enter_context(_Writer(temporary, how, size, time_base))))
            files.append(path)
        return found

    def _as_taken(self, image: np.ndarray) -> np.ndarray:
        if self._bundle.info["input"]["channels"] == 1:
            return np.asarray(Image.fromarray(image).convert("L"))[..., None]
        return image


class _Writer(AbstractContextManager["_Writer"]):
    """A video file that is written frame by frame.

    Args:
        path: The file.
        how: Codec, pixel format, and the palette of `pal8` as alpha, red, green, blue.
        size: (H, W) of the frames.
        time_base: Unit of their time stamps.
    """

    def __init__(
        self,
        path: Path,
        how: tuple[str, str, np.ndarray | None],
        size: tuple[int, int],
        time_base: Fraction,
    ) -> None:
        av = _require_av()
        codec, self._kind, self._colours = how
        self._time_base = time_base
        # H.264 halves the colours, so sides are even.
        self._missing = tuple(side % 2 for side in size) if self._kind == "yuv420p" else (0, 0)
        self._container = av.open(str(path), "w", format=path.suffix.removeprefix("."))
        self._stream = self._container.add_stream(
            codec, options=_OVERLAY_OPTIONS if codec == "libx264" else {}
        )
        self._stream.height, self._stream.width = (
            size[0] + self._missing[0],
            size[1] + self._missing[1],
        )
        self._stream.pix_fmt = self._kind
        self._stream.time_base = self._stream.codec_context.time_base = time_base

    def put(self, pixels: np.ndarray, pts: int) -> None:
        """Write a frame with its time stamp."""
        av = _require_av()
        if any(self._missing):
            pixels = np.pad(pixels, [(0, one) for one in (*self._missing, 0)], "edge")
        kind = "rgb24" if pixels.ndim == 3 else self._kind
        held = pixels if self._colours is None else (np.ascontiguousarray(pixels), self._colours)
        frame = av.VideoFrame.from_ndarray(held, format=kind)
        frame.pts, frame.time_base = pts, self._time_base
        self._container.mux(self._stream.encode(frame))

    def end(self) -> None:
        """Write what the encoder holds back."""
        self._container.mux(self._stream.encode(None))

    def __exit__(self, *_: object) -> None:
        """Close the file."""
        self._container.close()


def _require_av() -> Any:
    try:
        import av
    except ImportError:
        raise DataError("a video needs PyAV: pip install 'seglab[video]'") from None
    return av


def _frames(container: Any, video: Any) -> Iterator[Frame]:
    """Yield frames upright, their time stamps rising; one without goes a frame after the last."""
    step = max(1, round(1 / ((video.average_rate or 25) * video.time_base)))
    last: int | None = None
    for frame in container.decode(video):
        pts = frame.pts
        if pts is None or (last is not None and pts <= last):
            pts = 0 if last is None else last + step
        last = pts
        turns = round(frame.rotation / 90) % 4
        yield Frame(np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), turns)), pts)


def _batches(frames: Iterator[Frame], count: int) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    for frame in frames:
        batch.append(frame)
        if len(batch) == count:
            yield batch
            batch = []
    if batch:
        yield batch


def _put_all(
    writers: list[tuple[Callable[[Frame, Prediction], np.ndarray], _Writer]],
    batch: list[Frame],
    found: list[Prediction],
) -> None:
    for frame, scores in zip(batch, found, strict=True):
        for make, writer in writers:
            writer.put(make(frame, scores), frame.pts)


def _unsure(_frame: Frame, scores: Prediction) -> np.ndarray:
    return entropy(scores.probabilities)


def _duration(container: Any, video: Any) -> float:
    """Return the seconds of a video, as far as it says; else so many that nothing seems done."""
    if video.duration:
        return float(video.duration * video.time_base)
    return container.duration / 1e6 if container.duration else float("inf")
