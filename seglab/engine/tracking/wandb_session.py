"""Opening one W&B run: settings that never ask or block, and a fall-back to offline."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger(__name__)

_INIT_TIMEOUT_S = 20.0
# finish() waits for uploads without end by default; what is late can be synchronised afterwards.
_FINISH_TIMEOUT_S = 120.0
_LONGEST_TAG = 64


@dataclass(frozen=True)
class WandbConfig:
    """Where and how one run is shown.

    Args:
        run_dir: Folder of the run record; W&B writes into its `wandb/`.
        run_id: Id of the run; also the W&B id, so a resume finds it again.
        mode: auto (online where a key is configured), online, offline or disabled.
        project: W&B project.
        entity: User or team; None: the default of the account.
        group: Study or cross-validation this run belongs to.
        name: Name shown; None: the run id.
        tags: Free words.
        job_type: train, fold or trial.
        notes: Free text.
        log_model: Whether `log_artifact_files("model", ...)` does anything.
        init_timeout_s: How long an unreachable server may delay the start.
    """

    run_dir: Path
    run_id: str
    mode: str = "auto"
    project: str = "seglab"
    entity: str | None = None
    group: str | None = None
    name: str | None = None
    tags: tuple[str, ...] = ()
    job_type: str = "train"
    notes: str = ""
    log_model: bool = True
    init_timeout_s: float = _INIT_TIMEOUT_S

    @property
    def wandb_id(self) -> str:
        """The run id without the characters that W&B refuses."""
        return "".join("-" if char in ":;,#?/'\"\\ %" else char for char in self.run_id)[:128]


def open_run(config: WandbConfig, mode: str, content: Mapping[str, Any]) -> tuple[Any, str]:
    """Open a new run in the mode asked for, else offline, else offline with a fresh W&B service.

    Args:
        config: Where and how.
        mode: online or offline.
        content: The configuration of the training; values JSON does not know become text.

    Returns:
        The `wandb.Run`, or None where nothing worked, and the mode it is in: online, offline or
        disabled.
    """
    plain = json.loads(json.dumps(content, default=str))
    attempts = ["online", "offline", "fresh"] if mode == "online" else ["offline", "fresh"]
    before = _folders(config)
    for number, attempt in enumerate(attempts):
        try:
            run = _attempt(config, attempt, plain)
        except Exception as error:  # noqa: BLE001 - W&B raises anything; the run must go on
            # The first error is the cause; the next one is often only its echo.
            level = logging.INFO if number else logging.WARNING
            log.log(level, "W&B did not start (%s): %s", attempt, short_error(error))
            # What a failed start leaves is no segment: it holds no rows.
            for folder in _folders(config) - before:
                shutil.rmtree(folder, ignore_errors=True)
            continue
        return run, "online" if attempt == "online" else "offline"
    log.warning("W&B is off for this run; the record in %s is complete", config.run_dir)
    return None, "disabled"


def _folders(config: WandbConfig) -> set[Path]:
    return set((config.run_dir / "wandb").glob(f"*run-*-{config.wandb_id}*"))


def _attempt(config: WandbConfig, attempt: str, content: dict[str, Any]) -> Any:
    import wandb

    if attempt == "fresh":
        # A failed start leaves the run id "in use" in the service until that restarts.
        wandb.teardown()
    return wandb.init(config=content, **_init_arguments(config, attempt == "online"))


def _init_arguments(config: WandbConfig, online: bool) -> dict[str, Any]:
    import wandb

    wanted: dict[str, Any] = {
        # Captured output breaks progress bars; the log file of the run is better.
        "console": "off",
        "silent": True,
        "save_code": False,
        "init_timeout": config.init_timeout_s,
        "finish_timeout": _FINISH_TIMEOUT_S,
    }
    known = {key: value for key, value in wanted.items() if key in wandb.Settings.model_fields}
    return {
        "mode": "online" if online else "offline",
        "dir": str(config.run_dir),
        "id": config.wandb_id,
        "resume": "allow" if online else None,
        # The default hands out the run that is still open in this process, if there is one.
        "reinit": "create_new",
        "project": _project(config.project),
        "entity": config.entity,
        "group": config.group,
        "name": config.name or config.run_id,
        "tags": _tags(config.tags),
        "job_type": config.job_type,
        "notes": config.notes or None,
        "settings": wandb.Settings(**known),
    }


def _tags(tags: Sequence[str]) -> list[str]:
    """Return tags as W&B takes them; one that is empty or too long would keep the run from starting."""
    kept = [tag[:_LONGEST_TAG] for tag in tags if tag]
    if kept != list(tags):
        log.warning(
            "W&B takes tags of 1 to %d characters; the run is tagged %s", _LONGEST_TAG, kept
        )
    return list(dict.fromkeys(kept))


def _project(name: str) -> str:
    clean = re.sub(r"[/\\#?%:]", "-", name)[:128]
    if clean != name:
        log.warning("W&B takes no project named %r; the run goes to %r", name, clean)
    return clean


def short_error(error: BaseException) -> str:
    """Return type and first line of an error; W&B messages go on for pages."""
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__
