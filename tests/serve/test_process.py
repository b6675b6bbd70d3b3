"""The service as processes: workers that die, a new bundle under load, the end, slow callers."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from seglab.serve.keys import new_key
from tests.bundle.tiny import write_tiny_bundle
from tests.serve.conftest import SLOW_SIDE, brightest, pixels, png
from tests.serve.processes import Server, launch, server
from tests.waiting import wait_for

SMALL = png(pixels(16, 16))
SLOW = png(pixels(SLOW_SIDE, SLOW_SIDE))
pytestmark = pytest.mark.slow


def test_imports_nothing_heavy() -> None:
    heavy = ("torch", "pandas", "hydra", "pytorch_lightning", "wandb", "matplotlib", "pyarrow")
    code = (
        "import sys, seglab.serve.process.worker, seglab.serve.process.supervisor;"
        "import seglab.cli.production.serve;"
        f"print(sorted(set({heavy!r}) & set(sys.modules)))"
    )
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"


def test_what_cannot_be_served_is_told_and_ends_with_2(tmp_path: Path, bundle: Path) -> None:
    broken = shutil.copytree(bundle, tmp_path / "broken")
    (broken / "model.onnx").write_bytes(b"other")
    (tmp_path / "keys").write_text("no key\n")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        ended = [
            launch(tmp_path, f"bundle={broken}"),
            launch(tmp_path, f"bundle={bundle}", f"keys={tmp_path / 'keys'}"),
            launch(tmp_path, f"bundle={bundle}", "queue=0", "ports=3"),
        ]
        assert [one.process.wait(timeout=60) for one in ended] == [2, 2, 2]
        words = (["model.onnx", "bundle"], ["line 1"], ["queue", "ports", "did you mean 'port'?"])
        for one, expected in zip(ended, words, strict=True):
            said = one._log.read_text(encoding="utf-8")
            assert all(word in said for word in expected), said
            assert "Traceback" not in said
        code = (
            f"from seglab.cli.main import main; main(['serve', 'bundle={bundle}', 'port={number}'])"
        )
        last = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert last.returncode == 2
        assert f"cannot listen on 127.0.0.1:{number}" in last.stderr


def test_counters_never_fall_though_a_worker_dies(tmp_path: Path, bundle: Path) -> None:
    with server(tmp_path, f"bundle={bundle}", workers=2) as found:
        before = first = found.metrics()
        for scrape in range(100):
            try:
                found.http.post("/v1/predict", content=SMALL)
            except httpx.HTTPError:
                assert scrape in (30, 31), "only what the worker that died was at is cut off"
            now = found.metrics()
            counters = {n: v for n, v in now.items() if "_total" in n or "_count" in n}
            fell = {n: v for n, v in counters.items() if v < before.get(n, 0.0)}
            assert not fell, f"scrape {scrape}"
            before = counters
            if scrape == 30:
                died = found.workers()[0]
                died.kill()
        assert before["seglab_images_total"] >= first["seglab_images_total"] + 98
        wait_for(lambda: found.metrics()["seglab_worker_starts_total"] == 3)
        wait_for(lambda: found.metrics()["seglab_workers"] == 2)
        assert any("a worker ended with -9" in one["message"] for one in found.log())
        # Without their supervisor, however it ended, the workers end too.
        workers = found.workers()
        found.process.kill()
        wait_for(lambda: not any(one.is_running() for one in workers))


@pytest.fixture
def place(tmp_path: Path, bundle: Path) -> Path:
    """A place where bundles are put, one after the other."""
    folder = tmp_path / "place"
    folder.mkdir()
    shutil.copytree(bundle, folder / "now")
    write_tiny_bundle(tmp_path / "next", brightest(), name="next")
    return folder / "now"


def put(place: Path, content: Path) -> None:
    aside = place.with_name("aside")
    shutil.copytree(content, aside)
    place.rename(place.with_name(f"old-{time.monotonic_ns()}"))
    aside.rename(place)


def test_a_new_bundle_under_load_drops_nothing(tmp_path: Path, place: Path, bundle: Path) -> None:
    key, line = new_key("boss", admin=True)
    (tmp_path / "keys").write_text(line)
    words = (f"bundle={place}", f"keys={tmp_path / 'keys'}", "max_wait=60", "proxies=127.0.0.1")
    with server(tmp_path, *words, workers=2) as found:
        auth = {"authorization": f"Bearer {key}"}
        statuses: list[int] = []
        ids: list[str] = []
        ends = threading.Event()

        def call() -> None:
            while not ends.is_set():
                response = found.http.post("/v1/predict", content=SMALL, headers=auth)
                statuses.append(response.status_code)
                ids.append(response.json()["model"]["id"])

        with ThreadPoolExecutor(4) as pool:
            calls = [pool.submit(call) for _ in range(4)]
            time.sleep(0.5)
            put(place, tmp_path / "next")
            first = found.http.post("/v1/reload", headers=auth)
            time.sleep(0.3)
            switched = len(ids)
            time.sleep(0.5)
            put(place, bundle)
            second, second_line = new_key("second")
            (tmp_path / "keys").write_text(f"{line}\n{second_line}")
            found.process.send_signal(signal.SIGHUP)
            wait_for(lambda: found.metrics().get('seglab_reloads_total{outcome="done"}') == 4)
            # One that is damaged: nobody uses it, and the former goes on.
            (place / "model.onnx").write_bytes(b"damaged")
            refused = found.http.post("/v1/reload", headers=auth)
            time.sleep(0.3)
            ends.set()
            for one in calls:
                one.result()
        behind = {"x-api-key": second, "x-forwarded-for": "203.0.113.9"}
        assert found.http.get("/info", headers=behind).status_code == 200
        wait_for(lambda: any(one.get("client") == "203.0.113.9" for one in found.log()), 5)
        assert first.status_code == 200, first.text
        assert (first.json()["model"]["name"], first.json()["workers"]) == ("next", 2)
        assert (refused.status_code, refused.json()["error"]["code"]) == (409, "bundle")
        assert "model.onnx" in refused.json()["error"]["message"]
        assert set(statuses) == {200}
        assert len(statuses) > 50
        old, new = ids[0], first.json()["model"]["id"]
        assert set(ids) == {old, new}
        assert ids[switched] == new
        assert ids[-1] == old
        said = found._log.read_text(encoding="utf-8")
        assert key not in said
        assert '"caller": "boss"' in said


def test_sigterm_lets_requests_end_and_leaves_no_orphan(tmp_path: Path, slow_bundle: Path) -> None:
    with server(
        tmp_path, f"bundle={slow_bundle}", "max_batch=1", "max_wait=60", workers=2
    ) as found:
        workers = found.workers()
        with ThreadPoolExecutor(6) as pool:
            calls = [pool.submit(found.http.post, "/v1/predict", content=SLOW) for _ in range(6)]
            wait_for(lambda: found.metrics()["seglab_in_flight_requests"] >= 7)
            assert found.end() == 0
            assert [one.result().status_code for one in calls] == [200] * 6
        assert not any(one.is_running() for one in workers)
        with pytest.raises(httpx.ConnectError):
            found.http.get("/healthz")


def open_all(found: Server, count: int, first: bytes) -> list[socket.socket]:
    opened = []
    for _ in range(count):
        one = socket.create_connection(("127.0.0.1", found.port), timeout=10)
        one.sendall(first)
        opened.append(one)
    return opened


def test_slow_callers_hold_no_connection(tmp_path: Path, bundle: Path) -> None:
    words = (f"bundle={bundle}", "header_seconds=1", "connections=20", "deadline=1.5")
    with server(tmp_path, *words) as found:
        head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
        slow = open_all(found, 60, head)
        # More of them than there may be connections, and others are answered all the same.
        assert found.http.post("/v1/predict", content=SMALL).status_code == 200
        end = time.monotonic() + 2.5
        alive = list(slow)
        while time.monotonic() < end:  # a header line now and then does not help
            for one in list(alive):
                try:
                    one.sendall(b"X-Slow: 1\r\n")
                except OSError:
                    alive.remove(one)
            time.sleep(0.1)
        assert alive == []
        # A body that trickles ends with 408, and one that was refused is not taken for ever.
        body = head + b"Content-Length: 1000000\r\n\r\nx"
        [one] = open_all(found, 1, body)
        assert one.recv(100).startswith(b"HTTP/1.1 408")
        [two] = open_all(found, 1, body.replace(b"predict", b"nothing"))
        assert two.recv(100).startswith(b"HTTP/1.1 404")
        assert _is_closed_within(two, 3.0)
        assert found.metrics()["seglab_connections"] < 5


def _is_closed_within(one: socket.socket, seconds: float) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            one.sendall(b"x")
        except OSError:
            return True
        time.sleep(0.1)
    return False
