"""The page of a period: numbers by hand, and what a reader is told."""

from __future__ import annotations

import datetime
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seglab.bundle.loader import load
from seglab.cli.main import run
from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.monitor.log.schema import table_of
from seglab.monitor.report.options import ReportOptions
from seglab.monitor.report.period import summarise
from tests.bundle.tiny import CLASSES, write_tiny_bundle
from tests.monitor.report.service import photo, row

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp()


def test_numbers_of_a_period_by_hand() -> None:
    rows = [
        {"time": NOON + one, "request_id": f"r{one // 2}", "image": one % 2, "bundle": "b"}
        | {"variant": "v", "status": "ok", "latency": 0.1 * (one % 4), "stream": "s"}
        | {"confidence": 0.5 + one / 100, "entropy": 0.2, "class_shares": [0.25, 0.75]}
        for one in range(40)
    ]
    rows[39] |= {"status": "overloaded", "bundle": "c", "confidence": None, "class_shares": None}
    found = summarise(table_of(rows))
    assert found.images.tolist() == [20, 20]
    assert found.failed.tolist() == [0, 1]
    assert found.latency[:, 0] == pytest.approx([0.15, 0.3])
    assert found.confidence == pytest.approx([0.5 + 9.5 / 100, 0.5 + 29 / 100])
    assert found.shares == pytest.approx(np.array([[0.25, 0.25], [0.75, 0.75]]))
    assert found.bundles == {"b": (NOON, NOON + 38, 39), "c": (NOON + 39, NOON + 39, 1)}
    assert (found.requests, found.rows, found.streams) == (20, 40, 1)
    assert found.statuses == {"ok": 39, "overloaded": 1}
    with pytest.raises(DataError, match="expected rows in this period, got none"):
        summarise(table_of([]))


def test_page_tells_what_happened(service: Path) -> None:
    html = (service / "page.html").read_text()
    tags = re.compile(r"<script.*?</script>|<style.*?</style>|<[^>]+>", re.S)
    text = re.sub(r"\s+", " ", tags.sub(" ", html))
    assert "drift first at 2026-03-01 12:4" in text, "light went out at 12:40"
    assert "and at the end of the period too" in text
    assert "channel_std[2]" in text
    assert "No drift and no quality of images answered by 0123456789abcdef" in text
    assert "p95 is &lt;3&gt; s" in text, "text of others is escaped"
    assert "Look at it." in text
    assert "12:10 UTC lasts, seen 2026-03-01 12:15 UTC warn slow (service)" in text
    assert "11:45 UTC 2026-03-01 12:25 UTC page frozen_camera (cam)" in text
    assert "frozen_camera (gone)" not in text, "it was over before the period"
    assert re.search(r"unreadable 1 0\.62%", text)
    measured = re.search(r"([\d.]+) measured mIoU", text)
    assert measured is not None
    assert float(measured[1]) == 1.0, "the labels are the model's own masks"


def test_period_and_words(service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"log={service / 'log'}", f"output={service / 'part.html'}"]
    assert run(["monitor", "report", *words, "end=2026-03-01T12:30"]) == 0
    html = (service / "part.html").read_text()
    assert "60 of 60 requests" in html
    assert "No bundle was given" in html
    assert run(["monitor", "report", *words, "start=2026-03-02"]) == 2
    assert "expected rows in this period, got none" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="start: expected a time such as 2026-11-27"):
        ReportOptions(log="x", start="yesterday")
    assert run(["monitor", "report", *words, f"alerts={service / 'none.json'}"]) == 2
    assert "expected the file that seglab monitor watch keeps" in capsys.readouterr().err


def test_a_bundle_without_reference_is_told(service: Path) -> None:
    bundle = write_tiny_bundle(service / "older")
    older = load(bundle)
    log = service / "older_log" / "2026-03-01"
    log.mkdir(parents=True)
    rows = [row(older, number, photo(number)) for number in range(30)]
    pq.write_table(table_of(rows), log / "part-120000-1-1.parquet")
    words = [f"log={log.parent}", f"bundle={bundle}", f"output={service / 'older.html'}"]
    assert run(["monitor", "report", *words]) == 0
    assert (
        "expected a bundle with a reference.npz; export it again"
        in (service / "older.html").read_text()
    )


def test_a_manifest_has_labels_and_images(
    service: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Its masks hold other values than class indices; its images stand in for those not stored."""
    files = []
    for number in range(1, 13):
        image = photo(500 + number)
        mask = load(service / "bundle").predict(image).mask
        Image.fromarray(image).save(tmp_path / f"{number}.png")
        Image.fromarray(mask + 10).save(tmp_path / f"{number}_mask.png")
        paths = (Path(f"{number}.png"), Path(f"{number}_mask.png"))
        files.append(SampleFiles(f"r{number}-0", *paths, "train", "g"))

    def written(names: tuple[str, ...]) -> str:
        raw = {10 + place: place for place in range(len(names))}
        imported = ImportedFiles(files, LabelSpace(names, raw_ids=raw))
        build_manifest(imported, tmp_path, "m", {}).write(tmp_path / "m")
        return f"labels={tmp_path / 'm'}"

    words = [f"log={service / 'log'}", f"bundle={service / 'bundle'}"]
    words += [f"output={tmp_path / 'page.html'}", "drift.simulated_windows=1000"]
    assert run(["monitor", "report", *words, written(CLASSES)]) == 0
    text = (tmp_path / "page.html").read_text()
    assert re.search(r'"big">1.000</span> <span>measured mIoU', text)
    assert "Measured minus expected mIoU of" in text
    assert run(["monitor", "report", *words, written(("a", "b", "c"))]) == 2
    assert "labels: expected the classes of" in capsys.readouterr().err
