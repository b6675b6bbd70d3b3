"""A served model and a camera that sends frames to it, each answer held against what is true."""

from __future__ import annotations

import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import numpy as np
from world import Frame

from seglab.bundle.aliases import locate_bundle
from seglab.metrics.confusion import mask_confusion
from seglab.serve.client import mask_of
from seglab.serve.schema import PredictAnswer

_START_S = 120.0


@dataclass(frozen=True)
class Answer:
    """What came back for one frame.

    Attributes:
        status: Of HTTP; 200 is an answer.
        bundle: Id of the bundle that answered.
        confusion: int64 `(K, K)`, rows = truth, columns = answer; None without an answer.
        drive: Of the frame.
    """

    status: int
    bundle: str
    confusion: np.ndarray | None
    drive: str


@contextmanager
def serving(registry: Path, log: Path) -> Iterator[str]:
    """Serve the registry's champion, whichever it is, and keep every image; yield the address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [f"bundle={registry}@champion", f"port={port}", "follow=1", "log_level=warning"]
    words += [f"log.folder={log}", "log.privacy=images", "log.flush_seconds=0.5"]
    process = subprocess.Popen([sys.executable, "-m", "seglab.cli", "serve", *words])
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(address, process)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _wait(address: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + _START_S
    while time.monotonic() < end:
        if process.poll() is not None:
            raise SystemExit(f"the service ended with {process.returncode}")
        try:
            if httpx.get(f"{address}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.2)
    raise SystemExit("the service does not answer")


def send(address: str, frames: Sequence[Frame], classes: int) -> list[Answer]:
    """Send frames one after the other, as one camera does; each drive is a stream."""
    answers = []
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        for frame in frames:
            content, headers = frame.image.read_bytes(), {"X-Stream-ID": frame.drive}
            found = client.post("/v1/predict?output=mask", content=content, headers=headers)
            if not found.is_success:
                answers.append(Answer(found.status_code, "", None, frame.drive))
                continue
            answer = PredictAnswer.model_validate_json(found.content)
            counts = mask_confusion(mask_of(answer.images[0]).copy(), frame.mask, classes)
            answers.append(Answer(found.status_code, answer.model.id, counts, frame.drive))
    return answers


def wait_for_champion(address: str, registry: Path, seconds: float = 60.0) -> str:
    """Wait until the service answers by the registry's champion; return its id."""
    wanted = locate_bundle(f"{registry}@champion").name
    wanted = re.sub(r"\.zip$", "", wanted)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if httpx.get(f"{address}/info", trust_env=False).json()["model"]["id"] == wanted:
            return wanted
        time.sleep(0.2)
    raise SystemExit("the service did not take the new champion")
