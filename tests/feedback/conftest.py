"""A log of frames that a small ensemble answered, some streams harder than others, and a holdout."""

from __future__ import annotations

import datetime
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import Bundle, load
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.feedback.options import QueueOptions
from seglab.feedback.queue.build import make_queue
from seglab.feedback.queue.content import Queue
from seglab.monitor.log.schema import table_of
from tests.bundle.tiny import CLASSES, PALETTE, tiny_model, tiny_weights, write_tiny_bundle
from tests.curation.conftest import picture

DAY = datetime.datetime(2026, 11, 27, 9, tzinfo=datetime.UTC)
LABELS = LabelSpace(CLASSES, PALETTE)
SIZE = (48, 64)
Queued = Callable[..., Queue]


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two members of different weights, and a reference of ordinary pictures."""
    folder = tmp_path_factory.mktemp("feedback") / "bundle"
    folder.mkdir()
    weights = tiny_weights()
    (folder / "model_1.onnx").write_bytes(tiny_model(np.roll(weights, 1, axis=1)))
    content = io.BytesIO()
    means = np.stack([picture(seed, SIZE).mean((0, 1)) for seed in range(900, 930)])
    np.savez(content, features=means.astype(np.float32), entropy=np.zeros(30, np.float32))
    (folder / "reference.npz").write_bytes(content.getvalue())
    both = ["model.onnx", "model_1.onnx"]
    return write_tiny_bundle(folder, weights, golden=False, variants={"fp32": both})


def frames() -> list[tuple[str, str, np.ndarray]]:
    """Return the id, the stream and the pixels of every request."""
    found = [(f"r{number:02}", f"cam{number % 3}", picture(number, SIZE)) for number in range(24)]
    still = picture(500, SIZE).astype(np.int64)
    for number in range(10):
        noise = np.random.default_rng(number).integers(-2, 3, still.shape)
        image = np.clip(still // 4 + noise, 0, 255).astype(np.uint8)
        found.append((f"still{number}", "cam3", image))
    return found


def row_of(net: Bundle, name: str, stream: str, image: np.ndarray, number: int) -> dict[str, Any]:
    found = net.predict(image)
    return {
        "time": DAY + datetime.timedelta(seconds=number),
        "request_id": name,
        "image": 0,
        "name": f"{name}.jpg",
        "stream": stream,
        "bundle": net.id,
        "variant": "fp32",
        "status": "ok",
        "latency": 0.1,
        **input_statistics(image),
        **output_statistics(found),
        "features": found.features,
        "stored": f"2026-11-27/images/{name}-0.png",
    }


@pytest.fixture(scope="session")
def log(tmp_path_factory: pytest.TempPathFactory, bundle: Path) -> Path:
    folder = tmp_path_factory.mktemp("log")
    net = load(bundle)
    (folder / "2026-11-27" / "images").mkdir(parents=True)
    rows = []
    for number, (name, stream, image) in enumerate(frames()):
        row = row_of(net, name, stream, image, number)
        Image.fromarray(image).save(folder / row["stored"])
        rows.append(row)
    other = {**rows[0], "request_id": "other", "bundle": "0" * 16}
    refused = {key: rows[0][key] for key in ("time", "image", "bundle", "variant", "latency")}
    refused |= {"request_id": "bad", "status": "bad_image"}
    unseen = {**rows[1], "request_id": "unseen", "stored": None}
    small = {**rows[2], "request_id": "small", "stored": "2026-11-27/images/small-0.jpg"}
    Image.fromarray(frames()[2][2]).resize((16, 12)).save(folder / small["stored"])
    table = table_of([*rows, other, refused, unseen, small])
    pq.write_table(table, folder / "2026-11-27" / "part-090000-1-0.parquet")
    return folder


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Data for training and a holdout: `seen` of it is what request r05 shows, brighter and mirrored."""
    root = tmp_path / "data"
    root.mkdir()
    shown = picture(5, SIZE)[:, ::-1].astype(np.int64) + 20
    images = {"a": ("train", picture(700, SIZE)), "b": ("val", picture(701, SIZE))}
    images["seen"] = ("test", np.clip(shown, 0, 255).astype(np.uint8))
    files = []
    for name, (split, image) in images.items():
        Image.fromarray(image).save(root / f"{name}.png")
        Image.fromarray(np.zeros(SIZE, np.uint8)).save(root / f"{name}_mask.png")
        files.append(
            SampleFiles(name, root / f"{name}.png", root / f"{name}_mask.png", split, name)
        )
    build_manifest(ImportedFiles(files, LABELS), root, "mine", {}).write(tmp_path / "manifest")
    return tmp_path / "manifest"


@pytest.fixture
def queued(tmp_path: Path, log: Path, bundle: Path) -> Queued:
    """Return what makes a queue of the log: `queued(option=value, ...)`."""

    def make(name: str = "queue", **given: Any) -> Queue:
        options = {"log": str(log), "bundle": str(bundle), "count": 10, "threads": 1, **given}
        return make_queue(QueueOptions(output=str(tmp_path / name), **options), lambda text: None)

    return make
