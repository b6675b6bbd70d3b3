"""Fetch the wheels that a machine without network needs for `scripts/gpu_check.sh`.

Run it on a machine with network, then take the folder along. Versions are those of constraints.txt.
What such a machine has anyway (torch with CUDA, Lightning, timm, torchmetrics, NumPy, OpenCV, pytest
and what they bring) is left out, and so is W&B, which the check does not need.

Example: python scripts/gpu_wheels.py wheels --python 3.12
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

CONSTRAINTS = Path(__file__).resolve().parents[1] / "constraints.txt"
# Each is a dependency of seglab or of one of them; the last line is the stock recipe's.
NAMES = (
    *("hydra-core", "omegaconf", "antlr4-python3-runtime", "segmentation-models-pytorch"),
    *("kornia", "kornia-rs", "optuna", "alembic", "mako", "sqlalchemy", "colorlog", "cmaes"),
    *("iterative-stratification", "imagehash", "pywavelets", "plotly", "narwhals", "lazy-loader"),
    *("defusedxml",),
    *("pydantic", "pydantic-core", "annotated-types", "typing-inspection", "typing-extensions"),
    *("pytest-timeout", "hypothesis", "sortedcontainers", "cloudpickle"),
    *("albumentations", "albucore", "stringzilla", "simsimd"),
)
# There is no wheel of it anywhere: it is built here, of pure Python.
FROM_SOURCE = ("antlr4-python3-runtime",)
# pip takes a tag by its exact name, so a wheel for an older C library has to be asked for too.
GLIBC = (39, 38, 36, 35, 34, 31, 28, 27, 24, 17, 12, 5)
MIB = 2**20


def pinned(names: Sequence[str], constraints: Path = CONSTRAINTS) -> list[str]:
    """Return `name==version` of each name.

    Raises:
        SystemExit: A name has no version in the file.
    """
    lines = [line for line in constraints.read_text().splitlines() if "==" in line]
    versions = dict(line.split("==") for line in lines)
    missing = [name for name in names if name not in versions]
    if missing:
        raise SystemExit(f"{constraints.name} has no version of {', '.join(missing)}")
    return [f"{name}=={versions[name]}" for name in names]


def fetch(folder: Path, python: str, machine: str) -> None:
    """Download the wheels, and build those of which there are none.

    Raises:
        SystemExit: pip could not.
    """
    platforms = [f"manylinux_2_{minor}_{machine}" for minor in GLIBC]
    platforms += [f"manylinux2014_{machine}", f"manylinux1_{machine}", f"linux_{machine}"]
    tags = [word for platform in platforms for word in ("--platform", platform)]
    where = ["--no-deps", "-qq", "--disable-pip-version-check"]
    target = ["--only-binary=:all:", "--python-version", python, "--implementation", "cp", *tags]
    binary = pinned([name for name in NAMES if name not in FROM_SOURCE])
    for words in (
        ["download", *where, *target, "--dest", str(folder), *binary],
        ["wheel", *where, "--wheel-dir", str(folder), *pinned(FROM_SOURCE)],
    ):
        done = subprocess.run([sys.executable, "-m", "pip", *words], check=False)
        if done.returncode:
            raise SystemExit(f"pip {words[0]} ended with code {done.returncode}; see above")


def unexpected(folder: Path) -> list[str]:
    """Return what is wrong with the names in a folder: wheels missing, or there twice."""
    names = [re.sub(r"[-_.]+", "-", path.name.split("-")[0]).lower() for path in folder.iterdir()]
    problems = [f"{name}: no wheel" for name in NAMES if name not in names]
    return problems + [f"{one}: several files" for one in sorted({*names}) if names.count(one) > 1]


def main() -> None:
    """Fetch, then say how large the folder is; exit 1 when it is too large or incomplete."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="for the wheels; made anew or empty")
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    parser.add_argument("--python", default=own, help=f"of the machine with the GPU ({own})")
    parser.add_argument("--machine", default="x86_64", help="its processor (x86_64)")
    parser.add_argument("--limit", type=float, default=64.0, help="MiB in all (64)")
    arguments = parser.parse_args()
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise SystemExit(f"{folder} is not empty; two versions of a wheel would not install")
    fetch(folder, arguments.python, arguments.machine)
    problems = unexpected(folder)
    size = sum(path.stat().st_size for path in folder.iterdir()) / MIB
    if size > arguments.limit:
        problems.append(f"{size:.1f} MiB are more than {arguments.limit:g}")
    print(f"{folder}: {len(list(folder.iterdir()))} wheels for Python {arguments.python}, ", end="")
    print(f"{size:.1f} MiB")
    if problems:
        raise SystemExit("\n".join(problems))


if __name__ == "__main__":
    main()
