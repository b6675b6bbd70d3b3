"""A service that was used for some hours: its bundle, its log, and the page about it."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import Bundle, load
from seglab.bundle.sealing import seal
from seglab.cli.main import run
from seglab.monitor.alerts.book import Alert, AlertBook
from seglab.monitor.log.schema import table_of
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
        found = net.predict(image)
        held |= input_statistics(image) | output_statistics(found) | {"features": found.features}
    return held | more


def refer(folder: Path, known: Sequence[np.ndarray]) -> Bundle:
    """Let a tiny bundle know images as its reference, each a stream, whose labels are as it expects."""
    bundle = load(folder)
    rows = [row(bundle, number, image) for number, image in enumerate(known)]
    names = [name for name in rows[0] if isinstance(rows[0][name], np.ndarray | np.floating)]
    content = {name: np.stack([one[name] for one in rows]).astype(np.float32) for name in names}
    content["true_confusion"] = content["confusion"]
    streams = np.array([f"s{number}" for number in range(len(known))])
    np.savez(folder / "reference.npz", allow_pickle=False, streams=streams, **content)
    seal(folder, tiny_info(golden=bundle.info["golden"]))
    return load(folder)


def write_service(place: Path) -> None:
    """Write a bundle that knows its reference, its log, and the page: the light goes out half way."""
    write_tiny_bundle(place / "bundle")
    bundle = refer(place / "bundle", [photo(seed) for seed in range(120)])
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
    book = AlertBook(place / "log" / "alerts.json")
    book.alerts["slow/service"] = Alert(
        *("slow/service", "slow", "warn", "service", "p95 is <3> s", 3.0, 2.0, "Look at it."),
        since=NOON + 600,
        seen=NOON + 900,
    )
    for subject, start, end in (("cam", -900, 1500), ("gone", -900, -600)):
        over = Alert(
            *(f"frozen/{subject}", "frozen_camera", "page", subject, "it stood", 1.0, 0.5, "Go."),
            since=NOON + start,
            seen=NOON + end,
            over=NOON + end,
        )
        book.past.append(over)
    book.write()
    words = [f"log={place / 'log'}", f"bundle={place / 'bundle'}", f"labels={place / 'labels'}"]
    words += [f"output={place / 'page.html'}"]
    words += ["drift.window=20", "drift.run_length=2000", "drift.simulated_windows=2000"]
    assert run(["monitor", "report", *words]) == 0
