"""Where a result came from: code, packages, machine."""

from __future__ import annotations

import datetime
import inspect
import platform
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from seglab.core.disk.files import sha256_bytes

PACKAGES = (
    "torch",
    "torchvision",
    "pytorch-lightning",
    "torchmetrics",
    "timm",
    "kornia",
    "segmentation-models-pytorch",
    "hydra-core",
    "omegaconf",
    "optuna",
    "wandb",
    "numpy",
)


def package_versions(names: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return installed versions by distribution name, without importing the packages."""
    versions = {"python": platform.python_version()}
    for name in ("seglab", *names):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return versions


def code_origin(target: str) -> dict[str, Any]:
    """Return where the code of an imported target comes from.

    Args:
        target: Such as `mylab.TinyNet`; its module is imported already.

    Returns:
        `distribution` and `version` of its package, None where it is not installed; `file`, its
        `sha256`, and `commit` and `dirty` of the checkout around it, None where there is none.
    """
    module = sys.modules[target.rpartition(".")[0]]
    found = getattr(module, target.rpartition(".")[2])
    try:
        source = Path(inspect.getsourcefile(found) or module.__file__ or "")
    except TypeError:
        source = Path(module.__file__ or "")
    package = target.partition(".")[0]
    names = metadata.packages_distributions().get(package)
    return {
        "distribution": names[0] if names else None,
        "version": metadata.version(names[0]) if names else None,
        "file": str(source.resolve()) if source.is_file() else None,
        "sha256": sha256_bytes(source.read_bytes()) if source.is_file() else None,
        **(git_state(source.parent) if source.is_file() else {"commit": None, "dirty": None}),
    }


def git_state(folder: Path | None = None) -> dict[str, str | bool | None]:
    """Return commit and dirty flag of the checkout around `folder`; both None outside a checkout."""
    cwd = folder or Path(__file__).parent
    commit = _git(cwd, "rev-parse", "HEAD")
    status = _git(cwd, "status", "--porcelain", "--untracked-files=no") if commit else None
    return {"commit": commit, "dirty": None if status is None else bool(status)}


def _git(cwd: Path, *arguments: str) -> str | None:
    command = ["git", "-C", str(cwd), *arguments]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def utc_now() -> str:
    """Return the time as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
