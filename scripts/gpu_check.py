"""Check seglab on a GPU: install, doctor, the tests marked `gpu`, the benchmark and its bars.

For a machine with Python, torch with CUDA, Lightning, timm, torchmetrics, OpenCV and pytest, with or
without network. What else seglab needs comes from a folder of wheels that `scripts/gpu_wheels.py`
filled; it is put into a folder of its own, so nothing of the machine changes. Writes report.json and
report.md, and exits with 1 when a bar is missed. A part that the time cuts off misses its bars.

Example: scripts/gpu_check.sh --wheels wheels --out gpu-report
Without a GPU: scripts/gpu_check.sh --device cpu --quick tries every path; its figures say nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
# Shares of the time: what a part does not use goes to the next ones.
SHARES = {"install": 0.1, "facts": 0.15, "doctor": 0.1, "tests": 0.33, "bench": 0.32}
# Another build of these would take the place of the one that fits the card.
NEVER = ("torch", "torchvision", "torchaudio", "triton", "nvidia", "numpy")
# In one process the name comes first, in several the end does.
_TEST_LINE = re.compile(
    r"^(?P<name>tests/\S+) (?P<end>PASSED|FAILED|ERROR|SKIPPED)"
    r"|^\[gw\d+\].* (?P<end_there>PASSED|FAILED|ERROR|SKIPPED) (?P<name_there>tests/\S+)"
)
_SECONDS_TO_COMPILE_ALL = 400.0
FACTS = """
import importlib, json, platform, torch
names = %r
def importable(name):
    try:
        importlib.import_module(name)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
missing = {name: text for name in names if (text := importable(name))}
cuda = torch.cuda.is_available()
card = torch.cuda.get_device_properties(0) if cuda else None
print(json.dumps({
    "card": card.name if cuda else None, "cuda": torch.version.cuda,
    "memory_gib": round(card.total_memory / 2**30, 1) if cuda else None,
    "capability": ".".join(map(str, torch.cuda.get_device_capability())) if cuda else None,
    "python": platform.python_version(), "torch": torch.__version__, "missing": missing,
}))
"""
# wandb and plotly only draw and log; what trains is needed.
NEEDED = (
    *("pytorch_lightning", "torchmetrics", "timm", "cv2", "hydra", "omegaconf", "pydantic"),
    *("segmentation_models_pytorch", "kornia", "optuna", "iterstrat", "imagehash", "pyarrow"),
    *(
        "pandas",
        "scipy",
        "sklearn",
        "pytest",
        "hypothesis",
        "albumentations",
        "seglab.experiment.train",
    ),
)


@dataclass
class Part:
    """What became of one part.

    Attributes:
        name: A key of `SHARES`.
        status: done, failed, or cut off by the time.
        seconds: How long it took.
        bars: Each with `bar`, `value`, `wanted` and `met`.
        notes: For people.
        content: Everything it measured.
    """

    name: str
    status: str = "done"
    seconds: float = 0.0
    bars: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    content: Any = None

    def bar(self, name: str, value: Any, wanted: str, met: bool) -> None:
        """Add a bar; one of a part that was cut off is missed."""
        self.bars.append({"bar": name, "value": value, "wanted": wanted, "met": met})


class Check:
    """Runs the parts, each within its time."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.arguments = arguments
        self.out: Path = arguments.out.absolute()
        self.out.mkdir(parents=True, exist_ok=True)
        self.ends = time.monotonic() + arguments.minutes * 60
        self.parts: list[Part] = []
        places = [str(self.out / "site"), str(ROOT), str(ROOT / "seglab" / "sweep" / "plugins")]
        former = os.environ.get("PYTHONPATH")
        folders = {name: str(self.out / name.lower()) for name in ("DATA", "CACHE", "RUNS")}
        self.environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([*places, *([former] if former else [])]),
            "WANDB_MODE": "disabled",
            "PYTHONUNBUFFERED": "1",
            **{f"SEGLAB_{name}": folder for name, folder in folders.items()},
        }

    def seconds_for(self, name: str) -> float:
        """Return the time a part may take: its share of what is left."""
        names = list(SHARES)
        rest = sum(SHARES[one] for one in names[names.index(name) :])
        return max(1.0, (self.ends - time.monotonic()) * SHARES[name] / rest)

    def call(self, part: Part, words: Sequence[str], seconds: float) -> tuple[int, str]:
        """Run Python with `words`; return exit code and output, and note what went wrong.

        The output is kept in a file beside the report, also of a process that was cut off.
        """
        log = self.out / f"{part.name}.log"
        with log.open("w") as sink:
            # A group of its own: loader workers and trials end with it.
            process = subprocess.Popen(
                [sys.executable, *words],
                cwd=ROOT,
                env=self.environment,
                stdout=sink,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            try:
                code = process.wait(timeout=seconds)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, 9)
                code = process.wait()
                part.status = "cut off"
                part.notes.append(f"cut off after {seconds:.0f} s")
        return code, log.read_text(errors="replace")

    def install(self, part: Part) -> None:
        """Put the wheels into a folder of their own, without network and without dependencies."""
        folder: Path | None = self.arguments.wheels
        if folder is None:
            part.notes.append("no --wheels: what the machine has is used")
            return
        wheels = sorted(folder.absolute().glob("*.whl"))
        wrong = [one.name for one in wheels if one.name.split("-")[0].split("_")[0] in NEVER]
        if wrong or not wheels:
            part.status = "failed"
            part.notes.append(f"{folder}: {', '.join(wrong) or 'no wheels'}; nothing is installed")
            return
        names = [re.split(r"-\d", one.name)[0] for one in wheels]
        words = ["-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile"]
        words += ["--find-links", str(folder.absolute()), "--target", str(self.out / "site")]
        code, text = self.call(part, [*words, "--upgrade", *names], self.seconds_for("install"))
        part.notes.append(f"{len(wheels)} wheels from {folder}")
        if code and part.status == "done":
            part.status = "failed"
            part.notes.append(text[-500:])

    def facts(self, part: Part) -> None:
        """Read card, driver and versions, and whether all that is needed can be imported."""
        code, text = self.call(part, ["-c", FACTS % (NEEDED,)], self.seconds_for("facts"))
        part.content = json.loads(text.strip().splitlines()[-1]) if code == 0 else {}
        part.content["driver"] = driver()
        missing = part.content.get("missing", {"torch": text[-300:]})
        part.bar(
            "imports",
            "; ".join(f"{k}: {v}" for k, v in missing.items()) or "all",
            "all",
            not missing,
        )
        card = part.content.get("card")
        if self.arguments.device == "cuda":
            part.bar("a CUDA device", card or "none", "one", card is not None)

    def doctor(self, part: Part) -> None:
        """Measure the card by `seglab doctor --gpu`."""
        words = ["-m", "seglab.cli", "doctor", "--gpu", "--json"]
        _, text = self.call(part, words, self.seconds_for("doctor"))
        try:
            findings = json.loads(text[text.index("[\n") :])
        except ValueError:
            part.bar("doctor --gpu", text[-300:], "findings", met=False)
            return
        part.content = [one for one in findings if one["area"] == "gpu"]
        part.notes += [
            f"{one['name']}: {one['text']} {one['advice']}".strip() for one in part.content
        ]
        off = [one["name"] for one in part.content if one["status"] != "ok"]
        if self.arguments.device == "cuda":
            part.bar("doctor --gpu", ", ".join(off) or "nothing off", "nothing off", not off)

    def tests(self, part: Part) -> None:
        """Run the tests marked `gpu`; on a CPU the same tests with that device."""
        cuda = self.arguments.device == "cuda"
        which = ["-m", "gpu" if cuda else "slow", "tests/gpu"]
        if self.arguments.quick:
            # Whole studies in processes of their own: minutes on two cores.
            which.append("--ignore=tests/gpu/test_study.py")
            part.notes.append("left out by --quick: tests/gpu/test_study.py")
        # Each test's name and end in one line, at once: a run that is cut off shows how far it came.
        words = [
            "-m",
            "pytest",
            "-v",
            "--tb=short",
            "-p",
            "no:cacheprovider",
            "--no-header",
            *which,
        ]
        if cuda and importlib.util.find_spec("xdist"):
            # They measure no time, and most of theirs is the CPU's.
            words += ["-n", str(max(1, min(6, (os.cpu_count() or 1) // 2)))]
        code, text = self.call(part, words, self.seconds_for("tests"))
        matches = [_TEST_LINE.match(line) for line in text.splitlines()]
        ends = [
            (match["name"] or match["name_there"], match["end"] or match["end_there"])
            for match in matches
            if match
        ]
        part.content = dict(ends)
        of = {
            word: [name for name, end in ends if end == word] for word in {end for _, end in ends}
        }
        part.notes += [f"{end.lower()}: {name}" for name, end in ends if end != "PASSED"]
        failed = [*of.get("FAILED", []), *of.get("ERROR", [])]
        value = f"{len(of.get('PASSED', []))} passed, {len(failed)} failed, "
        value += f"{len(of.get('SKIPPED', []))} skipped"
        met = code == 0 and bool(of.get("PASSED")) and part.status == "done"
        part.bar(
            "tests marked gpu" if cuda else "tests of tests/gpu on the CPU", value, "all pass", met
        )

    def bench(self, part: Part) -> None:
        """Run the benchmark; a bar of a network it did not come to is missed."""
        target, quick = self.out / "bench.json", self.arguments.quick
        seconds = self.seconds_for("bench")
        # Its own budget ends before ours does, so that what it measured is written.
        words = ["scripts/bench_train.py", "--device", self.arguments.device, "--json", str(target)]
        words += ["--trace", str(self.out / "traces")]
        words += ["--quick"] if quick else ["--budget", str(0.75 * seconds), "--compile"]
        if not quick and seconds < _SECONDS_TO_COMPILE_ALL:
            words.append("unet")
            part.notes.append("torch.compile is measured for U-Net alone: too little time for more")
        target.unlink(missing_ok=True)
        code, text = self.call(part, words, seconds)
        rows = json.loads(target.read_text())["rows"] if target.is_file() else []
        part.content = rows
        for row in rows:
            for bar in row["bars"]:
                wanted = f">= {bar['least']}" if "least" in bar else f"<= {bar['most']}"
                # A step of tiny images measures nothing but the paths that lead to it.
                met = bar["value"] is not None if quick else bar["met"]
                part.bar(f"{row['model']}: {bar['bar']}", bar["value"], wanted, met)
        if code or not rows:
            part.bar(
                "the benchmark ran to its end", f"code {code}: {text[-300:]}", "code 0", met=False
            )

    def run(self) -> int:
        """Run all parts, write the report after each; return 1 where a bar is missed."""
        for name in SHARES:
            part = Part(name)
            self.parts.append(part)
            began = time.monotonic()
            try:
                getattr(self, name)(part)
            except (OSError, ValueError, KeyError) as error:
                part.status = "failed"
                part.notes.append(f"{type(error).__name__}: {error}")
            if part.status != "done":
                part.bar(name, part.status, "done", met=False)
            part.seconds = time.monotonic() - began
            print(f"{name}: {part.status} in {part.seconds:.0f} s", flush=True)
            self.report()
        return int(any(not bar["met"] for part in self.parts for bar in part.bars))

    def report(self) -> None:
        """Write report.json and report.md with what there is so far."""
        facts = next((part.content or {} for part in self.parts if part.name == "facts"), {})
        where = {"device": self.arguments.device, "quick": self.arguments.quick}
        content = {**where, "facts": facts, "parts": [asdict(part) for part in self.parts]}
        (self.out / "report.json").write_text(json.dumps(content, indent=2))
        (self.out / "report.md").write_text(markdown(content))


def driver() -> str | None:
    """Return the version of the driver, or None where nvidia-smi does not tell."""
    query = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    try:
        done = subprocess.run(query, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.split("\n")[0].strip()


def markdown(content: dict[str, Any]) -> str:
    """Return the report for people."""
    facts = content["facts"]
    lines = ["# seglab on " + (facts.get("card") or f"{content['device']} (no GPU)"), ""]
    if content["quick"]:
        lines += ["Every path with tiny sizes: **no figure here says how fast anything is.**", ""]
    shown = ("card", "memory_gib", "capability", "driver", "cuda", "torch", "python")
    lines += [f"- {name}: {facts.get(name)}" for name in shown]
    lines += ["", "| bar | value | wanted | |", "|---|---|---|---|"]
    for part in content["parts"]:
        for bar in part["bars"]:
            value = bar["value"]
            cell = f"{value:.3f}" if isinstance(value, float) else str(value)
            cell = cell.replace("|", "/").replace("\n", " ")
            lines.append(
                f"| {bar['bar']} | {cell} | {bar['wanted']} | {'met' if bar['met'] else '**missed**'} |"
            )
    lines += table_of_rates(content["parts"])
    for part in content["parts"]:
        lines += ["", f"## {part['name']}: {part['status']}, {part['seconds']:.0f} s", ""]
        lines += [f"- {note}".replace("\n", " ") for note in part["notes"]]
    return "\n".join(lines) + "\n"


def table_of_rates(parts: Sequence[dict[str, Any]]) -> list[str]:
    """Return the benchmark's figures and where the time of a step goes, as tables."""
    rows = next((part["content"] or [] for part in parts if part["name"] == "bench"), [])
    header = "| network | recipe | img/s | first step s | GPU % | peak MiB |"
    lines = ["", header, "|---|---|---|---|---|---|"]
    keys = ("images_per_second", "first_step_s", "gpu_utilisation", "peak_mib")
    for row in rows:
        for name, figures in row["medians"].items():
            cells = ["-" if figures.get(key) is None else f"{figures[key]:.1f}" for key in keys]
            lines.append(f"| {row['model']} | {name} | {' | '.join(cells)} |")
    lines += ["", "| network | part of a step | host ms | GPU ms |", "|---|---|---|---|"]
    for row in rows:
        for name, figures in (row["parts"] or {}).items():
            lines.append(
                f"| {row['model']} | {name} | {figures['host_ms']:.2f} | {figures['gpu_ms']:.2f} |"
            )
    return lines if rows else []


def main() -> int:
    """Run the check and return its exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--wheels", type=Path, help="folder of wheels; without it none are installed"
    )
    parser.add_argument("--out", type=Path, default=Path("gpu-report"), help="(gpu-report)")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--quick", action="store_true", help="tiny sizes: paths, not figures")
    parser.add_argument("--minutes", type=float, default=9.0, help="for everything together (9)")
    check = Check(parser.parse_args())
    code = check.run()
    print((check.out / "report.md").read_text())
    return code


if __name__ == "__main__":
    sys.exit(main())
