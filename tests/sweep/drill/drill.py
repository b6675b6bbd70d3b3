"""What the trials of the fault drill do; `x` says how each of them ends."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

RAISES, NAN, HANGS, OUT_OF_MEMORY, KILLED = 3, 5, 7, 9, 11
BEST = 16


def note(cfg: DictConfig, what: str) -> None:
    """Append a line in one write, so that trials side by side do not mix theirs."""
    handle = os.open(cfg.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(handle, f"{what} {cfg.x} {time.time()}\n".encode())
    os.close(handle)


def value_of(x: int) -> float:
    return 1.0 - abs(x - BEST) / 20


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def main(cfg: DictConfig) -> Any:
    note(cfg, "starts")
    before = Path(cfg.log).read_text().count(f"starts {cfg.x} ")
    if cfg.x == RAISES:
        raise ValueError("no such thing")
    if cfg.x == NAN:
        return float("nan")
    if cfg.x == HANGS:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    if cfg.x == OUT_OF_MEMORY:
        return len(bytearray(8 * 2**30))
    if cfg.x == KILLED and before == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(cfg.seconds * (1 + cfg.x % 4))
    note(cfg, "ends")
    return value_of(cfg.x)


if __name__ == "__main__":
    main()
