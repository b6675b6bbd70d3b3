"""Fields and words of `run.json`, and how it is read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.core.errors import DataError, nearest
from seglab.core.sample_size import MIN_REPEATS, MIN_UNITS

SCHEMA_VERSION = 1
KINDS = ("train", "fold", "cv", "trial", "eval")
ENDED = ("finished", "failed", "pruned", "interrupted")
STATUSES = ("running", *ENDED)

# What is not known stays None: every record has every field, so a table of runs has every column.
_FIELDS = (
    "schema_version run_id experiment name kind parent status started ended wall_time_s "
    "wall_time_before_s segment_started resumed config_hash dataset_fingerprint data_fingerprint "
    "fold seed tags notes main_split device execution_plan bands initial_weights extended git packages "
    "plugins pid host pid_started error wandb metrics config"
)
DEFAULTS: dict[str, Any] = dict.fromkeys(_FIELDS.split()) | {
    "schema_version": SCHEMA_VERSION,
    "status": "running",
    "wall_time_s": 0.0,
    "wall_time_before_s": 0.0,
    "resumed": 0,
    "tags": [],
    "notes": "",
    "main_split": "val",
    "extended": [],
    # Where parts of one's own came from, by target.
    "plugins": {},
    "metrics": {},
    "config": {},
}


def read_record(path: Path) -> dict[str, Any]:
    """Return the fields of one `run.json`, those it lacks with their defaults.

    Raises:
        DataError: Not JSON, not a record, or written by a newer seglab.
    """
    try:
        content = json.loads(path.read_bytes())
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}") from error
    if not isinstance(content, dict) or "schema_version" not in content:
        raise DataError(f"{path} is not a run record: no schema_version")
    if content["schema_version"] > SCHEMA_VERSION:
        raise DataError(
            f"{path} has schema {content['schema_version']}, this seglab reads up to "
            f"{SCHEMA_VERSION}; install a newer seglab"
        )
    return complete(content)


def complete(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a record with defaults for those it lacks, scores as defined today."""
    whole = DEFAULTS | dict(content)
    if isinstance(whole["metrics"], dict):
        whole["metrics"] = _as_defined_today(whole["metrics"])
    return whole


def _as_defined_today(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return scores with those left out, or renamed, that meant something else when written.

    - `hd95` was the mean over what was found, and fell as more was missed; it is `hd95_found`.
    - Intervals were given of any number of images and folds.
    """
    found: dict[str, Any] = {}
    for key, value in metrics.items():
        split, _, name = key.partition("/")
        if name == "hd95" and metrics.get(f"{key}_missed") and f"{key}_penalty" not in metrics:
            found |= {key: None, f"{key}_found": value}
        elif name.partition("/")[0].endswith(("_low", "_high")):
            found[key] = value if _enough(metrics, split) else None
        else:
            found[key] = value
    return found


def _enough(metrics: Mapping[str, Any], split: str) -> bool:
    for key, least in (("num_folds", MIN_REPEATS), (f"{split}/num_images_averaged", MIN_UNITS)):
        count = metrics.get(key)
        if isinstance(count, int | float):
            return count >= least
    return True


def data_of(content: Mapping[str, Any]) -> str | None:
    """Return what runs on the same data share: the data's fingerprint, whatever an audit flagged since."""
    found = content.get("data_fingerprint") or content["dataset_fingerprint"]
    return None if found is None else str(found)


def unknown_fields(fields: Mapping[str, Any]) -> list[str]:
    """Return one problem for each name that is no field of a record."""
    return [
        f"unknown field {name!r}{nearest(name, DEFAULTS)}"
        for name in fields
        if name not in DEFAULTS
    ]
