"""Measure what seglab's training loop costs beside the bare step, and beside the stock recipe.

In one run, with the same model, batch, crop, loss and threads, in turn and several rounds:

- `bare fp32`: forward, backward, optimizer on a batch that is on the device; fp32, NCHW;
- `bare plan`: the same under the execution plan that seglab picks for this device;
- `deterministic` (on CUDA): the bare step with torch's deterministic operators, and with our forms;
- `compiled`, `graphs` (with --compile): the same through torch.compile, and with CUDA graphs;
- `seglab`: the whole loop of `seglab train`: loader, augmentation (`standard`), step, callbacks,
  run record, deterministic as is the default; on CUDA also `seglab, not deterministic` and
  `seglab, one batch`, which is shown again and again, so that the loader costs nothing;
- `stock`: segmentation-models-pytorch + Lightning + albumentations at their defaults, decoding PNG
  files in loader workers, of which the best number is used.

The loop is held against the bare step that is as deterministic as it is.
Prints and writes, for each model, the median images per second over the rounds, the ratios that
matter with their bars, GPU utilisation, peak memory, time to the first step, and where the time of
the whole loop goes (torch.profiler). Run it on an otherwise idle machine.

Example: python scripts/bench_train.py --device cuda --compile --json bench.json
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from train_bench.arms import bare_step, seglab_loop, torch_defaults
from train_bench.gauges import GpuGauge, StepTimes
from train_bench.rows import ON_CPU, ON_CUDA, QUICK, ROWS, Row, Sizes, compose_row, repeated_images
from train_bench.spans import time_by_part
from train_bench.stock import stock_loop, tuned_workers

from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.loop.trainer import apply_threads
from seglab.experiment.parts import Dataset, build_model, make_plan

Arm = Callable[[StepTimes], None]
# The whole loop over the bare step, the plan over the stock recipe, and what lies around a step.
LEAST_OF_BARE_STEP, LEAST_OVER_STOCK = 0.97, 2.0
MOST_OVERHEAD = 0.01
ONCE = ("compiled", "graphs", "deterministic, as torch does")
_PROFILED_STEPS = 12


def arms_of(
    row: Row, cfg: DictConfig, dataset: Dataset, sizes: Sizes, compiled: bool
) -> tuple[dict[str, Arm], ExecutionPlan]:
    """Return what is run in turn, and the plan that seglab chose."""
    classes = dataset.labels.num_classes
    plan, device = make_plan(cfg, build_model(cfg, classes))
    stock_cfg = cfg.copy()
    stock_cfg.trainer.plan = "stock"
    plain_plan, _ = make_plan(stock_cfg)
    apply_threads(plan)
    workers = tuned_workers(row, sizes, dataset.manifest, device.accelerator)
    arms: dict[str, Arm] = {
        "bare fp32": lambda times: bare_step(cfg, classes, plain_plan, times),
        "bare plan": lambda times: bare_step(cfg, classes, plan, times),
        "seglab": lambda times: seglab_loop(cfg, dataset, plan, times),
        "stock": lambda times: stock_loop(
            row, sizes, dataset.manifest, device.accelerator, times, workers
        ),
    }
    if device.accelerator == "cuda":
        for name in ("as torch does", "our forms"):
            arms[f"deterministic, {name}"] = functools.partial(
                bare_step, cfg, classes, plan, deterministic=name
            )
        loop = functools.partial(seglab_loop, cfg, dataset, plan)
        arms["seglab, not deterministic"] = functools.partial(loop, deterministic=False)
        arms["seglab, one batch"] = functools.partial(loop, one_batch=True)
    if compiled:
        arms["compiled"] = lambda times: bare_step(cfg, classes, plan, times, "default")
        if device.accelerator == "cuda":
            arms["graphs"] = lambda times: bare_step(cfg, classes, plan, times, "reduce-overhead")
    return arms, replace(plan, reasons=(*plan.reasons, f"stock recipe: {workers} workers"))


def measure(
    arms: dict[str, Arm], sizes: Sizes, device: str, deadline: float
) -> dict[str, list[dict[str, Any]]]:
    """Run the arms in turn, round after round, until all are done or the time is up."""
    results: dict[str, list[dict[str, Any]]] = {name: [] for name in arms}
    for number in range(sizes.rounds):
        if time.monotonic() > deadline:
            break
        for name, arm in arms.items():
            # Compiling takes a minute, and torch's deterministic gradients sort; once is enough.
            if time.monotonic() > deadline or (number and name in ONCE):
                continue
            torch_defaults()
            times = StepTimes(device, sizes.steps)
            with GpuGauge(device) as gauge:
                arm(times)
            results[name].append(
                {
                    "images_per_second": times.images_per_second(sizes.batch_size),
                    "first_step_s": times.first,
                    "gpu_utilisation": gauge.utilisation,
                    "peak_mib": gauge.peak_mib,
                }
            )
        latest = "  ".join(
            f"{name} {values[-1]['images_per_second']:.2f}"
            for name, values in results.items()
            if values
        )
        print(f"round {number + 1}: {latest} img/s", flush=True)
    return results


def medians(results: dict[str, list[dict[str, Any]]]) -> dict[str, dict[str, float | None]]:
    """Return the median of each figure over the rounds; None where nothing was measured."""
    table: dict[str, dict[str, float | None]] = {}
    for name, rounds in results.items():
        keys = rounds[0] if rounds else {}
        columns = {key: [one[key] for one in rounds if one[key] is not None] for key in keys}
        table[name] = {
            key: statistics.median(values) if values else None for key, values in columns.items()
        }
    return table


def ratio(results: dict[str, list[dict[str, Any]]], above: str, below: str) -> float | None:
    """Return the median of the ratios round by round, so that drift cancels."""
    pairs = zip(results[above], results[below], strict=False)
    ratios = [one["images_per_second"] / other["images_per_second"] for one, other in pairs]
    return statistics.median(ratios) if ratios else None


def bars_of(
    results: dict[str, list[dict[str, Any]]], parts: dict[str, dict[str, float]] | None
) -> list[dict[str, Any]]:
    """Return each bar with what was measured; a figure that is missing misses it."""
    on_cuda = "seglab, not deterministic" in results
    alike = "deterministic, our forms" if on_cuda else "bare plan"
    wanted = [("loop over bare step", "seglab", alike, LEAST_OF_BARE_STEP)]
    if on_cuda:
        name = "loop over bare step, not deterministic"
        wanted.append((name, "seglab, not deterministic", "bare plan", LEAST_OF_BARE_STEP))
    wanted.append(("loop over stock recipe", "seglab", "stock", LEAST_OVER_STOCK))
    bars = []
    for name, above, below, least in wanted:
        value = ratio(results, above, below)
        bars.append(
            {"bar": name, "value": value, "least": least, "met": bool(value and value >= least)}
        )
    share = None
    if parts is not None:
        # The longer of the two is what a step takes; what is hidden behind the GPU costs nothing,
        # yet counts here in full.
        step = max(parts["step"]["host_ms"], parts["step"]["gpu_ms"])
        share = parts["metrics"]["host_ms"] / step if step else None
    met = share is not None and share <= MOST_OVERHEAD
    name = "metrics, logging and callbacks over the step"
    return [*bars, {"bar": name, "value": share, "most": MOST_OVERHEAD, "met": met}]


def measure_row(
    row: Row, sizes: Sizes, arguments: argparse.Namespace, deadline: float
) -> dict[str, Any]:
    """Return all figures of one network."""
    device = arguments.device
    compiled = list(ROWS) if arguments.compile == [] else arguments.compile or []
    # Tiny steps on several threads mostly wait for each other.
    cfg = compose_row(row, sizes, device, ["trainer.num_threads=1"] if arguments.quick else [])
    with tempfile.TemporaryDirectory() as folder:
        dataset = repeated_images(cfg, sizes.steps, Path(folder))
        arms, plan = arms_of(row, cfg, dataset, sizes, row.model in compiled)
        print(f"\n{row.name}; {plan.sentence()}", flush=True)
        results = measure(arms, sizes, device, deadline)
        parts = None
        if time.monotonic() < deadline:
            parts = time_by_part(
                lambda times, mark: seglab_loop(cfg, dataset, plan, times, mark),
                device,
                min(_PROFILED_STEPS, sizes.steps),
                arguments.trace and arguments.trace / f"{row.model}.json.gz",
            )
    return {
        "model": row.name,
        "plan": plan.to_dict(),
        "crop": list(sizes.crop),
        "batch_size": sizes.batch_size,
        "medians": medians(results),
        "parts": parts,
        "bars": bars_of(results, parts),
        "rounds": results,
    }


def show(row: dict[str, Any]) -> None:
    """Print the table of one network."""
    print(f"{'recipe':>28}{'img/s':>10}{'first step s':>14}{'GPU %':>8}{'peak MiB':>10}")
    for name, figures in row["medians"].items():
        cells = [figures.get(key) for key in ("images_per_second", "first_step_s")]
        cells += [figures.get(key) for key in ("gpu_utilisation", "peak_mib")]
        shown = ["-" if value is None else f"{value:.2f}" for value in cells]
        print(f"{name:>28}{shown[0]:>10}{shown[1]:>14}{shown[2]:>8}{shown[3]:>10}")
    for part, figures in (row["parts"] or {}).items():
        print(
            f"{part:>10}  host {figures['host_ms']:.2f} ms  GPU {figures['gpu_ms']:.2f} ms a step"
        )
    for bar in row["bars"]:
        value = "not measured" if bar["value"] is None else f"{bar['value']:.3f}"
        wanted = f">= {bar['least']}" if "least" in bar else f"<= {bar['most']}"
        print(f"{bar['bar']}: {value} ({wanted}: {'met' if bar['met'] else 'missed'})", flush=True)


def main() -> None:
    """Measure each network, and write what there is after each."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--models", nargs="+", choices=sorted(ROWS), help="cpu: unet; cuda: all")
    parser.add_argument("--encoder", help="another encoder (cpu: resnet18)")
    parser.add_argument("--rounds", type=int, help="rounds, all in turn (cpu 5, cuda 3)")
    parser.add_argument("--steps", type=int, help="steps of a measurement (cpu 24, cuda 64)")
    parser.add_argument("--crop", type=int, nargs=2, metavar=("H", "W"), help="(192 256; 512 512)")
    parser.add_argument("--batch-size", type=int, help="(cpu 8, cuda 16)")
    parser.add_argument(
        "--compile", nargs="*", choices=sorted(ROWS), help="torch.compile, too: of these, or of all"
    )
    parser.add_argument("--quick", action="store_true", help="tiny: every path, no figure to trust")
    parser.add_argument(
        "--budget", type=float, default=1e9, help="seconds; then the rest is left out"
    )
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    parser.add_argument(
        "--trace", type=Path, help="also write what the profiler saw to this folder, for Perfetto"
    )
    arguments = parser.parse_args()
    on_cpu = arguments.device == "cpu"
    sizes = QUICK if arguments.quick else ON_CPU if on_cpu else ON_CUDA
    given = {"steps": arguments.steps, "rounds": arguments.rounds}
    given |= {"batch_size": arguments.batch_size, "crop": arguments.crop and (*arguments.crop,)}
    sizes = replace(sizes, **{name: value for name, value in given.items() if value})
    models = arguments.models or (["unet"] if on_cpu else list(ROWS))
    small = on_cpu and (arguments.quick or not arguments.models)
    encoder = arguments.encoder or ("resnet18" if small else None)
    began, rows = time.monotonic(), []
    for number, name in enumerate(models):
        # SegFormer's is the smallest there is.
        other = encoder if name != "segformer" else arguments.encoder
        row = replace(ROWS[name], encoder=other) if other else ROWS[name]
        # Each network gets an even share of what is left.
        left = arguments.budget - (time.monotonic() - began)
        deadline = time.monotonic() + left / (len(models) - number)
        rows.append(measure_row(row, sizes, arguments, deadline))
        show(rows[-1])
        if arguments.json:
            arguments.json.write_text(json.dumps({"device": arguments.device, "rows": rows}))


if __name__ == "__main__":
    main()
