"""The shares of one prediction as processes: of this machine, SLURM jobs, or tasks of a Ray cluster.

Each is the command with `shard=i/n`, so what a launcher does can be done by hand. The folder of predictions
must be one that all of them see.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from seglab.bundle.aliases import locate_bundle, split_reference
from seglab.config.language.locate import conf_dir
from seglab.core.cluster.jobs import SUBMIT, Handle, Work
from seglab.core.disk.urls import is_url, local_path
from seglab.core.errors import ConfigError, SeglabError, list_problems, nearest
from seglab.deploy.predict.ledger import read_done
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.progress import Progress

_POLL_S, _LEAVE_S = 0.5, 20.0
_SKIPPED = 1
_OF_THE_LAUNCH = {"shards", "shard", "launcher", "launcher_options"}
# Of the launchers of sweeps: how many jobs are sent is `shards`, and each runs one process.
_OF_SWEEPS = "_target_ jobs workers devices_per_trial trials_per_gpu memory_gb preload".split()
# A bundle is run by the processor.
_GPUS = ("gpus_per_node", "gpus_per_worker")
_PLACES = ("bundle", "input", "output")


class ShareError(SeglabError, RuntimeError):
    """A share of the files was not gone through to its end."""


@dataclass(frozen=True)
class Share:
    """A share of the work, wherever it runs.

    Attributes:
        words: Of the command.
        log: Where what it says goes.
        folder: Current folder.
    """

    words: tuple[str, ...]
    log: Path
    folder: Path

    def start(self) -> subprocess.Popen[bytes]:
        """Start it on this machine."""
        with self.log.open("wb") as stream:
            return subprocess.Popen(
                [sys.executable, "-m", "seglab.cli", "predict", *self.words],
                stdout=stream,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
            )

    def __call__(self) -> None:
        """Run it to its end.

        Raises:
            ShareError: It failed; files that were skipped are no failure.
        """
        code = self.start().wait()
        if code not in (0, _SKIPPED):
            raise ShareError(self.why(code))

    def why(self, code: int) -> str:
        """Return how it ended, with the last line it said."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        return f"{self.words[-1]} ended with code {code}: {lines[-1] if lines else 'no message'}"


class _Process:
    """A share as a process of this machine; a `Handle`."""

    def __init__(self, share: Share) -> None:
        self.name = share.words[-1]
        self._share, self._process = share, share.start()

    def done(self) -> bool:
        return self._process.poll() is not None

    def error(self) -> str | None:
        code = self._process.poll()
        return None if code in (None, 0, _SKIPPED) else self._share.why(code or 0)

    def cancel(self) -> None:
        self._process.terminate()
        self._process.wait(_LEAVE_S)


class _Ended(NamedTuple):
    """What came of the shares: files that are done, and what failed."""

    done: int
    failures: list[str]


def run_shares(options: PredictFilesOptions, total: int) -> int:
    """Start all shares and wait for them; return how many files they did.

    Args:
        options: With `shards` and `launcher`.
        total: Number of files, for the progress.

    Raises:
        ConfigError: The launcher is not installed, cannot be reached, or has no such option.
        ShareError: A share failed; the same words go on with what is left.
    """
    output = local_path(options.output)
    folder = output / "done"
    folder.mkdir(parents=True, exist_ok=True)
    submit = _submitter(options, output)
    before = len(read_done(output))
    progress = Progress(max(total - before, 0))
    handles: list[Handle] = []
    try:
        handles += [submit(share) for share in shares_of(options)]
        ended = _wait(handles, output, before, progress)
    finally:
        progress.end()
        for handle in handles:
            if not handle.done():
                handle.cancel()
    if ended.failures:
        raise ShareError(
            list_problems("shares failed; the same words go on with what is left", ended.failures)
        )
    return ended.done


def shares_of(options: PredictFilesOptions) -> list[Share]:
    """Return the command of each share; the cores of this machine are split among those on it."""
    chosen = options.to_dict()
    for key in _PLACES:
        if not is_url(chosen[key]):
            chosen[key] = str(local_path(chosen[key]))
    if split_reference(options.bundle):
        chosen["bundle"] = str(locate_bundle(options.bundle))  # one for all, whatever is promoted
    if options.launcher == "local" and not options.threads:
        chosen["threads"] = max(1, (os.cpu_count() or 1) // options.shards)
    default = PredictFilesOptions(bundle="", input="").to_dict()
    words = [
        f"{key}={value if isinstance(value, str) else json.dumps(value)}"
        for key, value in chosen.items()
        if key not in _OF_THE_LAUNCH and value != default[key]
    ]
    logs = local_path(options.output) / "done"
    numbers = range(1, options.shards + 1)
    return [
        Share(
            (*words, f"shard={number}/{options.shards}"),
            logs / f"{number}-of-{options.shards}.log",
            Path.cwd(),
        )
        for number in numbers
    ]


def _submitter(options: PredictFilesOptions, output: Path) -> Callable[[Share], Handle]:
    if options.launcher == "local":
        if options.launcher_options:
            raise ConfigError("launcher_options: the launcher local has none")
        return _Process
    path = conf_dir() / "hydra" / "launcher" / f"{options.launcher}.yaml"
    declared: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    known = {key: value for key, value in declared.items() if key not in _OF_SWEEPS} | {
        key: 0 for key in _GPUS if key in declared
    }
    unknown = [key for key in options.launcher_options if key not in known]
    if unknown:
        raise ConfigError(
            [
                f"launcher_options: {options.launcher} has no {key}{nearest(key, known)}; it takes "
                f"{', '.join(known)}"
                for key in unknown
            ]
        )
    submit: Callable[[Work], Handle] = SUBMIT[options.launcher](
        "seglab-predict", output / "done", {**known, **options.launcher_options}
    )
    return submit


def _wait(handles: list[Handle], output: Path, before: int, progress: Progress) -> _Ended:
    """Tell the progress until all have ended."""
    told = before
    while True:
        ended = all(handle.done() for handle in handles)
        done = len(read_done(output))
        progress.advance(done - told)
        told = done
        if ended:
            failures = [f"{one.name}: {why}" for one in handles if (why := one.error())]
            return _Ended(done - before, failures)
        time.sleep(_POLL_S)
