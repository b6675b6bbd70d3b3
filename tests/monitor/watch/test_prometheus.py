"""From a frozen camera to the webhook of a running Alertmanager, through a running watch and Prometheus."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.monitor.alerts.test_channels import webhook
from tests.monitor.rows import camera, known_bundle, write_rows
from tests.serve.processes import ROOT, free_port
from tests.serve.test_container_files import ALERTS
from tests.serve.test_monitoring import running
from tests.waiting import wait_for


@pytest.mark.slow
def test_a_frozen_camera_reaches_the_webhook(tmp_path: Path) -> None:
    bundle, name = known_bundle(tmp_path / "bundle")
    log, port = tmp_path / "log", free_port()
    write_rows(log, camera(50) + camera(1, seed=5) * 20, time.time() - 80, name, stream="cam-3")
    watch = [sys.executable, "-m", "seglab.cli", "monitor", "watch", f"log={log}"]
    watch += [f"bundle={bundle}", "interval=0.5", f"metrics_port={port}", "drift.run_length=500"]
    with webhook() as (url, came):
        manager_file = tmp_path / "alertmanager.yml"
        route = {"receiver": "hook", "group_by": ["alertname"], "group_wait": "0s"}
        hook = {"name": "hook", "webhook_configs": [{"url": url}]}
        manager_file.write_text(json.dumps({"route": route, "receivers": [hook]}))
        manager_words = (
            f"--config.file={manager_file}",
            f"--storage.path={tmp_path / 'alertmanager'}",
            "--cluster.listen-address=",
        )
        output = (tmp_path / "watch.log").open("wb")
        process = subprocess.Popen(
            watch, cwd=ROOT, env=dict(os.environ), stdout=output, stderr=output
        )
        try:
            with running("prometheus-alertmanager", tmp_path, *manager_words) as manager:
                address = f"{manager.base_url.host}:{manager.base_url.port}"
                job = {"job_name": "watch"}
                content = {
                    "global": {"scrape_interval": "500ms", "evaluation_interval": "1s"},
                    "rule_files": [str(ALERTS)],
                    "alerting": {"alertmanagers": [{"static_configs": [{"targets": [address]}]}]},
                    "scrape_configs": [
                        {**job, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]}
                    ],
                }
                written = tmp_path / "prometheus.yml"
                written.write_text(json.dumps(content))
                words = (f"--config.file={written}", f"--storage.tsdb.path={tmp_path / 'tsdb'}")
                with running("prometheus", tmp_path, *words):
                    wait_for(lambda: any("frozen_camera" in str(one) for one in came))
        finally:
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=30) == 0
            output.close()
    [alert] = [
        alert
        for _, _, one in came
        for alert in one["alerts"]
        if alert["labels"].get("kind") == "frozen_camera"
    ][:1]
    assert alert["labels"]["alertname"] == "SeglabMonitor"
    assert (alert["labels"]["severity"], alert["labels"]["subject"]) == ("page", "cam-3")
    assert alert["annotations"]["summary"] == "frozen_camera (cam-3)"
    said = (tmp_path / "watch.log").read_text()
    assert said.count("[fired] page: frozen_camera (cam-3)") == 1
