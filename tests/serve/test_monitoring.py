"""A server and the watch over its log, seen by a running Prometheus that tells a running Alertmanager."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
import yaml
from PIL import Image

from seglab.bundle.loader import Bundle
from tests.bundle.tiny import write_tiny_bundle
from tests.monitor.report.service import refer
from tests.serve.conftest import brightest, pixels, png
from tests.serve.processes import ROOT, Server, free_port, server
from tests.serve.test_container_files import DASHBOARD, FILES, tool
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@contextmanager
def running(name: str, folder: Path, *words: str) -> Iterator[httpx.Client]:
    """A program of the Prometheus family, once it is ready."""
    program = tool(name, f"Debian's package {name}")
    port = free_port()
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [program, f"--web.listen-address=127.0.0.1:{port}", *words], stdout=log, stderr=log
        )
    client = httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False, timeout=30)

    def ready() -> bool:
        assert process.poll() is None, (folder / f"{name}.log").read_text(encoding="utf-8")
        try:
            return client.get("/-/ready").status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_for(ready)
        yield client
    finally:
        process.terminate()
        process.wait(timeout=30)
        client.close()


def configuration(folder: Path, served: int, watched: int, alertmanager: httpx.URL) -> Path:
    """Write the one of compose, with other addresses and shorter pauses."""
    content = yaml.safe_load((FILES / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    content["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    content["rule_files"] = [str(FILES / "prometheus" / "alerts.yml")]
    address = f"{alertmanager.host}:{alertmanager.port}"
    content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
    del content["scrape_configs"][0]["dns_sd_configs"]
    for job, port in zip(content["scrape_configs"], (served, watched), strict=True):
        job["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


@contextmanager
def watching(folder: Path, bundle: Path, log: Path, labels: Path) -> Iterator[int]:
    """The watch over a log, in a process of its own; yield its port of metrics."""
    port = free_port()
    words = [f"log={log}", f"bundle={bundle}", f"labels={labels}"]
    words += [f"metrics_port={port}", "interval=0.5", "drift.window=20", "drift.run_length=100000"]
    command = [sys.executable, "-m", "seglab.cli", "monitor", "watch", *words]
    with (folder / "watch.log").open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=dict(os.environ), stdout=output, stderr=output
        )
    try:
        yield port
    finally:
        process.terminate()
        assert process.wait(timeout=30) == 0, (folder / "watch.log").read_text(encoding="utf-8")


def send(found: Server, bundle: Bundle, labels: Path) -> None:
    """Send good images and bad ones for some seconds; labels of the good ones arrive later."""
    end, masks = time.monotonic() + 8, dict[str, np.ndarray]()
    while time.monotonic() < end or len(masks) < 60:
        image = pixels(16, 16, 500 + len(masks))
        answer = found.http.post("/v1/predict", content=png(image))
        assert answer.is_success
        assert found.http.post("/v1/predict", content=b"no image").status_code == 422
        masks[answer.headers["X-Request-ID"]] = bundle.predict(image).mask
    time.sleep(1)  # the rows are on the disk
    for name, mask in masks.items():
        Image.fromarray(mask).save(labels / f"{name}.png")


def test_panels_show_values_and_what_is_wrong_is_alerted(tmp_path: Path) -> None:
    used = write_tiny_bundle(tmp_path / "bundle", brightest())
    bundle = refer(used, [pixels(16, 16, seed) for seed in range(120)])
    kept = shutil.copytree(used, tmp_path / "kept")  # the server's will be spoilt
    log, labels = tmp_path / "log", tmp_path / "labels"
    for folder in (log, labels):
        folder.mkdir()
    logged = (f"log.folder={log}", "log.privacy=images", "log.flush_seconds=0.5")
    manager_words = (
        f"--config.file={FILES / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'alertmanager'}",
        "--cluster.listen-address=",
    )
    with (
        server(tmp_path, f"bundle={used}", *logged, workers=2) as found,
        watching(tmp_path, kept, log, labels) as watched,
        running("prometheus-alertmanager", tmp_path, *manager_words) as manager,
    ):
        written = configuration(tmp_path, found.port, watched, manager.base_url)
        words = (f"--config.file={written}", f"--storage.tsdb.path={tmp_path / 'tsdb'}")
        with running("prometheus", tmp_path, *words) as prometheus:

            def ask(query: str) -> list[Any]:
                answer = prometheus.get("/api/v1/query", params={"query": query}).json()
                assert answer["status"] == "success", (query, answer)
                return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]

            def show() -> dict[tuple[str, str], list[Any]]:
                return {
                    (panel["title"], target["refId"]): ask(
                        target["expr"].replace("$instance", ".*").replace("$__rate_interval", "8s")
                    )
                    for panel in DASHBOARD["panels"]
                    for target in panel["targets"]
                }

            wait_for(lambda: ask('up{job="seglab"} == 1') and ask('up{job="seglab-watch"} == 1'))
            (used / "model.onnx").write_bytes(b"other")
            found.process.send_signal(signal.SIGHUP)
            send(found, bundle, labels)
            told = {"SeglabReloadRefused", "SeglabMonitor"}
            wait_for(lambda: all(one in manager.get("/api/v2/alerts").text for one in told))
            rates = show()  # while there is traffic
            wait_for(lambda: ask("seglab_miou_measured"))
            shown = {name: values or rates[name] for name, values in show().items()}
            assert not [panel for panel, values in shown.items() if not values]
            value = {name: float(values[0]["value"][1]) for name, values in rates.items() if values}
            assert value["Images a second", "A"] > 0
            statuses = {one["metric"]["status"] for one in rates["Predictions by status", "A"]}
            assert statuses == {"200", "422"}
            assert value["Answered well", "A"] == 1
            shares = sum(float(one["value"][1]) for one in rates["Share of the classes", "A"])
            assert shares == pytest.approx(1)
            assert value["Workers", "A"] == 2
            firing = {
                (one["metric"]["alertname"], one["metric"].get("kind"))
                for one in shown["Alerts", "A"]
            }
            assert {("SeglabReloadRefused", None), ("SeglabMonitor", "unreadable")} <= firing
            assert value["Rows of the log", "A"] > value["Images a second", "A"], "refused ones too"
            assert value["Rows of the log", "B"] == 0
            value |= {name: float(values[0]["value"][1]) for name, values in shown.items()}
            score, threshold = (value["Drift: score against threshold", one] for one in "AB")
            assert 0 < score < threshold, "nothing has changed"
            estimated, low, high, measured = (value["mIoU in service", one] for one in "ABCD")
            assert low <= estimated <= high
            assert measured == 1, "the labels are the model's own masks"
            assert value["The estimate can be believed", "A"] in (0, 1)
