"""Requests and the rows they leave: what was seen, what was refused, and a log that cannot be written."""

from __future__ import annotations

import contextlib
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import load
from seglab.monitor.log.reading import read_log
from seglab.monitor.options import LogOptions
from seglab.monitor.samples import logged_sample
from tests.bundle.tiny import write_tiny_bundle
from tests.serve.conftest import Served, brightest, pixels, png
from tests.serve.processes import server
from tests.waiting import wait_for

Run = Callable[..., None]


def test_every_image_leaves_what_export_would_measure(
    run: Run, bundle: Path, tmp_path: Path
) -> None:
    images = [pixels(200, 260, seed) for seed in (1, 2)]

    async def test(served: Served) -> None:
        files = [("image", (f"{n}.png", png(image))) for n, image in enumerate(images)]
        headers = {"X-Stream-ID": "cam/1", "X-Request-ID": "ask-1"}
        answer = await served.client.post("/v1/predict", files=files, headers=headers)
        assert answer.status_code == 200
        await served.predict(b"no image", **{"X-Stream-ID": "cam/2"})
        assert (await served.predict(png(images[0]), **{"X-Stream-ID": "a b"})).status_code == 400
        spec = (await served.client.get("/openapi.json")).json()
        parameters = spec["paths"]["/v1/predict"]["post"]["parameters"]
        assert {"X-Stream-ID", "output"} <= {one["name"] for one in parameters}
        await served.client.get("/info")

    run(test, log=LogOptions(folder=str(tmp_path / "log")))
    table = read_log(tmp_path / "log").sort_by([("latency", "descending")])
    rows = sorted(table.to_pylist(), key=lambda row: (row["status"], row["image"]))
    assert [(row["status"], row["image"], row["name"], row["stream"]) for row in rows] == [
        ("image", 0, None, "cam/2"),
        ("invalid", 0, None, None),
        ("ok", 0, "0.png", "cam/1"),
        ("ok", 1, "1.png", "cam/1"),
    ]
    model = load(bundle)
    assert {row["bundle"] for row in rows} == {model.id}
    assert rows[2]["request_id"] == rows[3]["request_id"] == "ask-1"
    for row, image in zip(rows[2:], images, strict=True):
        found = model.predict(image)
        wanted: dict[str, Any] = {**input_statistics(image), **output_statistics(found)}
        assert found.features is not None
        for name, value in (wanted | {"features": found.features}).items():
            np.testing.assert_allclose(row[name], np.ravel(value), rtol=1e-4, atol=1e-5)
        assert 0 < row["predict"] < row["latency"]
    assert logged_sample(table).num_images == 2


def test_only_the_sample_is_logged_and_counted(run: Run, tmp_path: Path) -> None:
    content = png(pixels(8, 8))

    async def test(served: Served) -> None:
        for _ in range(60):
            await served.predict(content)
        await served.service.close()
        seen["rows"] = served.value("seglab_log_rows_total")

    seen: dict[str, float] = {}
    run(test, log=LogOptions(folder=str(tmp_path), sample=0.3))
    assert 5 < seen["rows"] < 35  # 3.5 deviations on either side
    assert read_log(tmp_path).num_rows == seen["rows"]


@pytest.mark.slow
def test_kill_9_leaves_whole_files_and_a_reload_another_bundle(
    tmp_path: Path, bundle: Path
) -> None:
    place, log = tmp_path / "model", tmp_path / "log"
    shutil.copytree(bundle, place)
    content = png(pixels(64, 64))
    words = (f"bundle={place}", f"log.folder={log}", "log.flush_seconds=0.1")
    with server(tmp_path, *words, "log.privacy=thumbnails", workers=2) as served:

        def ask(number: int) -> None:
            answer = served.http.post("/v1/predict", content=content)
            assert answer.status_code == 200

        for number in range(20):
            ask(number)
        first = load(place).id
        wait_for(lambda: read_log(log).num_rows == 20)
        shutil.rmtree(place)
        write_tiny_bundle(place, brightest(3))
        served.process.send_signal(signal.SIGHUP)
        wait_for(lambda: served.metrics().get('seglab_reloads_total{outcome="done"}') == 2)
        for number in range(20):
            ask(number)
        for worker in served.workers():
            worker.send_signal(signal.SIGKILL)
        served.process.kill()

    told: list[str] = []
    table = read_log(log, tell=told.append)
    assert told == []
    assert 20 <= table.num_rows <= 40
    assert set(table["bundle"].to_pylist()) <= {first, load(place).id}
    assert all((log / place).is_file() for place in table["stored"].to_pylist())


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=256k", "none", str(place)]
    if subprocess.run(words, capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    yield place
    subprocess.run(["umount", "--lazy", str(place)], check=True)


def fill(path: Path) -> None:
    """Write until the disk is full."""
    with contextlib.suppress(OSError), path.open("wb", buffering=0) as stream:
        while True:
            stream.write(bytes(4096))


@pytest.mark.slow
def test_a_full_disk_costs_rows_and_nothing_else(
    tmp_path: Path, bundle: Path, small_disk: Path
) -> None:
    content = png(pixels(64, 64))
    ballast = small_disk / "ballast"
    with server(
        tmp_path, f"bundle={bundle}", f"log.folder={small_disk}", "log.flush_seconds=0.05"
    ) as served:

        def written() -> float:
            return served.metrics()["seglab_log_rows_total"]

        served.http.post("/v1/predict", content=content)
        wait_for(lambda: written() == 1)
        fill(ballast)
        for _ in range(10):
            assert served.http.post("/v1/predict", content=content).status_code == 200
        wait_for(lambda: served.metrics()["seglab_log_rows_lost_total"] == 10)
        assert any("rows of the log are lost" in line["message"] for line in served.log())
        ballast.unlink()
        served.http.post("/v1/predict", content=content)
        wait_for(lambda: written() == 2)
        assert served.end() == 0
    assert read_log(small_disk).num_rows == 2


@pytest.mark.slow
def test_what_is_held_is_written_at_the_end(tmp_path: Path, bundle: Path) -> None:
    words = (f"bundle={bundle}", f"log.folder={tmp_path / 'log'}", "log.flush_seconds=600")
    with server(tmp_path, *words, workers=2) as served:
        for _ in range(10):
            served.http.post("/v1/predict", content=png(pixels(64, 64)))
        assert served.end() == 0
    assert read_log(tmp_path / "log").num_rows == 10
