"""Load on a server: closed (so many callers, each waits for its answer) and open (arrivals of their own)."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np


@dataclass
class Answers:
    """What came back.

    Attributes:
        seconds: Of each answer that was 200.
        codes: How many of each status; 0: no answer.
        span: Seconds from the first request to the last answer.
        ended: When each answer came, since the first request, with its status.
    """

    seconds: list[float] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    span: float = 0.0
    ended: list[tuple[float, int]] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Return requests a second, percentiles in ms, and codes."""
        at = np.percentile(self.seconds, [50, 95]) * 1e3 if self.seconds else [float("nan")] * 2
        return {
            "per_second": round(len(self.seconds) / self.span, 2),
            "p50_ms": round(float(at[0]), 1),
            "p95_ms": round(float(at[1]), 1),
            "codes": dict(self.codes),
        }


async def _post(
    client: httpx.AsyncClient, url: str, request: dict[str, Any], into: Answers
) -> None:
    started = time.perf_counter()
    try:
        code = (await client.post(url, **request)).status_code
    except httpx.HTTPError:
        code = 0
    ended = time.perf_counter()
    into.codes[code] += 1
    into.ended.append((ended, code))
    if code == 200:
        into.seconds.append(ended - started)


def _client() -> httpx.AsyncClient:
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    return httpx.AsyncClient(timeout=120, limits=limits)


async def closed(
    url: str, requests: list[dict[str, Any]], callers: int, seconds: float, most: int = 10**9
) -> Answers:
    """Let so many callers ask one after the other, for so long or so many requests."""
    found, started, sent = Answers(), time.perf_counter(), 0

    async def call(client: httpx.AsyncClient) -> None:
        nonlocal sent
        while time.perf_counter() - started < seconds and sent < most:
            sent += 1
            await _post(client, url, requests[sent % len(requests)], found)

    async with _client() as client:
        await asyncio.gather(*(call(client) for _ in range(callers)))
    found.span = time.perf_counter() - started
    return found


async def arriving(
    url: str, requests: list[dict[str, Any]], rate: float, seconds: float, seed: int = 0
) -> Answers:
    """Let requests arrive as a Poisson process, whether or not former ones were answered."""
    rng, found = np.random.default_rng(seed), Answers()
    tasks: list[asyncio.Task[None]] = []
    started = due = time.perf_counter()
    async with _client() as client:
        while due - started < seconds:
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            request = requests[len(tasks) % len(requests)]
            tasks.append(asyncio.create_task(_post(client, url, request, found)))
            due += rng.exponential(1 / rate)
        await asyncio.gather(*tasks)
    found.span = time.perf_counter() - started
    return found
