"""The page of a period: numbers by hand, and what a reader is told."""

from __future__ import annotations

import datetime
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import Bundle, load
from seglab.bundle.sealing import seal
from seglab.cli.main import run
from seglab.core.errors import ConfigError, DataError
from seglab.monitor.alerts.book import Alert, AlertBook
from seglab.monitor.log.schema import table_of
from seglab.monitor.report.options import ReportOptions
from seglab.monitor.report.period import summarise
from tests.browser import NEEDS_BROWSER, open_browser
from tests.bundle.tiny import tiny_info, write_tiny_bundle

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC).timestamp()


def photo(seed: int, light: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (8, 8, 3)) * light
    pixels: np.ndarray = blocks.astype(np.uint8).repeat(4, 0).repeat(4, 1)
    return pixels


def row(net: Bundle, number: int, image: np.ndarray | None, **more: Any) -> dict[str, Any]:
    held = {"time": NOON + 30.0 * number, "request_id": f"r{number}", "image": 0}
    held |= {"bundle": net.id, "variant": "fp32", "status": "ok", "latency": 0.1}
    held |= {"queue": 0.01, "predict": 0.08, "stream": "cam"}
    if image is not None:
        held |= input_statistics(image) | output_statistics(net.predict(image))
        held["features"] = image.mean((0, 1)) / 8
    return held | more


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


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that knows its reference, and its log: the light goes out in the middle of the period."""
    place = tmp_path_factory.mktemp("service")
    bundle = load(write_tiny_bundle(place / "bundle"))
    known = [photo(seed) for seed in range(120)]
    rows = [row(bundle, number, image) for number, image in enumerate(known)]
    names = [name for name in rows[0] if isinstance(rows[0][name], np.ndarray | np.floating)]
    content = {name: np.stack([one[name] for one in rows]).astype(np.float32) for name in names}
    content["true_confusion"] = content["confusion"]
    streams = np.array([f"s{number}" for number in range(120)])
    np.savez(place / "bundle" / "reference.npz", streams=streams, **content)
    seal(place / "bundle", tiny_info(golden=bundle.info["golden"]))
    bundle = load(place / "bundle")
    logged = []
    (place / "log" / "2026-03-01" / "images").mkdir(parents=True)
    (place / "labels").mkdir()
    for number in range(160):
        image = photo(500 + number, 1.0 if number < 80 else 0.3)
        stored = f"2026-03-01/images/r{number}-0.png" if number % 5 == 0 else None
        if stored:
            Image.fromarray(image).save(place / "log" / stored)
            mask = bundle.predict(image).mask
            Image.fromarray(mask).save(place / "labels" / f"r{number}-0.png")
        logged.append(row(bundle, number, image, stored=stored))
    logged.append(row(bundle, 160, None, status="unreadable"))
    logged.append(row(bundle, 161, photo(1), bundle="0123456789abcdef"))
    pq.write_table(table_of(logged), place / "log" / "2026-03-01" / "part-120000-1-1.parquet")
    book = AlertBook(place / "alerts.json")
    book.alerts["slow/service"] = Alert(
        *("slow/service", "slow", "warn", "service", "p95 is <3> s", 3.0, 2.0, "Look at it."),
        since=NOON + 600,
        seen=NOON + 900,
    )
    book.write()
    words = [f"log={place / 'log'}", f"bundle={place / 'bundle'}", f"labels={place / 'labels'}"]
    words += [f"alerts={place / 'alerts.json'}", f"output={place / 'page.html'}"]
    assert (
        run(["monitor", "report", *words, "window=20", "run_length=2000", "simulated_windows=2000"])
        == 0
    )
    return place


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


@NEEDS_BROWSER
def test_page_in_a_browser(service: Path, tmp_path: Path) -> None:
    """No error, nothing loaded, no sideways scrolling; the charts' data can be read."""
    browser = open_browser(tmp_path / "profile")
    try:
        for width in (1280, 390):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get((service / "page.html").as_uri())
            assert browser.get_log("browser") == []
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        charts = browser.execute_script(
            "return [...document.querySelectorAll('svg[data-chart]')].map(one => one.dataset.chart)"
        )
        assert len(charts) == 7
        assert all(line["points"] for chart in charts for line in json.loads(chart)["lines"])
    finally:
        browser.quit()
