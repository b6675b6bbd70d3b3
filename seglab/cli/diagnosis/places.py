"""The folders seglab reads and writes, and where runs are shown."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from seglab.cli.diagnosis.finding import Finding, gibibytes

_LITTLE_DISK = 2 * 2**30


def check_places() -> Iterator[Finding]:
    """Yield whether the configured folders can be used and how much room they have."""
    from omegaconf import OmegaConf

    from seglab.config.language.locate import conf_dir

    yield Finding("places", "configuration", "ok", str(conf_dir()))
    paths = dict(OmegaConf.load(conf_dir() / "paths" / "default.yaml"))
    for name in (str(key) for key in paths if str(key).endswith("_dir")):
        yield check_folder(f"paths.{name}", Path(paths[name]).expanduser().absolute())


def check_folder(name: str, folder: Path) -> Finding:
    """Return whether a folder (or the place where it would be made) is writable and has room."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        return Finding("places", name, "bad", f"{place} is a file", "move it or set another folder")
    if not os.access(place, os.W_OK | os.X_OK):
        advice = f"set {name} or its environment variable to a folder you may write to"
        return Finding("places", name, "bad", f"{place} is not writable", advice)
    free = shutil.disk_usage(place).free
    made = "" if folder.exists() else ", made when needed"
    text = f"{folder}, {gibibytes(free)} free{made}"
    if free < _LITTLE_DISK:
        return Finding("places", name, "note", text, "little room: caches and checkpoints need GiB")
    return Finding("places", name, "ok", text)


def check_tracking() -> Iterator[Finding]:
    """Yield how Weights & Biases would be used by `logger.wandb.mode=auto`."""
    from seglab.engine.tracking.wandb_mode import resolve_mode

    mode, reason = resolve_mode("auto")
    yield Finding("tracking", "W&B", "ok", f"{mode} ({reason})" if reason else mode)
