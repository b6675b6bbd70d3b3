"""Attack a `seglab serve` of one's own: hostile files, forms, queries, HTTP that is none, slow callers.

Meanwhile a good caller sends an image whose mask is known, and somebody watches the memory. At the end
stands how many requests were tried, what was answered, and whether the server stayed alive (no worker
ended, no answer of 500), right (every mask that came was the right one) and within its memory; the exit code
is 1 where it did not. With `--schemathesis` that tool reads /openapi.json and tries what it makes of it.

    python scripts/attack_server.py --bundle BUNDLE --requests 10000 --schemathesis /path/to/st
"""

from __future__ import annotations

import argparse
import io
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import numpy as np
from PIL import Image
from server_attack.files import UNPICKLED, encoded
from server_attack.requests import broken_http, post, with_files
from server_attack.target import Target

from seglab.bundle.loader import Bundle, load

# Answers that a server may give to any request: refusals, and what it was asked for.
_RIGHT = {200, 400, 401, 403, 404, 405, 406, 408, 413, 415, 422, 429, 503, 504}
# Numbers that are above zero only while a request is under way.
_HELD = ("seglab_held_bytes", "seglab_queue_images")


class Attack:
    """Counts what was tried, by family, and what was answered."""

    def __init__(self, target: Target, bundle: Bundle, seed: int) -> None:
        self.target, self.seed = target, seed
        self.tried: Counter[str] = Counter()
        self.answers: Counter[tuple[str, int]] = Counter()
        self.wrong: list[str] = []
        self.good: list[float] = []
        self.refused = 0
        self._content = encoded("PNG", 120, 160)
        self._mask = bundle.predict(bundle.decode(self._content)).mask
        self._ends = threading.Event()
        self.first = self.peak = 0

    def watch(self) -> None:
        """Look at the memory, until `end`."""
        while not self._ends.wait(0.1):
            self.peak = max(self.peak, self.target.memory())

    def be_good(self) -> None:
        """Send good images and look at their masks, until `end`."""
        client = httpx.Client(base_url=self.target.url, timeout=60)
        headers = {"accept": "image/png"}
        while not self._ends.wait(0.2):
            start = time.monotonic()
            try:
                answer = client.post("/v1/predict", content=self._content, headers=headers)
            except httpx.HTTPError as error:
                self.wrong.append(f"a good caller got no answer: {error!r}")
                continue
            if answer.status_code == 503:
                self.refused += 1
                continue
            seconds = time.monotonic() - start
            if answer.status_code != 200:
                self.wrong.append(
                    f"a good image was answered {answer.status_code}: {answer.text[:200]}"
                )
            elif not np.array_equal(np.asarray(Image.open(io.BytesIO(answer.content))), self._mask):
                self.wrong.append("a good image got a wrong mask")
            else:
                self.good.append(seconds)

    def send(self, family: str, content: bytes, must_answer: bool = True) -> None:
        """Send one request, and judge its status."""
        try:
            status = self.target.tell(content, must_answer)
        except OSError as error:
            self.wrong.append(f"{family}: no connection, or no end: {error!r}")
            return
        self.tried[family] += 1
        self.answers[family, status] += 1
        if status not in _RIGHT and (status or must_answer) and status not in (100, 431, 501):
            self.wrong.append(f"{family}: answered {status}")

    def run(self, count: int, threads: int = 8) -> None:
        """Send requests of every family, at once."""
        families = with_files()
        names = [*families, "broken HTTP"]

        def one(number: int) -> None:
            rng = random.Random(self.seed * 1_000_003 + number)  # noqa: S311 - the same each time
            name = names[number % len(names)]
            if name == "broken HTTP":
                self.send(name, broken_http(rng), must_answer=False)
            else:
                self.send(name, families[name](rng))

        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(one, range(count)))

    def at_once(self, count: int) -> None:
        """Send good images on as many connections at once."""
        content = post(self._content)
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(lambda _: self.send("connections at once", content), range(count)))

    def slowly(self, count: int, seconds: float) -> None:
        """Hold connections, a byte now and then, and go without a word."""
        held = []
        for number in range(count):
            one = socket.create_connection(("127.0.0.1", self.target.port), timeout=10)
            head = b"POST /v1/predict HTTP/1.1\r\nHost: x\r\n"
            one.sendall(head if number % 2 else head + b"Content-Length: 1000000\r\n\r\n")
            held.append(one)
            self.tried["slow callers"] += 1
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            for one in list(held):
                try:
                    one.sendall(b"x")
                except OSError:
                    held.remove(one)
            time.sleep(0.2)
        for one in held:
            one.close()

    def leaving(self, count: int) -> None:
        """Send good images and go before the answer."""
        content = post(self._content)
        for number in range(count):
            with socket.create_connection(("127.0.0.1", self.target.port)) as one:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                one.sendall(content if number % 2 else content[: len(content) // 2])
            self.tried["callers that leave"] += 1

    def all(self, count: int, at_once: int, slow_seconds: float) -> None:
        """Do everything, with the good caller and the watch beside it."""
        for _ in range(20):
            self.target.tell(post(self._content))
        self.first = self.target.memory()
        beside = [threading.Thread(target=work) for work in (self.watch, self.be_good)]
        for thread in beside:
            thread.start()
        steps: list[Callable[[], None]] = [
            lambda: self.run(count),
            lambda: self.at_once(at_once),
            lambda: self.slowly(at_once, slow_seconds),
            lambda: self.leaving(min(count, 300)),
        ]
        for step in steps:
            step()
        self._ends.set()
        for thread in beside:
            thread.join()

    def judge(self, most_memory: int) -> list[str]:
        """Return what was not as it should be."""
        found = list(self.wrong)
        values = self._at_rest()
        if values["seglab_worker_starts_total"] != values["seglab_workers"]:
            found.append(f"workers were started {values['seglab_worker_starts_total']} times")
        found += [f"{name} is {value}" for name, value in values.items() if 'status="500"' in name]
        found += [f"{name} is {values[name]} at the end" for name in _HELD if values[name]]
        if self.peak > most_memory:
            found.append(f"{self.peak >> 20} MiB were resident, of {most_memory >> 20} allowed")
        return found + ["something was unpickled"] * UNPICKLED.exists()

    def _at_rest(self) -> dict[str, float]:
        """Return the server's numbers, once it is done with callers that left; after 30 s in any case."""
        end = time.monotonic() + 30
        values = _metrics(self.target.url)
        while any(values[name] for name in _HELD) and time.monotonic() < end:
            time.sleep(0.1)
            values = _metrics(self.target.url)
        return values


def _schemathesis(program: str, url: str) -> tuple[int, list[str]]:
    """Run the tool; return how many requests it made, and what it found."""
    before = _requests(url)
    command = [program, "run", f"{url}/openapi.json", "--continue-on-failure", "--max-time", "60"]
    # All but one: what matches the schema may still be no image.
    checks = ("-c", "all", "--exclude-checks", "positive_data_acceptance")
    done = subprocess.run(
        [*command, *checks], capture_output=True, text=True, cwd=tempfile.mkdtemp()
    )
    sys.stdout.write(done.stdout[-1500:])
    found = [] if done.returncode == 0 else ["schemathesis found faults; its words stand above"]
    return _requests(url) - before, found


def _requests(url: str) -> int:
    values = _metrics(url)
    return int(sum(n for name, n in values.items() if name.startswith("seglab_requests_total")))


def _metrics(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url}/metrics", timeout=60).text.splitlines()
    pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return {name: float(number) for name, number in pairs}


def main() -> int:
    """Attack, report, and return 1 where the server did not stand it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--requests", type=int, default=10_000)
    parser.add_argument("--at-once", type=int, default=200, help="connections")
    parser.add_argument("--slow-seconds", type=float, default=12.0)
    parser.add_argument("--most-memory", type=int, default=900, help="MiB, all workers together")
    parser.add_argument("--schemathesis", help="path of its program `st`")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("words", nargs="*", help="options of seglab serve")
    args = parser.parse_args()
    UNPICKLED.unlink(missing_ok=True)
    limits = ["max_pixels=4000000", "memory=128", "max_bytes=8000000", "header_seconds=5"]
    start = time.monotonic()
    target = Target(args.bundle, [*limits, *args.words])
    try:
        attack = Attack(target, load(args.bundle), args.seed)
        attack.all(args.requests, args.at_once, args.slow_seconds)
        found: list[str] = []
        if args.schemathesis:
            attack.tried["schemathesis"], found = _schemathesis(args.schemathesis, target.url)
        found += attack.judge(args.most_memory << 20)
        last = target.memory()
        target.process.send_signal(signal.SIGTERM)
        if target.process.wait(timeout=60) != 0:
            found.append(f"the server ended with {target.process.returncode}")
    finally:
        if target.process.poll() is None:
            target.process.kill()
    _report(attack, last, time.monotonic() - start)
    for text, times in Counter(found).most_common(30):
        print(f"WRONG ({times}x): {text}")
    return int(bool(found))


def _report(attack: Attack, last: int, seconds: float) -> None:
    print(f"{sum(attack.tried.values())} hostile requests in {seconds:.0f} s")
    for family, count in attack.tried.items():
        statuses = {s: n for (name, s), n in sorted(attack.answers.items()) if name == family}
        told = ", ".join(f"{status or 'closed'}: {number}" for status, number in statuses.items())
        print(f"  {family:<20} {count:>6}  {told}")
    waits = sorted(attack.good) or [float("nan")]
    print(
        f"good images meanwhile: {len(attack.good)} right, {attack.refused} refused with 503, "
        f"p95 {1000 * waits[int(0.95 * (len(waits) - 1))]:.0f} ms"
    )
    sizes = (one >> 20 for one in (attack.first, attack.peak, last))
    print("resident MiB: {} at the start, {} at most, {} at the end".format(*sizes))


if __name__ == "__main__":
    sys.exit(main())
