"""Names of encoders and optimizers, read from the source text of the packages that have them.

Importing timm takes seconds, and a slip in a name should be told in a fraction of one. Every name
the packages register is found (a test compares); where a package's text cannot be read, nothing is
said here and the model's or the optimizer's own builder is the judge.
"""

from __future__ import annotations

import importlib.util
import re
from functools import cache
from pathlib import Path

_REGISTERED = re.compile(r"^@register_model\n(?:@.*\n)*def (\w+)\(", re.MULTILINE)
_QUOTED = re.compile(r"\"([a-z][\w.-]+)\"")
_OPTIMIZER = re.compile(r"['\"]([a-z]\w+)['\"]")
_TIMM_PREFIX = "tu-"


def has_encoder(name: str) -> bool:
    """Whether an encoder of this name (without tag) is registered; true if none can be read."""
    timm = _package("timm")
    files = list((timm / "models").glob("*.py")) if timm else []
    # The likely file first: reading all of them takes a tenth of a second.
    files.sort(key=lambda path: path.stem[:3] != name[:3])
    if any(name in _registered_in(path) for path in files):
        return True
    return not encoder_names() or name in encoder_names()


@cache
def encoder_names() -> frozenset[str]:
    """Return the names an encoder may have, without pretrained tags; empty if none can be read."""
    timm = _package("timm")
    smp = _package("segmentation_models_pytorch")
    if timm is None or smp is None:
        return frozenset()
    files = (timm / "models").glob("*.py")
    registered = {name for path in files for name in _registered_in(path)}
    if not registered:
        return frozenset()
    tables = (path.read_text(encoding="utf-8") for path in (smp / "encoders").glob("*.py"))
    return frozenset(registered | {name for text in tables for name in _QUOTED.findall(text)})


@cache
def optimizer_names() -> frozenset[str]:
    """Return the names of timm's optimizers and some words more; empty if none can be read."""
    timm = _package("timm")
    factory = timm / "optim" / "_optim_factory.py" if timm else None
    if factory is None or not factory.is_file():
        return frozenset()
    return frozenset(_OPTIMIZER.findall(factory.read_text(encoding="utf-8")))


def base_name(encoder: str) -> str:
    """Return an encoder's name without the prefix `tu-` and the tag of its weights."""
    return encoder.removeprefix(_TIMM_PREFIX).partition(".")[0]


@cache
def _registered_in(path: Path) -> frozenset[str]:
    return frozenset(_REGISTERED.findall(path.read_text(encoding="utf-8")))


def _package(name: str) -> Path | None:
    spec = importlib.util.find_spec(name)  # finds a top-level package without importing it
    return Path(spec.origin).parent if spec is not None and spec.origin else None
