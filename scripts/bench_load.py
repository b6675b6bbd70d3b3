"""Measure how long many run records take to become one table.

Writes records as a study leaves them (the configuration of a default training of about 80 values,
scores of 19 classes on two splits, about 10 KB each) into a temporary folder, reads them with
`load_runs` in turns, and prints the times. `--parts` times the steps apart: the walk, the bytes,
the JSON. Files are in the system's cache, as they are in a notebook that is run again.

Example: python scripts/bench_load.py --runs 10000 --turns 3
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglab.config.compose import compose
from seglab.core.disk.provenance import package_versions
from seglab.runs import find_runs, load_runs
from seglab.runs.locate import RECORD_FILE
from seglab.runs.schema import DEFAULTS

CLASSES = (
    "sky",
    "building",
    "pole",
    "road",
    "pavement",
    "tree",
    "sign",
    "fence",
    "car",
    "pedestrian",
    "bicyclist",
    "wall",
    "light",
    "terrain",
    "truck",
    "bus",
    "train",
    "motorcycle",
    "rider",
)
EXPERIMENTS = 5


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=10_000, help="number of records (10000)")
    parser.add_argument("--turns", type=int, default=3, help="turns; all are printed (3)")
    parser.add_argument("--parts", action="store_true", help="time walk, bytes and JSON apart too")
    parser.add_argument("--root", type=Path, help="read these records instead of writing some")
    parser.add_argument("--seed", type=int, default=0, help="seed of the scores (0)")
    return parser.parse_args()


def make_record(
    config: dict[str, Any], packages: dict[str, str], rng: np.random.Generator
) -> dict[str, Any]:
    """Return the fields of one finished training with a setting of its own."""
    optimizer = {**config["optimizer"], "lr": float(10 ** rng.uniform(-5, -2))}
    data = {**config["data"], "batch_size": int(rng.choice([4, 8, 16]))}
    metrics: dict[str, float | None] = {"best_epoch": 12.0, "train/loss": float(rng.random())}
    for split in ("val", "test"):
        for name in ("miou", "dice", "pixel_acc", "class_acc", "fwiou", "loss", "miou_per_image"):
            metrics[f"{split}/{name}"] = float(rng.random())
        for kind in ("iou", "dice"):
            for name in CLASSES:
                metrics[f"{split}/{kind}/{name}"] = float(rng.random())
    metrics["test/iou/bicyclist"] = None
    return DEFAULTS | {
        "kind": "train",
        "status": "finished",
        "seed": int(rng.integers(100)),
        "started": "2026-01-01T00:00:00+00:00",
        "ended": "2026-01-01T01:00:00+00:00",
        "wall_time_s": float(rng.uniform(100, 5000)),
        "config_hash": rng.bytes(8).hex(),
        "dataset_fingerprint": "0123456789abcdef",
        "device": "cpu",
        "execution_plan": {"accelerator": "cpu", "precision": "bf16", "micro_batch_size": 8},
        "git": {"commit": "0" * 40, "dirty": False},
        "packages": packages,
        "host": "elsewhere",
        "pid": 1,
        "wandb": {"id": "x", "mode": "offline", "url": None, "dirs": ["wandb/offline"]},
        "metrics": metrics,
        "config": {**config, "optimizer": optimizer, "data": data},
    }


def write_records(root: Path, count: int, seed: int) -> int:
    """Write `count` records under `root`; return the mean size in bytes."""
    from omegaconf import OmegaConf

    config = OmegaConf.to_container(compose(["data=synth"]), resolve=True)
    assert isinstance(config, dict)
    rng, packages, size = np.random.default_rng(seed), package_versions(), 0
    plain = {str(key): value for key, value in config.items() if key != "hydra"}
    for number in range(count):
        experiment = f"study-{number % EXPERIMENTS}"
        content = make_record(plain, packages, rng)
        content |= {"run_id": f"20260101-000000-{number:06x}", "experiment": experiment}
        folder = root / experiment / content["run_id"]
        (folder / "checkpoints").mkdir(parents=True)
        text = json.dumps(content, indent=2) + "\n"
        (folder / RECORD_FILE).write_text(text, encoding="utf-8")
        size += len(text)
    return size // max(1, count)


def seconds(call: Callable[[], Any], turns: int) -> list[float]:
    """Return how long each call took."""
    times = []
    for _ in range(turns):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return times


def show(name: str, times: list[float]) -> None:
    """Print the median, the least and all times."""
    listed = ", ".join(f"{value:.2f}" for value in times)
    print(
        f"{name:24} median {statistics.median(times):6.2f} s  least {min(times):6.2f}  ({listed})"
    )


def measure(root: Path, args: argparse.Namespace) -> None:
    """Print the times of `load_runs`, and of its parts if asked for."""
    show("load_runs", seconds(lambda: load_runs(root), args.turns))
    frame = load_runs(root)
    print(f"{len(frame)} runs, {frame.shape[1]} columns, {os.cpu_count()} processors")
    if args.parts:
        paths = [folder / RECORD_FILE for folder in find_runs(root)]
        contents = [path.read_bytes() for path in paths]
        show("walk", seconds(lambda: find_runs(root), args.turns))
        show("bytes", seconds(lambda: [path.read_bytes() for path in paths], args.turns))
        show("json", seconds(lambda: [json.loads(text) for text in contents], args.turns))


def main() -> None:
    """Write or find records and print how long reading takes."""
    args = parse_arguments()
    if args.root is not None:
        measure(args.root, args)
        return
    with tempfile.TemporaryDirectory(prefix="seglab-bench-load-") as folder:
        size = write_records(Path(folder), args.runs, args.seed)
        print(f"{args.runs} records of {size / 1000:.1f} KB each")
        measure(Path(folder), args)


if __name__ == "__main__":
    main()
