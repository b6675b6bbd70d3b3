"""A simulated training that takes real time: the one Hydra application that all arms run.

It needs Hydra and nothing else, so that it runs in the peer's environment too. Only where a study
of seglab runs it does it report its epochs and may be pruned.

Every trial has 27 epochs, and what an epoch costs is spread evenly over a factor of 5, as model,
crop and batch size make it; the seed shuffles who is long. The cost goes by the trial's number and
not by its parameters: however the samplers choose, all arms face the same work in the same order.

An epoch sleeps, like a host that waits for its device, so the clock sees how trials are scheduled
and not how two processes share a core. `work=cpu` spends the same seconds on a core instead.

The score after an epoch is a saturating curve with noise. Its asymptote depends on the learning
rate (best near 4e-3 at batch size 8), batch size and loss; a higher learning rate gets there sooner,
so curves cross. Over random parameters the score after epochs 3, 9 and 18 has a rank correlation of
0.79, 0.93 and 0.99 with the last one: early scores tell much, not all.
"""

from __future__ import annotations

import json
import math
import random
import time
from os import getpid
from pathlib import Path
from typing import Any

import hydra
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig

EPOCHS = 27
SPREAD = 5.0
NOISE = 0.004
_LOSSES = {"ce_dice": 0.0, "ce": 0.02, "focal": 0.035}


def trial_lengths(trials: int, mean_s: float, seed: int) -> list[float]:
    """Return how many seconds each trial trains, spread evenly over a factor of `SPREAD`."""
    steps = max(1, trials - 1)
    lengths = [1 + (SPREAD - 1) * index / steps for index in range(trials)]
    random.Random(seed).shuffle(lengths)  # noqa: S311 - numpy would cost each trial its import
    return [length * mean_s * trials / sum(lengths) for length in lengths]


def true_score(lr: float, batch_size: int, loss_name: str, epoch: int) -> float:
    """Return the score after an epoch (from 0), without noise."""
    decades = math.log10(lr / (4e-3 * math.sqrt(batch_size / 8)))
    asymptote = (
        0.78 - 0.08 * decades**2 - _LOSSES[loss_name] - 0.006 * abs(math.log2(batch_size / 16))
    )
    speed = 0.16 * 10 ** (0.05 * decades)
    return max(asymptote, 0.05) * (1 - math.exp(-speed * (epoch + 1)))


def _work(seconds: float, kind: str) -> None:
    if kind == "sleep":
        time.sleep(seconds)
        return
    start = time.process_time()
    while time.process_time() - start < seconds:
        math.sqrt(seconds)


def _channel() -> Any:
    """Return the way to the study; None where no study of seglab runs this."""
    try:
        from seglab.core.trial import current_trial
    except ImportError:  # the peer's environment has no seglab
        return None
    return current_trial()


def _report(channel: Any, score: float, epoch: int) -> None:
    if channel is not None and channel.report(score, epoch):
        from seglab.core.trial import TrialPrunedError

        raise TrialPrunedError(f"pruned after epoch {epoch + 1} of {EPOCHS}")


@hydra.main(version_base="1.3", config_path="conf", config_name="objective")
def objective(cfg: DictConfig) -> float:
    """Train for a while; add a line about this trial to the log, however it ends."""
    # The clock that all processes of a machine share and nobody sets.
    line: dict[str, Any] = {"start": time.monotonic(), "epochs": 0, "score": None}
    number = int(HydraConfig.get().job.num)
    length = trial_lengths(cfg.trials, cfg.mean_s, cfg.seed)[number]
    settings = {"lr": cfg.lr, "batch_size": cfg.batch_size, "loss_name": cfg.loss_name}
    channel, score = _channel(), math.nan
    try:
        for epoch in range(EPOCHS):
            _work(length / EPOCHS, cfg.work)
            noise = random.Random(f"{cfg.seed}/{number}/{epoch}")  # noqa: S311 - as above
            score = true_score(epoch=epoch, **settings) + noise.gauss(0, NOISE)
            line["epochs"] = epoch + 1
            _report(channel, score, epoch)
        line |= {"score": score, "true_score": true_score(epoch=EPOCHS - 1, **settings)}
    finally:
        line |= {"end": time.monotonic(), "number": number, "length": length, "pid": getpid()}
        # One short line at once in append mode: processes do not mix theirs.
        with Path(cfg.log).open("a", encoding="utf-8") as stream:
            stream.write(json.dumps(line | settings) + "\n")
    return score


if __name__ == "__main__":
    objective()
