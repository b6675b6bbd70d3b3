"""The folder of a study: made once, and resumed only where the same study is asked for."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.core.disk.files import hash_json
from seglab.core.disk.provenance import git_state, package_versions, utc_now
from seglab.core.errors import ConfigError, list_problems
from seglab.runs.studies.study import StudyFolder
from seglab.sweep.workers.sweep import Sweep

# What may change when a study is resumed: none of it changes what a trial's score means.
_FREE = (
    "study",
    "paths",
    "logger",
    "callbacks.progress",
    "tags",
    "notes",
    "run_name",
    "resume",
    "trainer.num_workers",
    "trainer.num_threads",
    "trainer.devices",
)
# Keys that a study begun by a former version lacks, with the value that means what it did then.
_SINCE: dict[str, Any] = {
    "data.bands": None,
    "data.display_bands": None,
    "model.init_from": None,
    "trainer.whole_batch_losses": "approximate",
}
_FIXED_OF_PLAN = ("objectives", "space", "conditional", "sampler", "pruner", "seed")
_MAX_LISTED = 8


def start_study(sweep: Sweep, words: Sequence[str]) -> bool:
    """Make the folder of a study, or check that the one there asks for the same.

    Args:
        sweep: The study.
        words: As typed.

    Returns:
        Whether the study was there before.

    Raises:
        ConfigError: The study there asks for something else; what differs is named.
    """
    folder = StudyFolder(sweep.folder)
    asked = _asked(sweep, words)
    if not folder.exists():
        folder.path.mkdir(parents=True, exist_ok=True)
        study_id = f"{sweep.plan.name}-{secrets.token_hex(3)}"
        folder.write({**asked, "study_id": study_id, "created": utc_now()})
        return False
    before = folder.read()
    _require_same(before, asked, folder)
    # The budget, time-outs and the like are those of the last command.
    folder.write({**before, **asked})
    return True


def _asked(sweep: Sweep, words: Sequence[str]) -> dict[str, Any]:
    base = _base_config(sweep)
    plan = asdict(sweep.plan)
    kept = {name: plan[name] for name in _FIXED_OF_PLAN}
    return {
        "name": sweep.plan.name,
        "words": list(words),
        "experiment": base.get("experiment_name"),
        "base_config": base,
        "fingerprint": hash_json([_without_free(base), kept]),
        "fixed_words": list(sweep.words),
        "jobs": sweep.jobs,
        **kept,
        "n_trials": plan["n_trials"],
        "storage": plan["storage"],
        "confirm": plan["confirm"],
        "test": plan["test"],
        "git": git_state(),
        "packages": package_versions(),
    }


def _base_config(sweep: Sweep) -> dict[str, Any]:
    """Return the configuration that all trials start from, as far as it resolves without a trial."""
    config = OmegaConf.masked_copy(
        sweep.application.config,
        [str(key) for key in sweep.application.config if key not in ("hydra", "study")],
    )
    try:
        content = OmegaConf.to_container(config, resolve=True)
    except OmegaConfBaseException:
        content = OmegaConf.to_container(config, resolve=False)
    return dict(content)  # type: ignore[arg-type]


def _require_same(before: Mapping[str, Any], asked: Mapping[str, Any], folder: StudyFolder) -> None:
    if before["fingerprint"] == asked["fingerprint"]:
        return
    old, new = (
        _SINCE
        | dict(_flat(_without_free(one["base_config"])))
        | {f"study.{name}": one[name] for name in _FIXED_OF_PLAN}
        for one in (before, asked)
    )
    lines = [
        f"{key}: {old.get(key, 'nothing')!r} before, {new.get(key, 'nothing')!r} now"
        for key in sorted(old | new)
        if _as_read(old.get(key)) != _as_read(new.get(key))
    ]
    if not lines:
        return
    raise ConfigError(
        list_problems(
            f"{folder.path} holds a study that asked for something else; give this one another "
            "study.name, or say the same again",
            lines,
            limit=_MAX_LISTED,
        )
    )


def _as_read(value: Any) -> Any:
    """Return a value as it comes back from a file."""
    return list(map(_as_read, value)) if isinstance(value, list | tuple) else value


def _without_free(base: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(_flat(base))
    return {
        key: value
        for key, value in flat.items()
        if not any(key == free or key.startswith(f"{free}.") for free in _FREE)
    }


def _flat(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value
