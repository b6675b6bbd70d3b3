"""The client against the real application: typed answers, pauses that the service asks for, errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import numpy as np
import pytest

from seglab.serve.client import AsyncClient, Client, ServiceError, mask_of
from tests.serve.conftest import Served, pixels, png
from tests.serve.processes import server

Run = Callable[..., None]


def client_of(served: Served, patience: float) -> AsyncClient:
    transport = served.client._transport
    assert isinstance(transport, httpx.ASGITransport)
    return AsyncClient("http://service", transport=transport, patience=patience)


def test_answers_are_typed(run: Run, tmp_path: Path) -> None:
    images = [pixels(9, 14, seed) for seed in range(2)]
    (tmp_path / "one.png").write_bytes(png(images[0]))

    async def test(served: Served) -> None:
        client = client_of(served, 0)
        answer = await client.predict_many([tmp_path / "one.png", png(images[1])], ["mask", "rle"])
        assert [one.name for one in answer.images] == ["one.png", "image"]
        for one, image in zip(answer.images, images, strict=True):
            np.testing.assert_array_equal(mask_of(one), image.argmax(2))
            assert one.areas is None
            assert {part.name for part in one.rle or ()} == {"sky", "road", "car"}
        assert (await client.info()).model == answer.model
        areas = await client.predict(png(images[0]), ["areas"])
        with pytest.raises(ValueError, match="ask for output"):
            mask_of(areas.images[0])

    run(test)


def test_it_comes_back_when_the_service_asks_for_it(run: Run, tmp_path: Path) -> None:
    image = png(pixels(8, 8))

    async def test(served: Served) -> None:
        await served.predict(image)
        client = client_of(served, 10)
        start = time.monotonic()
        assert (await client.predict(image)).images  # refused at first
        assert time.monotonic() - start > 0.9
        assert served.value("seglab_refused_total", reason="rate") >= 1
        with pytest.raises(ServiceError) as caught:
            await client_of(served, 0).predict(image)
        assert (caught.value.status, caught.value.code, caught.value.retry_after) == (
            429,
            "rate",
            1,
        )

    run(test, rates=tmp_path / "rates", rate=1.0, burst=1)


def test_what_was_wrong_is_not_sent_again(run: Run) -> None:
    async def test(served: Served) -> None:
        with pytest.raises(ServiceError, match="422: expected an image") as caught:
            await client_of(served, 60).predict(b"no image")
        assert (caught.value.code, len(caught.value.request_id)) == ("image", 32)
        assert served.value("seglab_requests_total", route="/v1/predict", status="422") == 1

    run(test)


def test_a_proxy_may_answer_in_its_own_words() -> None:
    answers = iter([httpx.Response(502, text="<html>"), httpx.Response(500, text="<html>")])
    transport = httpx.MockTransport(lambda request: next(answers))
    with Client("http://service", transport=transport, patience=5) as client:
        with pytest.raises(ServiceError) as caught:
            client.info()
    assert (caught.value.status, caught.value.code) == (500, "http")


@pytest.mark.slow
def test_both_clients_call_a_real_service(tmp_path: Path, bundle: Path) -> None:
    image = pixels(20, 30)

    async def many(url: str) -> list[np.ndarray]:
        async with AsyncClient(url) as client:
            answers = await asyncio.gather(*(client.predict(png(image)) for _ in range(20)))
        return [mask_of(one.images[0]) for one in answers]

    with pytest.raises(ServiceError, match="no answer"):
        Client("http://127.0.0.1:9", patience=0.1).info()
    with server(tmp_path, f"bundle={bundle}", "queue=4", "max_batch=2") as found:
        with Client(found.url) as client:
            found_mask = mask_of(client.predict(png(image)).images[0])
        for mask in (found_mask, *asyncio.run(many(found.url))):
            np.testing.assert_array_equal(mask, image.argmax(2))
