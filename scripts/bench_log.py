"""What the log of requests costs: requests a second of `seglab serve` without it, at 1 %, and in full.

Three servers of one bundle run side by side and get closed load in turn, in short rounds, so that whatever
else the machine does falls on all of them. The figure is the mean over the rounds of each server's requests a
second over those of the server without a log, with a 95 % interval; beside it the processor's time a
request, and the share of it that the log's thread takes, which says the same on a machine that is busy with
other things. Ends with 1 where a bar of the former is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil
from scipy import stats

sys.path.insert(0, str(Path(__file__).resolve().parent))
import bench_serve
from serve_bench.load import closed

BARS = {"1 %": 0.97, "full": 0.90}
PORT = 8441
_FIRST_FILE = 12.0  # seconds, longer than log.flush_seconds
_COST = "seglab_log_processor_seconds_total"


def measure(args: argparse.Namespace, folder: Path) -> dict[str, Any]:
    """Give every server its rounds; return rates, ratios, and what the logs lost."""
    requests = bench_serve.requests_of(args, "raw")
    words: dict[str, list[str]] = {"none": []}
    for name, sample in (("1 %", 0.01), ("full", 1.0)):
        words[name] = [f"log.folder={folder / name}", f"log.sample={sample}"]
        words[name] += [f"log.privacy={args.privacy}"]
    rates: dict[str, list[float]] = {name: [] for name in words}
    work: dict[str, list[float]] = {name: [] for name in words}
    spent = dict.fromkeys(words, 0.0)
    with contextlib.ExitStack() as stack:
        urls, processes = {}, {}
        for number, (name, more) in enumerate(words.items()):
            bench_serve.PORT = PORT + number
            command = [sys.executable, "-m", "seglab.cli", "serve", f"bundle={args.bundle}"]
            command += [f"port={bench_serve.PORT}", "log_level=error", *more]
            command += [f"threads={args.threads}"] if args.threads else []
            processes[name] = stack.enter_context(bench_serve.serving(command))
            urls[name] = f"http://127.0.0.1:{bench_serve.PORT}"
            asyncio.run(closed(f"{urls[name]}/v1/predict", requests, 2, 2.0))
        # What is loaded with the first row and the first file is no cost of a request.
        time.sleep(_FIRST_FILE)
        before = {name: _counted(url) for name, url in urls.items()}
        for number in range(args.rounds):
            order = np.random.default_rng(number).permutation(list(urls))
            for name in order:
                started = _seconds(processes[name])
                found = asyncio.run(
                    closed(f"{urls[name]}/v1/predict", requests, args.callers, args.seconds)
                )
                rates[name].append(found.to_dict()["per_second"])
                spent[name] += _seconds(processes[name]) - started
                work[name].append((_seconds(processes[name]) - started) / found.codes[200])
            print({name: values[-1] for name, values in rates.items()}, flush=True)
        time.sleep(1.0)
        counted = {name: _counted(url) for name, url in urls.items() if name != "none"}
    ratios = {name: _ratio(rates[name], rates["none"]) for name in BARS}
    shares = {
        name: round((found[_COST] - before[name][_COST]) / spent[name], 4)
        for name, found in counted.items()
    }
    times = {name: _ratio(work["none"], work[name]) for name in BARS}
    return {
        "rates": rates,
        "work": work,
        "ratios": ratios,
        "processor_ratios": times,
        "processor_shares": shares,
        "rows": counted,
    }


def _seconds(process: psutil.Process) -> float:
    """Return what all processes of a server took of the processor."""
    everyone = [process, *process.children(recursive=True)]
    return sum(one.cpu_times().user + one.cpu_times().system for one in everyone)


def _counted(url: str) -> dict[str, float]:
    lines = httpx.get(f"{url}/metrics").text.splitlines()
    pairs = [line.split() for line in lines if line.startswith(("seglab_log_", "seglab_images_"))]
    return {name: float(value) for name, value in pairs}


def _ratio(rates: list[float], bare: list[float]) -> list[float]:
    """Return mean, low and high of the ratio by rounds."""
    logs = np.log(np.array(rates) / np.array(bare))
    half = stats.t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs))
    return np.exp(logs.mean() + np.array([0.0, -half, half])).round(4).tolist()


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--images", type=Path, required=True, help="folder of PNG files")
    parser.add_argument("--num-images", type=int, default=32)
    parser.add_argument("--callers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=4.0, help="of a round")
    parser.add_argument("--rounds", type=int, default=12)
    parser.add_argument("--threads", type=int, help="of each server's network")
    parser.add_argument("--privacy", default="statistics")
    parser.add_argument("-o", "--output", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        report = measure(args, Path(folder))
    print(
        json.dumps(
            {
                name: report[name]
                for name in ("ratios", "processor_ratios", "processor_shares", "rows")
            },
            indent=2,
        )
    )
    if args.output:
        args.output.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return int(any(report["ratios"][name][0] < bar for name, bar in BARS.items()))


if __name__ == "__main__":
    sys.exit(main())
