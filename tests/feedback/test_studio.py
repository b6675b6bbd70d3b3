"""A queue in a running Label Studio: pushed twice, corrected over REST, and taken back."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.cli.main import run as seglab
from seglab.core.errors import ConfigError
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from seglab.feedback.exchange.drawn import studio_regions
from seglab.feedback.exchange.pushing import push, pushes
from seglab.feedback.exchange.studio import TOKEN_VARIABLE, Studio, StudioError
from seglab.feedback.options import SERVER, PushOptions
from tests.feedback.conftest import Queued
from tests.feedback.test_loop import TellNothing, truth
from tests.label_studio import TOKEN, asking


@pytest.mark.slow
def test_the_loop_through_a_running_label_studio(
    label_studio: str,
    queued: Queued,
    manifest: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    queue, ask = queued(count=8, seed=int(tmp_path.stat().st_mtime)), asking(label_studio)
    place = f"queue={queue.folder}"
    # A personal access token, which is exchanged for short-lived ones, works as the legacy one does.
    # It is told once; a server that is not of this test has told it before.
    personal = TOKEN if ask("/api/token/") else ask("/api/token/", {})["token"]
    for token, added in ((TOKEN, 8), (personal, 0)):
        monkeypatch.setenv(TOKEN_VARIABLE, token)
        words = ["review", "push", place, f"to={SERVER}", f"url={label_studio}"]
        assert seglab(words) == 0
        assert f"{added} images pushed" in capsys.readouterr().out
    project = pushes(queue)[SERVER]["project"]
    tasks = ask(f"/api/tasks?project={project}&fields=all")["tasks"]
    assert [one["data"]["sample_id"] for one in tasks] == [one.id for one in queue.items]
    assert "part" not in tasks[0]["data"], "who labels is not told what was drawn at random"
    drawn = studio_regions(queue, mask_of=lambda item: truth(queue, item))[1]
    with Studio(label_studio) as studio:
        for one in tasks[:7]:
            (proposed,) = one["predictions"]
            assert queue.bundle["id"] in proposed["model_version"]
            studio.annotate(one["id"], drawn[one["data"]["sample_id"]], seconds=20)
        again = tasks[0]
        studio.annotate(again["id"], [], seconds=5)
        studio.annotate(again["id"], drawn[again["data"]["sample_id"]], seconds=20)

    assert seglab(["review", "report", place]) == 0
    assert "annotated on the server: 7 of 8" in capsys.readouterr().out
    before = Manifest.read(manifest)
    words = ["review", "take", place, f"manifest={manifest}"]
    assert seglab(words) == 0
    told = capsys.readouterr().out
    assert "7 labelled" in told
    assert "1 not annotated yet" in told
    assert f"annotated more than once: 1: {again['data']['sample_id']}" in told
    assert "time: 165 s for 7 images, median 20 s" in told
    after = Manifest.read(manifest)
    rows = after.table.set_index("sample_id").drop(index=before.table["sample_id"])
    taken = json.loads((queue.folder / "taken.json").read_text())
    assert set(rows.index) | set(taken["refused"]) == {
        one["data"]["sample_id"] for one in tasks[:7]
    }
    items = {one.id: one for one in queue.items}
    for name, row in rows.iterrows():
        np.testing.assert_array_equal(
            read_mask(after.root / row["mask"], after.labels), truth(queue, items[str(name)])
        )
    assert set(rows["annotator"]) != {None}
    monkeypatch.setenv(TOKEN_VARIABLE, "0" * 40)
    assert seglab(words) == 1
    said = f"the token in {TOKEN_VARIABLE} is not one of this server"
    assert said in capsys.readouterr().err
    assert seglab(["review", "report", place]) == 0
    assert said in capsys.readouterr().out


class _Flaky(BaseHTTPRequestHandler):
    """As much of the interface as a push needs; every second answer gets lost after the work is done."""

    state: dict[str, Any]

    def _answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        made = self._made(self.path.partition("?")[0].removeprefix("/api/"), body)
        self.state["calls"] += 1
        is_lost = self.state["calls"] % 2 == 0
        content = b"" if is_lost else json.dumps(made).encode()
        self.send_response(503 if is_lost else 200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = _answer  # noqa: N815

    def _made(self, path: str, body: bytes) -> Any:
        projects, tasks = self.state["projects"], self.state["tasks"]
        if path == "projects":
            if self.command == "POST":
                projects.append({"id": len(projects) + 1, "title": json.loads(body)["title"]})
                return projects[-1]
            return {"results": projects}
        if path == "tasks":
            return {"tasks": tasks, "total": len(tasks)}
        if path.endswith("file-uploads"):
            return [{"file": "upload/1/x.png"}]
        if not body.startswith(b"["):
            return {"file_upload_ids": [1]}
        tasks += [{"id": len(tasks) + place, **one} for place, one in enumerate(json.loads(body))]
        return {}


@pytest.fixture
def flaky() -> Iterator[tuple[str, dict[str, Any]]]:
    state: dict[str, Any] = {"calls": 0, "projects": [], "tasks": []}
    handler = type("Handler", (_Flaky,), {"state": state, "log_message": lambda *_: None})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", state
        server.shutdown()


def test_where_answers_get_lost_nothing_is_there_twice(
    queued: Queued, flaky: tuple[str, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, state = flaky
    queue = queued(count=3)
    monkeypatch.setenv(TOKEN_VARIABLE, "secret")
    monkeypatch.setattr("seglab.feedback.exchange.studio._FIRST_PAUSE", 0.001)
    options = PushOptions(queue=str(queue.folder), to=SERVER, url=url)
    for _ in range(2):
        push(queue, options, TellNothing)
        assert len(state["projects"]) == 1
        assert [one["data"]["sample_id"] for one in state["tasks"]] == [
            one.id for one in queue.items
        ]


def test_a_server_that_is_none_is_said_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=f"{TOKEN_VARIABLE}: not set"):
        Studio("http://127.0.0.1:1")
    with Studio("http://127.0.0.1:1", "x", retries=0) as away, pytest.raises(StudioError):
        away.tasks(1)
    with Studio("nowhere", "x") as none, pytest.raises(ConfigError, match="expected an address"):
        none.tasks(1)
