"""Put faults into the code whose numbers everything rests on, and tell which the tests do not notice.

Each fault is one changed expression in metrics, losses, folds, sampler or ledger (a line of
mutants.tsv), put into a copy of the checkout, where the tests of its area then run. A fault that they
pass has *survived*: a test is missing. Run it before and after tests are merged, dropped or marked
slow: no more may survive.
Exits 1 if any does.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
TESTS = {
    "metrics": ["tests/metrics"],
    "losses": ["tests/losses"],
    "folds": ["tests/data"],
    "sampler": ["tests/data/test_sampler.py"],
    "ledger": ["tests/sweep/ledger/test_ledger.py"],
}
FAST = ["-m", "not slow and not gpu", "-x", "-q", "--no-header", "-p", "no:cacheprovider"]


@dataclass(frozen=True)
class Mutant:
    """One fault: in `file` the text `old` becomes `new`."""

    area: str
    file: str
    old: str
    new: str

    def __str__(self) -> str:
        """Return what is changed, in one line."""
        return f"{self.file}: {self.old.strip()!r} -> {self.new.strip()!r}"


def read_mutants(path: Path = ROOT / "scripts" / "mutants.tsv") -> list[Mutant]:
    """Return the faults of the table, in its order."""
    lines = path.read_text(encoding="utf-8").split("\n")[1:]
    return [Mutant(*line.split("\t")) for line in lines if line]


def copy_checkout(root: Path, target: Path) -> None:
    """Copy what git keeps, so that a fault never reaches the files one works on."""
    listed = subprocess.run(
        ["git", "-C", root, "ls-files", "-z"], capture_output=True, text=True, check=True
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (root / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, target / name)
    # The marker that tells a checkout from an installed package.
    (target / ".git").mkdir(exist_ok=True)


def run_tests(checkout: Path, area: str) -> subprocess.CompletedProcess[str]:
    """Run an area's tests on a checkout's own code, with one thread."""
    paths = [str(checkout), str(checkout / "seglab" / "sweep" / "plugins")]
    env = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-B", "-m", "pytest", *FAST, *TESTS[area]],
        cwd=checkout,
        env=env,
        capture_output=True,
        text=True,
    )


def survives(mutant: Mutant, checkout: Path) -> bool | None:
    """Tell whether the tests pass with the fault in; None where its text is not there any more."""
    path = checkout / "seglab" / mutant.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutant.old) < 1:
        return None
    path.write_text(text.replace(mutant.old, mutant.new), encoding="utf-8")
    try:
        return run_tests(checkout, mutant.area).returncode == 0
    finally:
        path.write_text(text, encoding="utf-8")


def check(root: Path, mutants: list[Mutant], jobs: int) -> list[bool | None]:
    """Return for each fault whether it survives, and print it as it becomes known."""
    with tempfile.TemporaryDirectory() as folder:
        free: SimpleQueue[Path] = SimpleQueue()
        for number in range(jobs):
            copy_checkout(root, Path(folder) / str(number))
            free.put(Path(folder) / str(number))

        def judge(mutant: Mutant) -> bool | None:
            checkout = free.get()
            try:
                alive = survives(mutant, checkout)
            finally:
                free.put(checkout)
            said = {None: "not there", True: "SURVIVED", False: "noticed"}[alive]
            print(f"{said:>9}  {mutant}", flush=True)
            return alive

        with ThreadPoolExecutor(jobs) as pool:
            return list(pool.map(judge, mutants))


def main() -> None:
    """Run the faults and count the survivors."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--area", choices=sorted(TESTS), help="only the faults of one area")
    parser.add_argument("--root", type=Path, default=ROOT, help="checkout to try (default: this)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="faults at once")
    arguments = parser.parse_args()
    mutants = [one for one in read_mutants() if arguments.area in (None, one.area)]
    alive = check(arguments.root.resolve(), mutants, arguments.jobs)
    print(
        f"{len(mutants)} faults: {alive.count(False)} noticed, {alive.count(True)} survived, "
        f"{alive.count(None)} not there any more"
    )
    sys.exit(1 if True in alive else 0)


if __name__ == "__main__":
    main()
