"""A bundle whose classes are the channels (the mask is the brightest of them), served in this process."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from seglab.serve.api.app import create_app
from seglab.serve.keys import Keys
from seglab.serve.limits import Rate
from seglab.serve.metrics import Metrics
from seglab.serve.options import ServeOptions
from seglab.serve.pipeline.logged import open_log
from seglab.serve.pipeline.service import Service, open_bundle
from tests.bundle.tiny import write_tiny_bundle

_WIDE = 31  # a kernel that makes large images slow: a tenth of a second or more at SLOW_SIDE
SLOW_SIDE = 360


def brightest(kernel: int = 1) -> np.ndarray:
    """Return weights that give each channel as the logit of its class."""
    weights = np.zeros((3, 3, kernel, kernel), np.float32)
    weights[..., kernel // 2, kernel // 2] = np.eye(3) / 16
    return weights


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b", brightest())


@pytest.fixture(scope="session")
def slow_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("slow") / "b", brightest(_WIDE))


def pixels(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return an image in blocks, so that its mask has regions."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (-(-height // 4), -(-width // 4), 3), dtype=np.uint8)
    return blocks.repeat(4, 0).repeat(4, 1)[:height, :width]


def png(image: np.ndarray, **more: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).save(stream, "PNG", **more)
    return stream.getvalue()


class Served:
    """A service, its application, and a client without a network between."""

    def __init__(self, service: Service, client: httpx.AsyncClient) -> None:
        self.service, self.client = service, client

    async def predict(self, content: bytes, query: str = "", **headers: str) -> httpx.Response:
        return await self.client.post(f"/v1/predict{query}", content=content, headers=headers)

    def value(self, name: str, **labels: str) -> float:
        return self.service.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def serving(
    bundle: Path, keys: Keys | None = None, rates: Path | None = None, **options: Any
) -> AsyncIterator[Served]:
    chosen = ServeOptions(bundle=str(bundle), threads=1, **options)
    rate = None
    if rates is not None:
        Rate.create(rates, b"secret")
        rate = Rate(rates, chosen.rate, chosen.burst)
    metrics = Metrics()
    log = open_log(chosen.log, metrics) if chosen.log else None
    service = Service(open_bundle(chosen), chosen, metrics, keys or Keys(), rate, log)

    async def reload() -> Any:
        raise NotImplementedError

    transport = httpx.ASGITransport(create_app(service, reload))
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        yield Served(service, client)
    await service.close()


@pytest.fixture
def run(request: pytest.FixtureRequest) -> Callable[..., None]:
    """Run a test's coroutine on a service: `run(test, option=value, ...)`."""

    def go(test: Callable[[Served], Awaitable[None]], name: str = "bundle", **options: Any) -> None:
        folder = request.getfixturevalue(name)

        async def main() -> None:
            async with serving(folder, **options) as served:
                await test(served)

        asyncio.run(main())

    return go
