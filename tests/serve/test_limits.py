"""Refused early, answered in time, nothing held for those who left: the bounds of the service."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from seglab.core.errors import ConfigError
from seglab.serve.keys import Keys, new_key, read_keys
from seglab.serve.options import ServeOptions
from tests.serve.conftest import SLOW_SIDE, Served, pixels, png

Run = Callable[..., None]
SLOW = png(pixels(SLOW_SIDE, SLOW_SIDE))
SMALL = png(pixels(8, 8))


def test_a_full_queue_refuses_at_once_and_recovers(run: Run) -> None:
    async def body() -> AsyncIterator[bytes]:
        pytest.fail("the body is read though there is no room")
        yield b""

    async def test(served: Served) -> None:
        # One is in the network, two wait.
        tasks = [asyncio.create_task(served.predict(SLOW))]
        while served.service.batcher.busy_seconds == 0:
            await asyncio.sleep(0.01)
        tasks += [asyncio.create_task(served.predict(SLOW)) for _ in range(2)]
        while served.service.batcher.waiting < 2:
            await asyncio.sleep(0.001)
        start = time.monotonic()
        refused = await served.client.post("/v1/predict", content=body())
        assert time.monotonic() - start < 0.2
        assert refused.status_code == 503
        assert refused.json()["error"]["code"] == "queue"
        assert int(refused.headers["retry-after"]) >= 1
        assert [one.status_code for one in await asyncio.gather(*tasks)] == [200] * 3
        assert (await served.predict(SMALL)).status_code == 200
        assert served.value("seglab_refused_total", reason="queue") == 1
        assert served.value("seglab_queue_images") == 0

    run(test, "slow_bundle", queue=2, max_batch=1, max_wait=60.0)


def test_who_would_wait_for_too_long_is_refused(run: Run) -> None:
    async def test(served: Served) -> None:
        assert (await served.predict(SLOW)).status_code == 200  # how long one takes is known now
        tasks = []
        for _ in range(6):
            tasks.append(asyncio.create_task(served.predict(SLOW)))
            await asyncio.sleep(0.02)
        answers = await asyncio.gather(*tasks)
        codes = [one.status_code for one in answers]
        assert codes[:2] == [200, 200]  # one in the network, and the next
        assert codes[-1] == 503
        assert answers[-1].json()["error"]["code"] == "wait"

    run(test, "slow_bundle", max_wait=0.05, max_batch=1)


def test_small_images_tell_little_of_how_long_a_large_one_takes(run: Run) -> None:
    async def test(served: Served) -> None:
        for _ in range(5):
            await served.predict(png(pixels(1, 1)))
        task = asyncio.create_task(served.predict(SLOW))
        while served.service.batcher.busy_seconds == 0:
            await asyncio.sleep(0.001)
        assert served.service.batcher.expected_wait() < 2  # not an hour
        assert (await task).status_code == 200

    run(test, "slow_bundle")


def test_the_deadline_covers_decoding_and_predicting(run: Run) -> None:
    async def test(served: Served) -> None:
        start = time.monotonic()
        response = await served.predict(SLOW)
        assert response.status_code == 504
        assert response.json()["error"]["code"] == "deadline"
        assert served.service.batcher.busy_seconds  # answered though it goes on
        assert time.monotonic() - start < 1
        while served.service.batcher.busy_seconds:
            await asyncio.sleep(0.01)
        assert served.service.budget.held == 0
        assert (await served.predict(SMALL)).status_code == 200

    run(test, "slow_bundle", deadline=0.05)


def test_a_body_that_never_ends_is_a_408(run: Run) -> None:
    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.01)

    async def test(served: Served) -> None:
        response = await served.client.post("/v1/predict", content=trickle())
        assert response.status_code == 408
        assert served.service.budget.held == 0

    run(test, deadline=0.1)


def test_what_nobody_waits_for_is_not_predicted(run: Run) -> None:
    async def test(served: Served) -> None:
        first = asyncio.create_task(served.predict(SLOW))
        while served.service.batcher.busy_seconds == 0:
            await asyncio.sleep(0.01)
        second = asyncio.create_task(served.predict(SLOW))
        while served.service.batcher.waiting == 0:
            await asyncio.sleep(0.001)
        second.cancel()
        await first
        await asyncio.sleep(0.05)
        assert served.service.batcher.waiting == served.service.budget.held == 0
        assert served.value("seglab_batch_images_sum") == 1

    run(test, "slow_bundle", max_batch=1)


def test_health_tells_a_hanging_network_from_a_server_that_drains(run: Run) -> None:
    async def states(served: Served) -> list[tuple[int, str]]:
        answers = [await served.client.get(path) for path in ("/healthz", "/readyz")]
        return [(one.status_code, one.json()["status"]) for one in answers]

    async def test(served: Served) -> None:
        assert await states(served) == [(200, "ok"), (200, "ok")]
        served.service.draining = True
        assert await states(served) == [(200, "ok"), (503, "draining")]
        served.service.draining = False
        task = asyncio.create_task(served.predict(SLOW))
        while served.service.batcher.busy_seconds == 0:
            await asyncio.sleep(0.001)
        assert await states(served) == [(200, "ok"), (200, "ok")]
        served.service.batcher._running = (time.monotonic() - 1000, 1)  # as if for that long
        assert await states(served) == [(503, "stuck"), (503, "stuck")]
        await task
        assert await states(served) == [(200, "ok"), (200, "ok")]

    run(test, "slow_bundle")


def test_memory_is_bounded_over_all_requests(run: Run) -> None:
    large = png(pixels(500, 500))

    async def test(served: Served) -> None:
        held = 1_900_000  # of the 2 MiB that there may be
        served.service.budget.take(held)
        refused = await served.predict(large)
        assert (refused.status_code, refused.json()["error"]["code"]) == (503, "memory")
        assert served.value("seglab_held_bytes") == held
        served.service.budget.give(held)
        assert (await served.predict(large)).status_code == 200
        assert served.value("seglab_held_bytes") == 0

    run(test, memory=2, max_bytes=2**20, max_pixels=2**18)


def test_limits_that_do_not_fit_together_are_refused(bundle: Path) -> None:
    with pytest.raises(ConfigError, match="memory: expected at least 94 "):
        ServeOptions(bundle=str(bundle), memory=90)


def test_keys(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (mine, line), (boss, admin_line) = new_key("mine"), new_key("boss", admin=True)
    (tmp_path / "keys").write_text(f"# ours\n{line}\n\n")
    monkeypatch.setenv("SEGLAB_SERVE_KEYS", admin_line)
    keys = read_keys(str(tmp_path / "keys"))

    async def test(served: Served) -> None:
        for headers in ({}, {"authorization": "Bearer no"}, {"x-api-key": mine[:-1]}):
            response = await served.predict(SMALL, **headers)
            assert response.status_code == 401
            assert response.headers["www-authenticate"] == "Bearer"
            assert mine[:-1] not in response.text
        for headers in ({"authorization": f"Bearer {mine}"}, {"x-api-key": mine}):
            assert (await served.predict(SMALL, **headers)).status_code == 200
        for path, status in (("/info", 401), ("/metrics", 401), ("/healthz", 200), ("/", 200)):
            assert (await served.client.get(path)).status_code == status, path
        reload = await served.client.post("/v1/reload", headers={"x-api-key": mine})
        assert (reload.status_code, reload.json()["error"]["code"]) == (403, "forbidden")
        assert served.value("seglab_refused_total", reason="key") == 5

    run(test, keys=keys, protect_metrics=True)
    assert mine not in repr(keys)
    assert keys.find(boss).admin  # type: ignore[union-attr]


def test_keys_that_cannot_be_read_are_told_without_showing_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, line = new_key("anna")
    (tmp_path / "keys").write_text(f"{line}\nanna {key}\n{line}\n")
    with pytest.raises(ConfigError) as caught:
        read_keys(str(tmp_path / "keys"))
    assert "line 2: expected NAME SHA256" in str(caught.value)
    assert "line 3: anna stands twice" in str(caught.value)
    assert key not in str(caught.value)
    (tmp_path / "keys").write_text("# none yet\n")
    with pytest.raises(ConfigError, match="holds no key"):
        read_keys(str(tmp_path / "keys"))
    assert read_keys(None) == Keys()


def test_callers_have_a_rate_of_their_own(run: Run, tmp_path: Path) -> None:
    (anna, anna_line), (bert, bert_line) = new_key("anna"), new_key("bert")
    (tmp_path / "keys").write_text(f"{anna_line}\n{bert_line}\n")

    async def test(served: Served) -> None:
        codes = [(await served.predict(SMALL, **{"x-api-key": anna})) for _ in range(4)]
        assert [one.status_code for one in codes] == [200, 200, 200, 429]
        assert codes[-1].headers["retry-after"] == "10"
        assert (await served.predict(SMALL, **{"x-api-key": bert})).status_code == 200

    rates = tmp_path / "rates"
    run(test, keys=read_keys(str(tmp_path / "keys")), rates=rates, rate=0.1, burst=3)
