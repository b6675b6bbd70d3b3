"""Uploading what was recorded offline, later and from wherever there is a network.

The upload itself is W&B's own `wandb sync`. What it does not know is which segments belong to one
run: it has no way to append a segment to a run (an option for that is gone since W&B 0.30), and
uploading two segments of a run one after the other leaves the second only. Our segments are stitched
while they are written (see `seglab.engine.tracking.tracking`): the newest one has replayed all before it. So
exactly the newest is uploaded, the older ones are marked as done, and the record says what happened.
"""

from __future__ import annotations

import logging
import os
import re
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from seglab.core.disk.provenance import utc_now
from seglab.core.errors import ConfigError, RunNotFoundError, SeglabError
from seglab.engine.tracking.wandb_mode import (
    find_segments,
    has_credentials,
    is_offline,
    mark_superseded,
)
from seglab.runs import RunRecord, find_runs
from seglab.runs.locate import RECORD_FILE, describe_missing

log = logging.getLogger(__name__)

Action = Literal["upload", "uploaded already", "running", "online", "nothing recorded"]

# Folders of a cross-validation that hold runs of their own.
_NESTED = ("folds", "leak_report")
_AT_ONCE = 20
_REACH_TIMEOUT_S = 10.0
# WANDB_MODE=offline was for the training; the service of this process may serve a training.
_NOT_HANDED_ON = ("WANDB_MODE", "WANDB_SERVICE")
_COLOURS = r"\x1b\[[0-9;]*m"
_URL = r"https?://\S+/runs/{}(?=[\s/?]|$)"


@dataclass(frozen=True)
class SyncItem:
    """One run and what is to be done with it.

    Attributes:
        record: The run.
        action: Only `upload` does anything; the other words say why there is nothing to do.
        segment: Folder that is uploaded.
        superseded: Older offline segments, whose rows are all in `segment` too.
    """

    record: RunRecord
    action: Action
    segment: Path | None = None
    superseded: tuple[Path, ...] = ()


@dataclass(frozen=True)
class SyncTarget:
    """Where runs are uploaded to; None leaves what the run was recorded with."""

    entity: str | None = None
    project: str | None = None

    def options(self) -> list[str]:
        """Return the words of `wandb sync`."""
        pairs = (("--entity", self.entity), ("--project", self.project))
        return [word for name, value in pairs if value for word in (name, value)]


@dataclass(frozen=True)
class SyncResult:
    """How one upload ended: with the address of the run, or with what W&B said."""

    item: SyncItem
    done: bool
    url: str | None = None
    message: str = ""


def plan_sync(folders: Iterable[Path], again: bool = False) -> list[SyncItem]:
    """Return what there is to upload.

    Args:
        folders: Runs, or folders with runs below them; folds of a cross-validation come with it.
        again: Upload runs that were uploaded before once more.

    Raises:
        RunNotFoundError: A folder holds no run.
    """
    found: dict[Path, RunRecord] = {}
    for folder in folders:
        place = folder.parent if folder.name == RECORD_FILE else folder
        runs = list(_all_runs(place))
        if not runs:
            raise RunNotFoundError(describe_missing(place, None))
        found |= {run.resolve(): RunRecord(run) for run in runs}
    return [_plan_one(record, again) for record in found.values()]


def _all_runs(folder: Path) -> Iterator[Path]:
    for run in find_runs(folder):
        yield run
        for name in _NESTED:
            yield from _all_runs(run / name)


def _plan_one(record: RunRecord, again: bool) -> SyncItem:
    facts = record.read()["wandb"] or {}
    segments = find_segments(record.run_dir, facts["id"]) if facts.get("id") else []
    if not segments:
        return SyncItem(record, "nothing recorded")
    newest = segments[-1]
    older = tuple(segment for segment in segments[:-1] if is_offline(segment))
    if not is_offline(newest):
        return SyncItem(record, "online", newest, older)
    if record.effective_status == "running":
        return SyncItem(record, "running", newest, older)
    if _is_uploaded(newest) and not again:
        return SyncItem(record, "uploaded already", newest, older)
    return SyncItem(record, "upload", newest, older)


def require_server() -> None:
    """Check that W&B can be uploaded to, before anything is tried and half done.

    Raises:
        ConfigError: There is no API key.
        SeglabError: The server does not answer.
    """
    if not has_credentials():
        raise ConfigError(
            "W&B: no API key is configured, so nothing can be uploaded. Set WANDB_API_KEY, or run "
            "`wandb login` once; runs stay as they are until then"
        )
    address = _server()
    if not address.startswith(("http://", "https://")):
        raise ConfigError(f"W&B: WANDB_BASE_URL must be an http(s) address, got '{address}'")
    try:
        # Any answer will do, also a refusal; proxies of the environment are respected.
        with urllib.request.urlopen(address, timeout=_REACH_TIMEOUT_S):  # noqa: S310 - checked above
            pass
    except urllib.error.HTTPError:
        return
    except OSError as error:
        reason = getattr(error, "reason", error)
        raise SeglabError(
            f"W&B: {address} does not answer ({reason}); nothing was uploaded. Try again where there "
            "is a network, or set WANDB_BASE_URL if your server is another"
        ) from error


def _server() -> str:
    import wandb

    # The settings object keeps what it read first; the variable may have been set since.
    return os.environ.get("WANDB_BASE_URL") or str(wandb.setup().settings.base_url)


def sync(
    items: Sequence[SyncItem],
    target: SyncTarget | None = None,
    tell: Callable[[SyncResult], None] = lambda _result: None,
) -> list[SyncResult]:
    """Upload runs and write into their records that they are.

    Args:
        items: From `plan_sync`; those without something to upload are passed over.
        target: Where to.
        tell: Called with each result as it comes.

    Returns:
        One result an upload; a failed one keeps its segment waiting, so a second call tries again.
    """
    waiting = [item for item in items if item.action == "upload"]
    results = []
    for start in range(0, len(waiting), _AT_ONCE):
        for result in _upload(waiting[start : start + _AT_ONCE], target or SyncTarget()):
            results.append(result)
            tell(result)
    return results


def _upload(items: Sequence[SyncItem], target: SyncTarget) -> Iterator[SyncResult]:
    segments = {item.segment: item for item in items if item.segment is not None}
    for segment, item in segments.items():
        for older in item.superseded:
            mark_superseded(older)
        _unmark(segment)
    # -m and this interpreter: the `wandb` on PATH may be another one's.
    command = [
        sys.executable,
        "-m",
        "wandb",
        "sync",
        *target.options(),
        *(str(segment.resolve()) for segment in segments),
    ]
    output = _run_quietly(command)
    log.debug("%s", output)
    for segment, item in segments.items():
        # The exit code is 0 also after failures; the mark is only made when all has arrived.
        if not _is_uploaded(segment):
            yield SyncResult(item, done=False, message=_last_words(output))
            continue
        facts = item.record.read()["wandb"] or {}
        url = _find_url(output, str(facts["id"])) or facts.get("url")
        chosen = {"project": target.project} if target.project else {}
        item.record.update(wandb={**facts, **chosen, "url": url, "synced": utc_now()})
        yield SyncResult(item, done=True, url=url)


def _run_quietly(command: Sequence[str]) -> str:
    """Run a command of W&B and return what it said, without colours."""
    environment = {key: value for key, value in os.environ.items() if key not in _NOT_HANDED_ON}
    # The command leaves a log in WANDB_DIR, by default `wandb/` where the user happens to be.
    with tempfile.TemporaryDirectory(prefix="seglab-wandb-sync-") as folder:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            env={**environment, "WANDB_DIR": folder},
        )
    return re.sub(_COLOURS, "", f"{done.stdout}\n{done.stderr}")


def _is_uploaded(segment: Path) -> bool:
    return any(segment.glob("*.wandb.synced"))


def _unmark(segment: Path) -> None:
    for mark in segment.glob("*.wandb.synced"):
        mark.unlink()


def _find_url(output: str, wandb_id: str) -> str | None:
    found = re.search(_URL.format(re.escape(wandb_id)), output)
    return found.group(0) if found else None


def _last_words(output: str) -> str:
    """Return what W&B said last, without its own prefix; the cause stands at the end."""
    lines = [line.removeprefix("wandb:").strip() for line in output.splitlines()]
    told = [line for line in lines if line and not line.startswith("Find logs at")]
    return told[-1][:300] if told else "W&B said nothing"


def check_words(entity: str | None, project: str | None) -> SyncTarget:
    """Return where to upload to.

    Raises:
        ConfigError: A name holds characters that W&B refuses.
    """
    for name, value in (("entity", entity), ("project", project)):
        if value is not None and (not value or re.search(r"[/\\#?%:\s]", value)):
            raise ConfigError(f"--{name}: expected a plain name, got '{value}'")
    return SyncTarget(entity, project)
