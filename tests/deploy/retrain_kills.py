"""Kills a retraining once after each of its steps, then lets it end; a program of its own.

It never trains itself, so that the processes it forks may.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from seglab.deploy.retrain.options import RetrainOptions
from seglab.deploy.retrain.retrain import PROMOTED, retrain


def steps(registry: Path) -> dict[str, Callable[[], Any]]:
    """Return what tells that a step was come to, by its name, in order."""

    def content() -> dict[str, Any]:
        for path in registry.glob("retrain/*/retrain.json"):
            return dict(json.loads(path.read_text()))
        return {}

    def run(file: str) -> bool:
        return "run" in content() and Path(content()["run"], file).is_file()

    return {
        "run": lambda: run("run.json"),
        "checkpoint": lambda: run("checkpoints/last.ckpt"),
        "bundle": lambda: any(registry.glob("retrain/*/bundle.zip")),
        "challenger": lambda: "challenger" in content(),
        "decision": lambda: "decision" in content(),
    }


def main(options: RetrainOptions) -> None:
    """Kill, go on, kill, and at last let it end."""
    killed = []
    for name, holds in steps(Path(options.registry)).items():
        child = _start(options)
        while not holds():
            if os.waitpid(child, os.WNOHANG) != (0, 0):
                raise SystemExit(f"it ended before {name}")
            time.sleep(0.001)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        killed.append(name)
    code = os.waitstatus_to_exitcode(os.waitpid(_start(options), 0)[1])
    assert code == 0, code
    sys.stdout.write(json.dumps(killed) + "\n")


def _start(options: RetrainOptions) -> int:
    child = os.fork()
    if child:
        return child
    try:
        outcome = retrain(options, Console(quiet=True))
        os._exit(0 if outcome.verdict in (PROMOTED, "nothing new") else 3)
    except BaseException as error:  # noqa: BLE001 - a child must not go on as its parent
        sys.stderr.write(f"{error!r}\n")
        os._exit(1)


if __name__ == "__main__":
    main(RetrainOptions.read(json.loads(sys.argv[1])))
