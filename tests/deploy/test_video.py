"""Videos in and out: masks without loss, at the times of their frames."""

from __future__ import annotations

import csv
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.bundle.loader import load
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.run import Predicted, predict_files
from tests.bundle.tiny import CLASSES, PALETTE, write_tiny_bundle

av = pytest.importorskip("av")
TIMES = [0, 1001, 2002, 6006, 7007, 9009]
SIZE = (21, 33)
BASE = Fraction(1, 30_000)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    """A video without loss, of an odd size and frames of uneven length."""
    rng = np.random.default_rng(2)
    path = tmp_path / "drive.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png")
        stream.height, stream.width, stream.pix_fmt = *SIZE, "rgb24"
        stream.time_base = stream.codec_context.time_base = BASE
        for pts in TIMES:
            pixels = rng.integers(0, 256, (*SIZE, 3), dtype=np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = pts, BASE
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def _predict(tmp_path: Path, video: Path, **changes: Any) -> Predicted:
    bundle = tmp_path / "b"
    if not bundle.is_dir():
        write_tiny_bundle(bundle)
    given = {"bundle": str(bundle), "input": str(video), "output": str(tmp_path / "out")}
    return predict_files(PredictFilesOptions(**given, threads=1, **changes))


def _read(path: Path, kind: str | None = None) -> tuple[list[Fraction], list[Any]]:
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        arrays = [frame.to_ndarray(format=kind) if kind else frame.to_ndarray() for frame in frames]
        return [frame.pts * frame.time_base for frame in frames], arrays


def test_a_video_becomes_videos_of_the_same_times(tmp_path: Path, video: Path) -> None:
    found = _predict(tmp_path, video, overlays=True, entropy=True, batch_size=4)
    assert found.faults == {}
    wanted_times = [pts * BASE for pts in TIMES]
    bundle = load(tmp_path / "b")
    images = _read(video, "rgb24")[1]
    times, frames = _read(found.output / "masks" / "drive.mov")
    assert times == wanted_times
    for image, (mask, colours) in zip(images, frames, strict=True):
        np.testing.assert_array_equal(mask, bundle.predict(image).mask)
        assert colours[:3, 1:].tolist() == [list(colour) for colour in PALETTE]
    times, overlays = _read(found.output / "overlays" / "drive.mp4", "rgb24")
    assert times == wanted_times
    assert overlays[0].shape == (22, 34, 3)
    assert _read(found.output / "entropy" / "drive.mov")[0] == wanted_times
    with (found.output / "areas.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == len(TIMES) * len(CLASSES)
    assert sorted({float(row["time_s"]) for row in rows}) == pytest.approx(
        [float(time) for time in wanted_times]
    )
    again = _predict(tmp_path, video, overlays=True, entropy=True)
    assert (again.done, again.before) == (0, 1)


def test_what_is_no_video_is_named_and_leaves_nothing(tmp_path: Path, video: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "cut.mov").write_bytes(video.read_bytes()[:60])
    (folder / "text.mp4").write_text("no video")
    found = _predict(tmp_path, folder)
    assert {Path(place).name for place in found.faults} == {"cut.mov", "text.mp4"}
    assert not [path for path in (found.output / "masks").glob("*") if path.is_file()]


def test_probabilities_of_a_video_are_refused(tmp_path: Path, video: Path) -> None:
    found = _predict(tmp_path, video, probabilities=True)
    assert "probabilities are of images" in next(iter(found.faults.values()))
