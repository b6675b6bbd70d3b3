"""optuna-dashboard watches a study while it runs, in a journal as well as on a server."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from seglab.runs.studies.storage_place import parse_storage
from seglab.runs.studies.study import StudyFolder
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.ledger.ledger import Ledger, Outcome

DASHBOARD = Path(sys.executable).with_name("optuna-dashboard")


def suggest(trial: optuna.Trial) -> list[str]:
    return [f"lr={trial.suggest_float('lr', 1e-4, 1e-1, log=True)!r}"]


def _get(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/{path}", timeout=10) as answer:
        return json.loads(answer.read())


def _wait_for_studies(port: int, process: subprocess.Popen[bytes]) -> Any:
    for _ in range(300):
        try:
            return _get(port, "studies")
        except (urllib.error.URLError, ConnectionError):
            assert process.poll() is None, "the dashboard ended at once"
            time.sleep(0.2)
    raise AssertionError("the dashboard does not answer")


@pytest.mark.slow
def test_the_dashboard_shows_a_running_study(
    folder: StudyFolder, storage: str, make_plan: Callable[..., StudyPlan]
) -> None:
    if not DASHBOARD.is_file():
        pytest.skip("optuna-dashboard is not installed")
    ledger = Ledger(folder, make_plan(storage=storage), "c1", suggest)
    claim = ledger.claim("cpu 0")
    assert claim is not None
    ledger.report(claim, 0.25, 0)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = parse_storage(storage)
    where = str(place.path) if place.kind == "journal" else storage
    process = subprocess.Popen(
        [DASHBOARD, where, "--port", str(port), "--host", "127.0.0.1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        (summary,) = _wait_for_studies(port, process)["study_summaries"]
        assert summary["study_name"] == "demo-abc123"
        ledger.tell(claim, Outcome("failed", [float("nan")], reason="nan", error="loss is nan"))
        last = ledger.claim("cpu 0")
        assert last is not None
        ledger.tell(last, Outcome("finished", [0.5]))
        shown = _get(port, f"studies/{summary['study_id']}?after=0")
        assert [trial["state"] for trial in shown["trials"]] == ["Fail", "Complete"]
        assert shown["trials"][1]["values"] == [0.5]
        assert "val/miou" in json.dumps(shown), sorted(shown)
        facts = {one["key"]: one["value"] for one in shown["trials"][0]["user_attrs"]}
        assert "loss is nan" in facts["error"]
    finally:
        process.terminate()
        process.wait(20)
