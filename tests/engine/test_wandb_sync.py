"""Offline runs are uploaded by W&B's own command, here to a small server that takes everything."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import wandb

from seglab.core.errors import ConfigError, RunNotFoundError, SeglabError
from seglab.engine.tracking import wandb_sync
from seglab.engine.tracking.tracking import WandbView
from seglab.engine.tracking.wandb_mode import find_segments
from seglab.engine.tracking.wandb_session import WandbConfig
from seglab.engine.tracking.wandb_sync import check_words, plan_sync, require_server, sync
from seglab.runs import RunRecord


@pytest.fixture(autouse=True)
def _own_wandb_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    base = tmp_path_factory.mktemp("wandb-home")
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(variable, str(base / variable.lower()))
    monkeypatch.setenv("NETRC", str(base / "netrc"))
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "WANDB_BASE_URL"):
        monkeypatch.delenv(variable, raising=False)
    yield
    wandb.teardown()


@dataclass
class Server:
    """A stand-in for W&B: remembers the runs and the rows it was sent."""

    url: str = ""
    runs: list[dict[str, Any]] = field(default_factory=list)
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    refuse: bool = False

    def take(self, path: str, content: Any) -> dict[str, Any]:
        if path.endswith("/graphql"):
            return {"data": self._answer(content["query"], content.get("variables") or {})}
        if path.endswith("/file_stream"):
            run_id = path.split("/")[-2]
            for name, part in (content.get("files") or {}).items():
                if name == "wandb-history.jsonl":
                    self.rows.setdefault(run_id, []).extend(map(json.loads, part["content"]))
        return {}

    def _answer(self, query: str, variables: dict[str, Any]) -> dict[str, Any]:
        if "createRunFiles" in query:
            files = [{"name": n, "uploadUrl": f"{self.url}/{n}"} for n in variables["files"]]
            return {"createRunFiles": {"runID": "b", "uploadHeaders": [], "files": files}}
        if "upsertBucket" not in query:
            return {}
        self.runs.append(variables)
        project = {"id": "p", "name": variables["project"], "entity": {"id": "e", "name": "team"}}
        bucket = {
            "id": "b",
            "name": variables["name"],
            "displayName": "",
            "description": None,
            "config": None,
            "sweepName": None,
            "project": project,
            "historyLineCount": 0,
        }
        return {"upsertBucket": {"bucket": bucket, "inserted": True}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    state = Server()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_GET(self) -> None:
            self._send(200, {})

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self._send(200, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if state.refuse:
                self._send(403, {"errors": [{"message": "not yours"}]})
            else:
                self._send(200, state.take(self.path, json.loads(body)))

        def _send(self, code: int, content: Any) -> None:
            text = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{http.server_address[1]}"
    thread = threading.Thread(target=http.serve_forever, daemon=True)
    thread.start()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", state.url)
    yield state
    http.shutdown()
    http.server_close()
    thread.join()


def _record(run_dir: Path, kind: str = "train", **facts: Any) -> RunRecord:
    given = {"git": {"commit": "abc", "dirty": True}, "packages": {"x": "1"}, **facts}
    return RunRecord.create(
        run_dir, experiment="e", kind=kind, config={"a": 1}, config_yaml="", **given
    )


def _segment(record: RunRecord, epochs: range, status: str = "finished") -> None:
    """Show some epochs in W&B as a training does; those before the first were logged already."""
    view = WandbView(WandbConfig(record.run_dir, record.run_id, mode="offline"))
    row = {"epoch": 0, "step": 0, "val/miou": 0.0}
    former = [row | {"epoch": e, "step": 10 * e, "val/miou": e / 10} for e in range(epochs.start)]
    view.start({"a": 1}, former, 10 * epochs.start if former else None)
    for epoch in epochs:
        view.log_epoch(row | {"epoch": epoch, "val/miou": epoch / 10}, 10 * epoch)
    view.finish(status)
    record.update(wandb=view.facts())


def _placeholder(record: RunRecord, *names: str) -> list[Path]:
    """Make folders as W&B names them, without asking W&B."""
    folders = []
    for name in names:
        folder = record.run_dir / "wandb" / f"{name}-{record.run_id}"
        folder.mkdir(parents=True)
        (folder / f"run-{record.run_id}.wandb").touch()
        folders.append(folder)
    record.update(wandb={"id": record.run_id, "mode": "offline", "url": None})
    return folders


def test_resumed_run_arrives_whole_and_the_record_says_so(tmp_path: Path, server: Server) -> None:
    record = _record(tmp_path / "e" / "r1")
    _segment(record, range(2), "interrupted")
    _segment(record, range(2, 3))
    record.finish("finished")
    old, new = find_segments(record.run_dir, "r1")

    (item,) = plan_sync([tmp_path])
    assert (item.action, item.segment, item.superseded) == ("upload", new, (old,))
    require_server()
    told: list[Any] = []
    (result,) = sync([item], tell=told.append)

    assert result.done, result.message
    assert told == [result]
    assert {run["name"] for run in server.runs} == {"r1"}
    rows = [row for row in server.rows["r1"] if "val/miou" in row]
    assert [(row["epoch"], row["val/miou"]) for row in rows] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    facts = record.read()["wandb"]
    assert facts["synced"].startswith("20")
    assert facts["id"] == "r1"
    assert facts["url"] == result.url
    assert result.url is None or "/runs/r1" in result.url
    assert [one.action for one in plan_sync([tmp_path])] == ["uploaded already"]
    assert [one.action for one in plan_sync([tmp_path], again=True)] == ["upload"]


def test_refused_upload_stays_waiting_and_says_why(tmp_path: Path, server: Server) -> None:
    record = _record(tmp_path / "e" / "r1")
    _segment(record, range(1))
    record.finish("finished")
    server.refuse = True
    (result,) = sync(plan_sync([tmp_path]), check_words("team", "other"))
    assert not result.done
    assert result.message
    assert "synced" not in record.read()["wandb"]
    assert [one.action for one in plan_sync([tmp_path])] == ["upload"]


def test_plan_looks_at_the_newest_segment_only(tmp_path: Path) -> None:
    offline = _record(tmp_path / "e" / "r1")
    first, second = _placeholder(
        offline, "offline-run-20250102_000000", "offline-run-20250103_000000"
    )
    offline.finish("interrupted")
    online = _record(tmp_path / "e" / "r2")
    _placeholder(online, "offline-run-20250102_000000", "run-20250103_000000")
    online.finish("finished")
    _record(tmp_path / "e" / "r3").finish("finished")
    training = _record(tmp_path / "e" / "r4")
    _placeholder(training, "offline-run-20250102_000000")
    items = {item.record.run_id: item for item in plan_sync([tmp_path])}
    assert {name: item.action for name, item in items.items()} == {
        "r1": "upload",
        "r2": "online",
        "r3": "nothing recorded",
        "r4": "running",
    }
    assert (items["r1"].segment, items["r1"].superseded) == (second, (first,))


def test_folds_of_a_cross_validation_are_found_once(tmp_path: Path) -> None:
    cv = _record(tmp_path / "e" / "cv1", "cv")
    for place in ("folds/cv1-r0-f0", "folds/cv1-r0-f1", "leak_report/x", "leak_report/x/folds/x-0"):
        _record(cv.run_dir / place, "fold").finish("finished")
    items = plan_sync([tmp_path, cv.run_dir, cv.run_dir / "folds" / "cv1-r0-f0" / "run.json"])
    assert [item.record.run_id for item in items] == ["cv1", "cv1-r0-f0", "cv1-r0-f1", "x", "x-0"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="no run"):
        plan_sync([tmp_path / "none"])


def test_without_key_or_server_nothing_is_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match=r"no API key.*WANDB_API_KEY.*wandb login"):
        require_server()
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setenv("WANDB_BASE_URL", "http://127.0.0.1:9")
    with pytest.raises(SeglabError, match=r"http://127.0.0.1:9 does not answer .*nothing was"):
        require_server()
    monkeypatch.setenv("WANDB_BASE_URL", "ftp://x")
    with pytest.raises(ConfigError, match=r"must be an http\(s\) address, got 'ftp://x'"):
        require_server()


def test_words_for_the_target_are_checked() -> None:
    assert check_words(None, None).options() == []
    assert check_words("team", "p").options() == ["--entity", "team", "--project", "p"]
    for entity, project in (("a/b", None), (None, "x y"), ("", None)):
        with pytest.raises(ConfigError, match="expected a plain name"):
            check_words(entity, project)


def test_address_and_last_words_are_found_in_what_wandb_says() -> None:
    said = (
        "wandb: Syncing 2 run(s):\nwandb:  a\n"
        "wandb: [r1] View run at https://wandb.ai/team/seglab/runs/r1\n"
        "https://wandb.ai/team/seglab/runs/r10 done\n"
        "wandb: ERROR cannot reach\nFind logs at: x\n"
    )
    assert wandb_sync._find_url(said, "r1") == "https://wandb.ai/team/seglab/runs/r1"
    assert wandb_sync._find_url(said, "r2") is None
    assert wandb_sync._last_words(said) == "ERROR cannot reach"
    assert wandb_sync._last_words("") == "W&B said nothing"
