"""`seglab wandb sync` says what it would do, and why it cannot."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglab.cli.runs import wandb as command
from seglab.engine.tracking import wandb_sync
from seglab.engine.tracking.wandb_sync import SyncItem, SyncResult
from seglab.runs import RunRecord

Words = Callable[..., tuple[int, str, str]]


@pytest.fixture
def words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Words:
    """Run `seglab wandb WORDS` without a key; return code, output and errors."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE", "SEGLAB_RUNS"):
        monkeypatch.delenv(variable, raising=False)

    def run(*given: str) -> tuple[int, str, str]:
        from seglab.cli.base.reporting import guarded

        try:
            code = guarded("seglab wandb", lambda: command.run(list(given)))
        except SystemExit as end:
            code = int(end.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


@pytest.fixture
def record(tmp_path: Path) -> RunRecord:
    """A run with one offline segment that waits."""
    made = RunRecord.create(
        tmp_path / "runs" / "e" / "r1",
        experiment="e",
        kind="train",
        config={},
        config_yaml="",
        git={"commit": "abc"},
        packages={"x": "1"},
        wandb={"id": "r1", "mode": "offline", "url": None},
    )
    made.finish("finished")
    segment = made.run_dir / "wandb" / "offline-run-20250101_000000-r1"
    segment.mkdir(parents=True)
    (segment / "run-r1.wandb").touch()
    return made


def test_dry_run_lists_and_changes_nothing(words: Words, record: RunRecord) -> None:
    before = sorted(path.name for path in record.run_dir.rglob("*"))
    code, out, _ = words("sync", "--dry-run")
    assert code == 0
    assert out.splitlines() == [
        "r1: upload wandb/offline-run-20250101_000000-r1",
        "1 runs would be uploaded; nothing was done (--dry-run)",
    ]
    assert sorted(path.name for path in record.run_dir.rglob("*")) == before
    assert words("sync", "--dry-run", "r1")[1] == out
    assert words("sync", "--dry-run", str(record.run_dir))[1] == out


def test_without_a_key_it_refuses(words: Words, record: RunRecord) -> None:
    code, _, err = words("sync")
    assert code == 2
    assert "no API key is configured" in err
    assert "WANDB_API_KEY" in err
    assert "synced" not in record.read()["wandb"]


def test_nothing_to_upload_needs_no_key(words: Words, record: RunRecord) -> None:
    (segment,) = (record.run_dir / "wandb").iterdir()
    (segment / "run-r1.wandb.synced").touch()
    code, out, _ = words("sync")
    assert (code, out.splitlines()) == (0, ["r1: uploaded already", "nothing to upload"])


def test_results_are_told_and_failures_end_in_1(
    words: Words, record: RunRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def stand_in(items: list[SyncItem], target: Any, tell: Callable[[SyncResult], None]) -> Any:
        asked.append(target)
        results = [
            SyncResult(items[0], True, "https://w/runs/r1"),
            SyncResult(items[0], False, message="refused"),
        ]
        for result in results:
            tell(result)
        return results

    monkeypatch.setattr(wandb_sync, "require_server", lambda: None)
    monkeypatch.setattr(wandb_sync, "sync", stand_in)
    code, out, err = words("sync", "--entity", "team", "--project", "p")
    assert code == 1
    assert "r1: uploaded https://w/runs/r1" in out
    assert "1 of 2 runs uploaded" in out
    assert err == "r1: not uploaded; refused\n"
    assert (asked[0].entity, asked[0].project) == ("team", "p")


def test_wrong_words(words: Words, record: RunRecord) -> None:
    code, _, err = words("snyc")
    assert (code, "did you mean 'sync'" in err) == (2, True)
    code, _, err = words("sync", "r2")
    assert (code, "no run record at r2" in err) == (2, True)
    code, _, err = words("sync", "--project", "a/b")
    assert (code, "expected a plain name" in err) == (2, True)
    assert words()[0] == 2


def test_help_says_what_is_needed(words: Words) -> None:
    code, out, _ = words("sync", "--help")
    assert code == 0
    assert "--dry-run" in out
    assert "WANDB_API_KEY" in out


def test_looking_imports_no_tracker(record: RunRecord, tmp_path: Path) -> None:
    import subprocess

    code = "import sys, seglab.cli.runs.wandb as w; w.build_parser(); print('wandb' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "False", done.stderr
