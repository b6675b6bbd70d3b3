"""Does the monitor keep its promises? On CamVid's frames: detection, false alarms, quality without labels.

    python scripts/bench_monitor.py --bundle DIR --data CAMVID --cache DIR [alarms detection quality report]

- `alarms`: the watch over endless drives made of runs of neighbouring real frames, references drawn apart
  from the streams. Bar: images between false alarms within 20 % of what was asked.
- `detection`: the same drives, which become foggy, dark, blurred or noisy. Bar: at severity 2 and above found
  within one window of 50 images.
- `quality`: estimated against true mIoU of each shift. Bar: within 0.05, or flagged; and labels that changed
  their meaning are flagged.
- `report`: a log of a million rows, reported on. Bar: 30 s.

Ends with 1 where a bar is missed. Statistics of frames are kept in the cache.
"""

from __future__ import annotations

import argparse
import json
import math
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent))
from monitor_bench.frames import MILD, SHIFTS, Frames, drive, joined, part
from monitor_bench.million import write_log

from seglab.bundle.sealing import seal
from seglab.monitor.drift.detector import DriftDetector
from seglab.monitor.drift.options import DriftOptions
from seglab.monitor.quality.estimate import QualityReference, estimate_quality
from seglab.monitor.quality.measured import agreement
from seglab.monitor.quality.scores import scores_of
from seglab.monitor.samples import Sample

WINDOW, REFERENCE = 50, 6_000
SEALED = ("format", "version", "files")
Rows = list[dict[str, Any]]


def _reference(pool: Sample, run: float, rng: np.random.Generator) -> Sample:
    rows = drive(pool, REFERENCE, run, rng)
    return part(pool, rows, np.full(REFERENCE, ""))


def alarms(frames: Frames, args: argparse.Namespace) -> tuple[Rows, bool]:
    """Count false alarms; references and streams are drawn apart, and many times."""
    pool, rows, passed = joined(frames.sample("val"), frames.sample("train")), [], True
    for run, asked in ((8, 500), (8, 1000), (25, 500), (25, 1000)):
        counts: list[int] = []
        windows, images = 0, 20 * asked
        for seed in range(args.references):
            rng = np.random.default_rng([seed, run])
            options = DriftOptions(window=WINDOW, step=10, run_length=asked, seed=seed)
            detector = DriftDetector.fit(_reference(pool, run, rng), options)
            found = detector.watch(part(pool, drive(pool, images, run, rng)))
            counts.append(len(found.alarms))
            windows += len(found.ends)
        length = images * len(counts) / max(1, sum(counts))
        spread = (
            float(np.std(counts, ddof=1))
            / math.sqrt(len(counts))
            / max(1e-9, sum(counts) / len(counts))
        )
        row: dict[str, Any] = {
            "run": run,
            "asked": asked,
            "between_alarms": round(length),
            "alarms": sum(counts),
        }
        row |= {"off": round(length / asked - 1, 3), "standard_error": round(float(spread), 3)}
        row |= {"windows": windows, "notes": list(detector.notes)}
        rows.append(row)
        passed &= abs(length / asked - 1) <= 0.2
        print(row, flush=True)
    return rows, passed


def detection(frames: Frames, args: argparse.Namespace) -> tuple[Rows, bool]:
    """Count images from the change to the alarm."""
    clean, rows, passed = joined(frames.sample("val"), frames.sample("train")), [], True
    rng = np.random.default_rng(0)
    options = DriftOptions(window=WINDOW, step=10, run_length=1_000)
    detector = DriftDetector.fit(_reference(clean, 25, rng), options)
    for shift in SHIFTS:
        for severity in (1, 2, 3, 4, 5):
            splits = ("val", "train") if severity == 2 else ("val",)
            before = joined(*(frames.sample(split) for split in splits))
            after = joined(*(frames.sample(split, shift, severity) for split in splits))
            delays = []
            for _ in range(args.changes):
                numbers = drive(before, 5 * WINDOW, 25, rng)
                change = WINDOW + int(rng.integers(10))
                stream = joined(part(before, numbers[:change]), part(after, numbers[change:]))
                found = detector.watch(stream)
                late = found.ends[found.drifted & (found.ends >= change)]
                delays.append(int(late[0]) - change + 1 if len(late) else 10**6)
            row: dict[str, Any] = {
                "shift": shift,
                "severity": severity,
                "median": np.median(delays),
            }
            row |= {"p95": float(np.quantile(delays, 0.95)), "largest": max(delays)}
            row["found"] = round(float(np.mean(np.array(delays) <= WINDOW)), 3)
            rows.append(row)
            passed &= severity < 2 or row["found"] >= 0.95
            print(row, flush=True)
    return rows, passed


def quality(frames: Frames, args: argparse.Namespace) -> tuple[Rows, bool]:
    """Hold estimates against labels; then change what the labels mean."""
    reference = QualityReference.fit(frames.sample("val"))
    assert reference is not None, "the frames have labels"
    rows, passed = [], True
    cases: list[tuple[str, str, int]] = [("val", "clean", 0), ("train", "clean", 0)]
    cases += [("val", shift, severity) for shift in (*SHIFTS, *MILD) for severity in (1, 2, 3)]
    cases += [("train", shift, 2) for shift in SHIFTS]
    for split, shift, severity in cases:
        sample = frames.sample(split, shift, severity)
        found = estimate_quality(sample, reference)
        true = float(scores_of(sample.statistics["true_confusion"].sum(0)).miou)
        off, flag = found.miou - true, not found.assumption.ok
        row: dict[str, Any] = {
            "frames": split,
            "shift": shift,
            "severity": severity,
            "true": round(true, 3),
        }
        row |= {"estimate": round(found.miou, 3), "off": round(off, 3), "flagged": flag}
        row |= {"interval": [round(end, 3) for end in found.interval]}
        row |= {"distance": round(found.assumption.distance, 2)}
        rows.append(row)
        passed &= abs(off) <= 0.05 or flag
        print(row, flush=True)
    concept, seen = _concept(frames.sample("val"), reference)
    return [*rows, concept], passed and seen


def _concept(sample: Sample, reference: QualityReference) -> tuple[dict[str, Any], bool]:
    """The road is called pavement from now on: the images are the same, the labels are not."""
    expected = estimate_quality(sample, reference)
    true = sample.statistics["true_confusion"].copy()
    true[:, 4] += true[:, 3]
    true[:, 3] = 0
    against = agreement(sample.statistics["confusion"], true, sample.streams, expected, reference)
    row: dict[str, Any] = {"shift": "road is called pavement", "estimate": round(expected.miou, 3)}
    row |= {"true": round(float(scores_of(true.sum(0)).miou), 3), "flagged": against.kind}
    row |= {"flagged_without_labels": not expected.assumption.ok}
    print(row, flush=True)
    return row, against.kind == "concept"


def report(frames: Frames, args: argparse.Namespace) -> tuple[Rows, bool]:
    """Write a log of a million images, ten days of them, and time the report of it."""
    folder, bundle = args.cache / "million", _with_reference(frames, args)
    if not folder.exists():
        write_log(folder, frames.sample("val"), bundle, args.rows)
    size = sum(path.stat().st_size for path in folder.rglob("*.parquet"))
    command = [sys.executable, "-m", "seglab.cli", "monitor", "report", f"log={folder}"]
    command += [f"bundle={bundle}", f"output={args.cache / 'million.html'}"]
    begun = time.time()
    subprocess.run(command, check=True)
    seconds, used = time.time() - begun, resource.getrusage(resource.RUSAGE_CHILDREN)
    row: dict[str, Any] = {"rows": args.rows, "gigabytes": round(size / 1e9, 2)}
    row |= {"seconds": round(seconds, 1), "peak_gigabytes": round(used.ru_maxrss / 1e6, 2)}
    row["processor_seconds"] = round(used.ru_utime + used.ru_stime, 1)
    print(row, flush=True)
    return [row], seconds <= 30


def _with_reference(frames: Frames, args: argparse.Namespace) -> Path:
    """Return the bundle, with all frames of the validation drive as its reference."""
    place: Path = args.cache / "bundle"
    if not place.exists():
        shutil.copytree(args.bundle, place)
        held = frames.sample("val")
        content = {
            **held.statistics,
            "features": np.asarray(held.features),
            "streams": held.streams,
        }
        np.savez_compressed(place / "reference.npz", allow_pickle=False, **content)
        info = json.loads((place / "bundle.json").read_text())
        seal(place, {name: info[name] for name in info if name not in SEALED})
    return place


PARTS: dict[str, Callable[[Frames, argparse.Namespace], tuple[Rows, bool]]] = {
    "alarms": alarms,
    "detection": detection,
    "quality": quality,
    "report": report,
}


def main() -> int:
    """Measure; return 1 where a bar is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", help=f"of {', '.join(PARTS)}; all by default")
    parser.add_argument("--bundle", type=Path, required=True, help="trained on CamVid")
    parser.add_argument("--data", type=Path, required=True, help="CamVid's folder")
    parser.add_argument("--cache", type=Path, required=True, help="statistics of frames")
    parser.add_argument("--references", type=int, default=16, help="of each run length")
    parser.add_argument("--changes", type=int, default=40, help="streams of each shift")
    parser.add_argument("--rows", type=int, default=1_000_000, help="of the log reported on")
    parser.add_argument("--output", type=Path, help="JSON of all figures")
    args = parser.parse_args()
    frames, results, passed = Frames(args.data, args.bundle, args.cache), {}, True
    for name in args.parts or PARTS:
        begun = time.time()
        rows, good = PARTS[name](frames, args)
        results[name] = {"rows": rows, "passed": good, "seconds": round(time.time() - begun)}
        passed &= good
        print(f"{name}: {'bar met' if good else 'BAR MISSED'}", flush=True)
    if args.output:
        args.output.write_text(json.dumps(results, indent=1, default=float))
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
