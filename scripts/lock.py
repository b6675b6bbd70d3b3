"""Write constraints.txt: the versions that `make demo` and `make test` install.

Asks pip which versions it would take today for everything that pyproject.toml names, extras included,
and writes them down. torch, torchvision and the libraries they bring for one kind of accelerator are
left open: which build of torch is right is a matter of the machine. Nothing is installed.

With `--compare` nothing is written: prints which installed packages are not those of the lock, so that
`make test-latest` can tell what is new.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOCK = ROOT / "constraints.txt"
# Needed before anything else is there: they build the sources that have no wheel, and seglab itself.
BUILD_TOOLS = ("pip", "setuptools", "hatchling", "editables")
# Chosen by the machine, together with torch.
_OPEN = re.compile(r"(torch|torchvision|triton|nvidia-.*|cuda-.*|seglab)")
_HEADER = """\
# Versions that `make demo` and `make test` install; written by `make lock`, see CONTRIBUTING.md.
# `pip install seglab` takes the open ranges of pyproject.toml instead.
"""


def normal(name: str) -> str:
    """Return a package's name as indexes spell it: lower case, runs of `-_.` as one hyphen."""
    return re.sub(r"[-_.]+", "-", name).lower()


def is_open(name: str) -> bool:
    """Tell whether a package stays out of the lock."""
    return _OPEN.fullmatch(normal(name)) is not None


def read_lock(text: str) -> dict[str, str]:
    """Return version by package of the text of a lock."""
    lines = (line for line in text.splitlines() if line and not line.startswith("#"))
    pairs = (line.split("==", 1) for line in lines)
    return {normal(name): version for name, version in pairs}


def write_lock(versions: dict[str, str]) -> str:
    """Return the text of a lock, one package a line, in alphabetical order."""
    return _HEADER + "".join(f"{name}=={versions[name]}\n" for name in sorted(versions))


def newest_versions() -> dict[str, str]:
    """Return the versions that pip would install now, without those that stay open."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "install",
                "--quiet",
                "--dry-run",
                "--ignore-installed",
                "--report",
                report,
                f"{ROOT}[all]",
                *BUILD_TOOLS,
            ],
            check=True,
        )
        installs = json.loads(report.read_text(encoding="utf-8"))["install"]
    found = {normal(one["metadata"]["name"]): one["metadata"]["version"] for one in installs}
    return {name: version for name, version in found.items() if not is_open(name)}


def differences(locked: dict[str, str], installed: dict[str, str]) -> list[str]:
    """Return a line for each package whose installed version is not the locked one."""
    return [
        f"{name}: {locked.get(name, 'not locked')} -> {version}"
        for name, version in sorted(installed.items())
        if not is_open(name) and locked.get(name) != version
    ]


def installed_versions() -> dict[str, str]:
    """Return what is installed beside this interpreter."""
    found: Iterable[importlib.metadata.Distribution] = importlib.metadata.distributions()
    return {normal(one.metadata["Name"]): one.version for one in found}


def main() -> None:
    """Write the lock, or compare with it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument(
        "--compare",
        action="store_true",
        help="print installed packages that the lock does not hold",
    )
    arguments = parser.parse_args()
    locked = read_lock(LOCK.read_text(encoding="utf-8")) if LOCK.is_file() else {}
    if arguments.compare:
        lines = differences(locked, installed_versions())
        print("\n".join(lines) or f"every installed package is the one of {LOCK.name}")
        return
    versions = newest_versions()
    LOCK.write_text(write_lock(versions), encoding="utf-8")
    print("\n".join(differences(locked, versions)) or "no version changed")


if __name__ == "__main__":
    main()
