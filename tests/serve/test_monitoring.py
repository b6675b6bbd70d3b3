"""A running server, watched by a running Prometheus that tells a running Alertmanager."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.serve.conftest import pixels, png
from tests.serve.processes import free_port, server, wait_for
from tests.serve.test_container_files import DASHBOARD, FILES, tool

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


def configuration(folder: Path, watched: int, alertmanager: httpx.URL) -> Path:
    """Write the one of compose, with other addresses and shorter pauses."""
    content = yaml.safe_load((FILES / "prometheus/prometheus.yml").read_text(encoding="utf-8"))
    content["global"] = {"scrape_interval": "500ms", "evaluation_interval": "1s"}
    content["rule_files"] = [str(FILES / "prometheus" / "alerts.yml")]
    address = f"{alertmanager.host}:{alertmanager.port}"
    content["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]}
    job, _ = content["scrape_configs"]
    content["scrape_configs"] = [job]
    del job["dns_sd_configs"]
    job["static_configs"] = [{"targets": [f"127.0.0.1:{watched}"]}]
    path = folder / "prometheus.yml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_panels_show_values_and_a_refused_reload_is_alerted(tmp_path: Path, bundle: Path) -> None:
    used = shutil.copytree(bundle, tmp_path / "bundle")
    manager_words = (
        f"--config.file={FILES / 'alertmanager.yml'}",
        f"--storage.path={tmp_path / 'alertmanager'}",
        "--cluster.listen-address=",
    )
    with (
        server(tmp_path, f"bundle={used}", workers=2) as found,
        running("prometheus-alertmanager", tmp_path, *manager_words) as manager,
    ):
        written = configuration(tmp_path, found.port, manager.base_url)
        words = (f"--config.file={written}", f"--storage.tsdb.path={tmp_path / 'tsdb'}")
        with running("prometheus", tmp_path, *words) as prometheus:

            def ask(query: str) -> list[Any]:
                answer = prometheus.get("/api/v1/query", params={"query": query}).json()
                assert answer["status"] == "success", (query, answer)
                return [one for one in answer["data"]["result"] if one["value"][1] != "NaN"]

            wait_for(lambda: ask('up{job="seglab"} == 1'))
            (used / "model.onnx").write_bytes(b"other")
            found.process.send_signal(signal.SIGHUP)
            end = time.monotonic() + 8
            while time.monotonic() < end:
                assert found.http.post("/v1/predict", content=png(pixels(16, 16))).is_success
                assert found.http.post("/v1/predict", content=b"no image").status_code == 422
            wait_for(lambda: ask('ALERTS{alertstate="firing"}'))
            told = "SeglabReloadRefused"
            wait_for(lambda: told in manager.get("/api/v2/alerts").text)

            shown = {}
            for panel in DASHBOARD["panels"]:
                for target in panel["targets"]:
                    query = target["expr"].replace("$instance", ".*")
                    shown[panel["title"], target["refId"]] = ask(
                        query.replace("$__rate_interval", "6s")
                    )
            assert not [panel for panel, values in shown.items() if not values]
            [rate] = shown["Images a second", "A"]
            assert float(rate["value"][1]) > 0
            statuses = {one["metric"]["status"] for one in shown["Predictions by status", "A"]}
            assert statuses == {"200", "422"}
            assert float(shown["Answered well", "A"][0]["value"][1]) == 1
            shares = sum(float(one["value"][1]) for one in shown["Share of the classes", "A"])
            assert shares == pytest.approx(1)
            assert float(shown["Workers", "A"][0]["value"][1]) == 2
            firing = {one["metric"]["alertname"] for one in shown["Alerts", "A"]}
            assert firing == {told}
