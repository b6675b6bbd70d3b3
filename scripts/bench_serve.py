"""Requests a second of `seglab serve` beside a plain FastAPI + torch handler, LitServe and BentoML.

Same network, images, machine and cores, in one run: the plain handler is the run's network in torch,
the others are the bundle's own ONNX. LitServe and BentoML need environments of their own with
onnxruntime and Pillow: `--litserve PYTHON`, `--bentoml PYTHON`. Each server gets closed load of growing
numbers of callers; the figure is the most requests a second with a p95 within a limit, the p95 of the plain
handler at four callers. Then ours gets three times what saturates it, and so many requests in all
that its memory can be compared. Ends with 1 where a bar is missed.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent))
from serve_bench.load import arriving, closed

HERE = Path(__file__).resolve().parent / "serve_bench"
CALLERS = (1, 2, 4, 8, 16)
PORT = 8431


@contextmanager
def serving(command: list[str], extra: dict[str, str] | None = None) -> Iterator[psutil.Process]:
    """Run a server until it is ready, and end it with all its children."""
    process = subprocess.Popen(command, env={**os.environ, **(extra or {})}, stdout=sys.stderr)
    try:
        for _ in range(600):
            if process.poll() is not None:
                raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
            try:
                if httpx.get(f"http://127.0.0.1:{PORT}/readyz", timeout=1).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.2)
        yield psutil.Process(process.pid)
    finally:
        children = (
            psutil.Process(process.pid).children(recursive=True) if process.poll() is None else []
        )
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
        for child in children:
            if child.is_running():
                child.kill()


def contenders(args: argparse.Namespace) -> dict[str, tuple[list[str], dict[str, str], str]]:
    """Return the command of each server, its environment, and how it takes images."""
    port, bundle = str(PORT), str(args.bundle)
    found: dict[str, tuple[list[str], dict[str, str], str]] = {
        "FastAPI + torch": (
            [sys.executable, str(HERE / "plain_torch.py"), str(args.run), port],
            {},
            "raw",
        )
    }
    if args.litserve:
        found["LitServe"] = ([args.litserve, str(HERE / "lit.py"), bundle, port], {}, "json")
    if args.bentoml:
        words = ["-m", "bentoml", "serve", "serve_bench.bento:Segment", "--port", port]
        words += ["--working-dir", str(HERE.parent), "--host", "127.0.0.1"]
        extra = {"BUNDLE": str(args.bundle.resolve()), "BENTOML_DO_NOT_TRACK": "True"}
        found["BentoML"] = ([args.bentoml, *words], extra, "form")
    words = ["-m", "seglab.cli", "serve", f"bundle={bundle}", f"port={port}", "log_level=error"]
    found["seglab serve"] = ([sys.executable, *words], {}, "raw")
    return found


def requests_of(args: argparse.Namespace, kind: str) -> list[dict[str, Any]]:
    """Return what `httpx` posts for each image."""
    contents = [path.read_bytes() for path in sorted(args.images.iterdir())[: args.num_images]]
    if kind == "json":
        return [{"json": {"image": base64.b64encode(one).decode()}} for one in contents]
    if kind == "form":
        return [{"files": {"image": ("image.png", one, "image/png")}} for one in contents]
    headers = {"Content-Type": "image/png", "Accept": "image/png"}
    return [{"content": one, "headers": headers} for one in contents]


def measure(args: argparse.Namespace) -> dict[str, Any]:
    """Give every contender closed load; ours overload and endurance too."""
    url = f"http://127.0.0.1:{PORT}/v1/predict"
    report: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "closed": {},
    }
    for name, (command, extra, kind) in contenders(args).items():
        requests = requests_of(args, kind)
        with serving(command, extra) as process:
            asyncio.run(closed(url, requests, 2, args.warm_up))
            rows = {}
            for callers in CALLERS:
                found = asyncio.run(closed(url, requests, callers, args.seconds)).to_dict()
                rows[callers] = found
                print(f"{name:16} {callers:3} callers: {found}", flush=True)
            report["closed"][name] = rows
            if name == "seglab serve":
                report["overload"] = overload(args, url, requests, rows)
                report["memory"] = endure(args, url, requests, process)
    return report


def overload(
    args: argparse.Namespace, url: str, requests: list[dict[str, Any]], rows: dict[int, Any]
) -> dict[str, Any]:
    """Ask three times as much as saturates the server, then see how soon it is well again."""
    most = max(row["per_second"] for row in rows.values())
    found = asyncio.run(arriving(url, requests, 3 * most, args.seconds))
    started = time.perf_counter()
    usual = rows[1]["p95_ms"] / 1e3
    recovered = float("nan")
    while time.perf_counter() - started < 10:
        begun = time.perf_counter()
        code = httpx.post(url, timeout=30, **requests[0]).status_code
        if code == 200 and time.perf_counter() - begun < 2 * usual + 0.1:
            recovered = time.perf_counter() - started
            break
        time.sleep(0.05)
    return {"rate": 3 * most, **found.to_dict(), "recovered_s": round(recovered, 2)}


def endure(
    args: argparse.Namespace, url: str, requests: list[dict[str, Any]], process: psutil.Process
) -> dict[str, Any]:
    """Compare the memory after a tenth of the requests with that after all of them."""
    held = []
    for number in (args.requests // 10, args.requests - args.requests // 10):
        asyncio.run(closed(url, requests, 4, 1e9, number))
        everyone = [process, *process.children(recursive=True)]
        held.append(sum(one.memory_info().rss for one in everyone) / 2**20)
    return {"requests": args.requests, "mib": [round(one, 1) for one in held]}


def judge(report: dict[str, Any]) -> list[str]:
    """Write the bars into the report; return those that were missed."""
    rows = report["closed"]
    limit = rows["FastAPI + torch"][4]["p95_ms"]
    best = {
        name: max((r["per_second"] for r in of.values() if r["p95_ms"] <= limit), default=0.0)
        for name, of in rows.items()
    }
    ours = best.pop("seglab serve")
    report["p95_limit_ms"] = limit
    report["best"] = {**best, "seglab serve": ours}
    bars = {"2 x FastAPI + torch": ours >= 2 * best.pop("FastAPI + torch")}
    if best:
        bars["1.1 x the better of LitServe and BentoML"] = ours >= 1.1 * max(best.values())
    over, memory = report["overload"], report["memory"]["mib"]
    bars["refuses early at three times the load"] = over["codes"].get(503, 0) > 0
    bars["recovers within 2 s"] = over["recovered_s"] <= 2
    bars["memory within 5 %"] = memory[1] <= 1.05 * memory[0]
    report["bars"] = bars
    return [name for name, is_met in bars.items() if not is_met]


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", type=Path, required=True, help="the training")
    parser.add_argument("--bundle", type=Path, required=True, help="its export, a folder")
    parser.add_argument("--images", type=Path, required=True, help="folder of images of one size")
    parser.add_argument("--num-images", type=int, default=50)
    parser.add_argument("--litserve", help="a Python that has litserve, onnxruntime and Pillow")
    parser.add_argument("--bentoml", help="a Python that has bentoml, onnxruntime and Pillow")
    parser.add_argument("--seconds", type=float, default=10.0, help="of each measurement")
    parser.add_argument("--warm-up", type=float, default=3.0)
    parser.add_argument("--requests", type=int, default=10_000, help="for the memory")
    parser.add_argument("--json", type=Path, help="where the report goes")
    return parser


def main() -> int:
    """Measure, print and judge."""
    args = build_parser().parse_args()
    report = measure(args)
    missed = judge(report)
    text = json.dumps(report, indent=2)
    print(text)
    if args.json:
        args.json.write_text(text + "\n")
    for name in missed:
        print(f"missed: {name}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
