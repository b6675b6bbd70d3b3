"""Where the code of parts of one's own came from, in the record; and whether it is still the same."""

from __future__ import annotations

import sys
from typing import Any

from omegaconf import DictConfig

from seglab.config.own_parts import own_targets
from seglab.core.disk.provenance import code_origin
from seglab.experiment.prepare.resolved import resolved
from seglab.runs import RunRecord


def code_origins(cfg: DictConfig) -> dict[str, dict[str, Any]]:
    """Return package, file, commit and hash of each part of one's own that is imported, by target."""
    targets = own_targets(resolved(cfg))
    return {one: code_origin(one) for one in targets if one.rpartition(".")[0] in sys.modules}


def changed_code(record: RunRecord, cfg: DictConfig) -> str | None:
    """Return one sentence on the parts whose code is not what the run was trained with.

    Args:
        record: The run.
        cfg: Its configuration, whose parts are built already.
    """
    former, now = record.read()["plugins"], code_origins(cfg)
    changed: dict[str, list[str]] = {}
    for target, origin in now.items():
        if target in former and former[target]["sha256"] != origin["sha256"]:
            how = f"{_name(former[target])} then, {_name(origin)} now"
            changed.setdefault(how, []).append(target)
    if not changed:
        return None
    listed = "; ".join(f"{', '.join(targets)} ({how})" for how, targets in changed.items())
    return f"warning: the code has changed since the run: {listed}"


def _name(origin: dict[str, Any]) -> str:
    version = f"{origin['distribution']} {origin['version']}, " if origin["version"] else ""
    commit = f"commit {origin['commit'][:8]}, " if origin["commit"] else ""
    return f"{version}{commit}sha256 {str(origin['sha256'])[:8]} of {origin['file']}"
