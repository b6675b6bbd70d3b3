"""The log as a caller meets it: what is added is read again, whatever is in the way."""

from __future__ import annotations

import datetime
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seglab.core.errors import ConfigError, DataError
from seglab.monitor.log import parts
from seglab.monitor.log.reading import read_log
from seglab.monitor.log.schema import SCHEMA, table_of
from seglab.monitor.log.writer import Entry, RequestLog
from seglab.monitor.options import LogOptions
from seglab.monitor.samples import logged_sample

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp()


def numbers(seed: int = 0, classes: int = 3) -> dict[str, Any]:
    """Return the columns of one image's statistics."""
    rng = np.random.default_rng(seed)
    found: dict[str, Any] = {
        name: rng.random(3) for name in ("size", "channel_mean", "channel_std")
    }
    found |= {name: rng.random(classes) for name in ("class_shares", "predicted_mean")}
    found |= {name: rng.random() for name in ("sharpness", "confidence", "entropy")}
    return found | {"confusion": rng.random((classes, classes)), "features": rng.random(4)}


def entry(number: int = 0, **more: Any) -> Entry:
    given: dict[str, Any] = {
        "time": NOON + number,
        "request_id": f"r{number}",
        "bundle": "b",
        "variant": "fp32",
    }
    given |= {"latency": 0.1, "measure": lambda: numbers(number)}
    return Entry(**(given | more))


Open = Callable[..., RequestLog]


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Open logs in the test's folder, and end them."""
    made: list[RequestLog] = []

    def open_one(**options: Any) -> RequestLog:
        told: list[str] = []
        log = RequestLog(LogOptions(folder=str(tmp_path), **options), told.append)
        log.told = told  # type: ignore[attr-defined]
        made.append(log)
        return log

    yield open_one
    for log in made:
        log.close()


def test_rows_come_back_as_they_were_added(opened: Open, tmp_path: Path) -> None:
    log = opened()
    log.add(entry(1, name="street.jpg", stream="cam-1", queue=0.01, predict=0.05))
    log.add(entry(0, status="image", measure=None))
    log.close()

    table = read_log(tmp_path)
    assert table.schema.equals(SCHEMA, check_metadata=False)
    refused, row = table.to_pylist()
    assert refused["status"] == "image"
    assert refused["confusion"] is None
    assert row["time"].timestamp() == NOON + 1
    assert (row["name"], row["stream"], row["request_id"]) == ("street.jpg", "cam-1", "r1")
    np.testing.assert_allclose(row["confusion"], numbers(1)["confusion"].ravel(), rtol=1e-6)
    assert not list(tmp_path.rglob(".*"))
    sample = logged_sample(table)
    assert sample.num_images == 1
    assert sample.statistics["confusion"].shape == (1, 3, 3)
    assert sample.features is not None
    assert sample.streams.tolist() == ["cam-1"]


def test_a_row_is_in_a_file_after_flush_seconds(opened: Open, tmp_path: Path) -> None:
    log = opened(flush_seconds=0.05)
    log.add(entry())
    end = time.monotonic() + 10
    while not parts.parts_of(tmp_path):
        assert time.monotonic() < end
        time.sleep(0.01)
    assert read_log(tmp_path).num_rows == 1


def test_days_and_bundles_are_told_apart_and_columns_chosen(opened: Open, tmp_path: Path) -> None:
    log = opened(names=False)
    for number in range(6):
        log.add(entry(number, time=NOON + 6 * 3600 * number, bundle="ab"[number % 2], name="x"))
    log.close()

    assert [day.name for day in sorted(tmp_path.iterdir())] == ["2026-03-01", "2026-03-02"]
    noon = datetime.datetime(2026, 3, 1, 12)
    chosen = read_log(tmp_path, start=noon, end=NOON + 3 * 6 * 3600, columns=["request_id", "name"])
    assert chosen.to_pydict() == {"request_id": ["r0", "r1", "r2"], "name": [None] * 3}
    assert read_log(tmp_path, bundle="b", columns=["request_id"])["request_id"].to_pylist() == [
        "r1",
        "r3",
        "r5",
    ]
    with pytest.raises(ConfigError, match="did you mean 'entropy'"):
        read_log(tmp_path, columns=["entropie"])


@pytest.mark.parametrize("privacy", ["statistics", "thumbnails", "images"])
def test_only_what_privacy_allows_is_kept(opened: Open, tmp_path: Path, privacy: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 100, 3), dtype=np.uint8)
    bands = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
    log = opened(privacy=privacy, thumbnail=50)
    log.add(entry(0, pixels=pixels, request_id="../up:1", held=pixels.nbytes))
    log.add(entry(1, pixels=bands))
    log.close()

    stored = read_log(tmp_path)["stored"].to_pylist()
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.glob("*/images/*"))
    assert files == sorted(one for one in stored if one)
    if privacy == "statistics":
        assert files == []
    elif privacy == "thumbnails":
        assert Image.open(tmp_path / stored[0]).size == (50, 30)
        assert Image.open(tmp_path / stored[1]).size == (3, 2)
    else:
        assert stored[0] == "2026-03-01/images/__up:1-0.png"
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / stored[0])), pixels)
        np.testing.assert_array_equal(np.load(tmp_path / stored[1]), bands)


def test_a_request_id_that_comes_again_keeps_both_images(opened: Open, tmp_path: Path) -> None:
    log = opened(privacy="images")
    for number in range(3):
        log.add(entry(number, request_id="r", pixels=np.full((4, 4, 3), number, np.uint8)))
    log.close()
    stored = read_log(tmp_path)["stored"].to_pylist()
    assert [Path(one).name for one in stored] == ["r-0.png", "r-0_2.png", "r-0_3.png"]
    for number, place in enumerate(stored):
        assert (np.asarray(Image.open(tmp_path / place)) == number).all()


def test_small_files_are_joined_and_no_row_counts_twice(
    opened: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = parts.Parts(tmp_path, "w")
    monkeypatch.setattr(parts, "_AT_ONCE", 4)
    rows = [
        {**numbers(n), "time": NOON + n, "request_id": str(n), "image": 0, "bundle": "b"}
        | {"variant": "fp32", "status": "ok", "latency": 0.1}
        for n in range(6)
    ]
    kept: dict[Path, bytes] = {}
    for row in rows:
        kept |= {path: path.read_bytes() for path in parts.parts_of(tmp_path)}
        writer.write(table_of([row]))
    assert len(parts.parts_of(tmp_path)) == 3  # four in one, and two
    for path, content in kept.items():  # as where the process ended before it removed them
        path.write_bytes(content)

    assert len(parts.parts_of(tmp_path)) > 3
    assert read_log(tmp_path)["request_id"].to_pylist() == list("012345")


def test_what_was_pruned_is_not_missed_when_files_are_joined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = parts.Parts(tmp_path, "w")
    monkeypatch.setattr(parts, "_AT_ONCE", 4)
    monkeypatch.setattr(parts, "_ROWS_PER_GROUP", 2)
    for number in range(6):
        row = {**numbers(number), "time": NOON + number, "request_id": str(number), "image": 0}
        row |= {"bundle": "b", "variant": "fp32", "status": "ok", "latency": 0.1}
        writer.write(table_of([row]))
        if number == 1:
            parts.parts_of(tmp_path)[0].unlink()
    assert read_log(tmp_path)["request_id"].to_pylist() == list("12345")
    first, *others = parts.parts_of(tmp_path)
    assert len(others) == 2
    assert pq.ParquetFile(first).metadata.num_row_groups == 2, "three rows, two at a time"


def test_a_worker_of_the_service_gets_no_pandas(tmp_path: Path) -> None:
    code = (
        "import sys; from tests.monitor.log.test_log import *; from seglab.monitor.log.parts import Parts;"
        f"log = RequestLog(LogOptions(folder={str(tmp_path)!r}, flush_seconds=0.001), print);"
        "[(log.add(entry(n * 1000)), time.sleep(0.005)) for n in range(60)]; log.close();"
        "print(log.counts['rows'], 'pandas' in sys.modules)"
    )
    root = Path(__file__).resolve().parents[3]
    said = subprocess.check_output([sys.executable, "-c", code], text=True, cwd=root)
    assert said == "60 False\n"
    assert read_log(tmp_path).num_rows == 60


def test_broken_files_are_named_and_left_out(opened: Open, tmp_path: Path) -> None:
    log = opened()
    log.add(entry())
    log.close()
    [whole] = parts.parts_of(tmp_path)
    (whole.parent / "part-000000-x-1.parquet").write_bytes(whole.read_bytes()[:-20])
    later = pq.read_table(whole).replace_schema_metadata({"seglab_log_version": "99"})
    pq.write_table(later, whole.parent / "part-000000-x-2.parquet")
    told: list[str] = []

    assert read_log(tmp_path, tell=told.append).num_rows == 1
    [line] = told
    assert "left out 2 files" in line
    assert "part-000000-x-1.parquet" in line
    assert "version 99, expected 1; update seglab" in line


def test_the_oldest_rows_and_images_go_first(opened: Open, tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    log = opened(privacy="images", max_bytes=100_000, flush_seconds=0.001)
    left = tmp_path / "2026-02-01" / ".part-half.parquet"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    os.utime(left, (NOON, NOON))
    for number in range(30):  # 12 kB each
        log.add(entry(number, time=NOON + 86400 * number, pixels=pixels))
    log.close()

    sizes = [path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()]
    assert 50_000 < sum(sizes) <= 100_000
    kept = read_log(tmp_path)["request_id"].to_pylist()
    assert kept == [f"r{number}" for number in range(30 - len(kept), 30)]
    assert not left.parent.exists()


def test_what_cannot_be_kept_is_counted_and_said_once(opened: Open, tmp_path: Path) -> None:
    log = opened(memory=1)

    def fails() -> dict[str, Any]:
        raise ValueError("no numbers")

    log.add(entry(0, measure=fails))
    log.add(entry(1, measure=fails))
    log.add(entry(2))
    log.close()
    log.add(entry(3))
    assert (log.counts["rows"], log.counts["rows_lost"]) == (1, 3)
    assert "ValueError: no numbers" in log.told[0]  # type: ignore[attr-defined]

    def slow() -> dict[str, Any]:
        time.sleep(0.01)
        return {}

    full = opened(memory=1)
    for number in range(200):
        full.add(entry(number, measure=slow, held=2**19))
    full.close()
    assert full.counts["rows_lost"] > 100
    assert full.counts["rows"] + full.counts["rows_lost"] == 200


def test_rows_of_two_bundles_are_no_sample(tmp_path: Path) -> None:
    rows = [{**numbers(1, classes), "time": NOON, "image": 0} for classes in (3, 4)]
    table = table_of([{**row, "request_id": "r", "bundle": "b"} for row in rows]).select(
        ["time", "class_shares"]
    )
    with pytest.raises(DataError, match="class_shares: expected lists of one length"):
        logged_sample(table)
