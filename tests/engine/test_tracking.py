"""The W&B view: what it writes is read back from the `.wandb` files with W&B's own reader."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import wandb

from seglab.core.errors import ConfigError
from seglab.engine.tracking import tracking
from seglab.engine.tracking.tracking import EXIT_CODES, GLOBAL_STEP, WandbView
from seglab.engine.tracking.wandb_mode import find_segments, has_credentials, resolve_mode
from seglab.engine.tracking.wandb_session import WandbConfig
from seglab.engine.tracking.wandb_steps import StepLog
from seglab.runs import SamplePrediction

CHECKOUT = Path(__file__).resolve().parents[2]
NAMES = ("road", "car", "sky")


@pytest.fixture(autouse=True)
def _own_wandb_folders(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[None]:
    base = tmp_path_factory.mktemp("wandb-home")
    for variable in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR", "WANDB_ARTIFACT_DIR"):
        monkeypatch.setenv(variable, str(base / variable.lower()))
    monkeypatch.setenv("NETRC", str(base / "netrc"))
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)
    yield
    wandb.teardown()


def _view(run_dir: Path, run_id: str = "r1", **more: Any) -> WandbView:
    return WandbView(WandbConfig(run_dir=run_dir, run_id=run_id, mode="offline", **more))


def _inspect(segment: Path, *options: str) -> str:
    command = [sys.executable, "-m", "wandb", "leet", "inspect", *options, str(segment)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if "No such command" in done.stderr:
        pytest.skip("this wandb has no `leet inspect` to read runs with")
    assert done.returncode == 0, done.stderr
    return done.stdout


def _records(segment: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in _inspect(segment, "--json").splitlines()]


def _summary(segment: Path) -> dict[str, Any]:
    return json.loads(_inspect(segment, "--summary", "--json"))


def _of(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record[kind] for record in records if record["type"] == kind]


def _history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [item["item"] for item in _of(records, "history")]


def _segments(run_dir: Path, run_id: str = "r1") -> list[Path]:
    return find_segments(run_dir, run_id)


def _samples() -> list[SamplePrediction]:
    mask = np.zeros((24, 32), np.uint8)
    mask[:4], mask[10:] = 255, 1
    image = np.full((48, 64, 3), 90, np.uint8)
    return [SamplePrediction(f"s{i}", image, mask, (mask > 0).astype(np.uint8)) for i in range(2)]


def test_everything_logged_is_in_the_file(tmp_path: Path) -> None:
    model = tmp_path / "best.ckpt"
    model.write_bytes(b"weights")
    view = _view(tmp_path, name="shown", group="cv1", tags=("night",), job_type="fold")
    view.start({"optimizer": {"lr": 0.1}, "root": Path("data")})
    for step in (20, 40):
        view.log_step({"train/loss": 1.0 / step, "lr/all": 0.1}, step)
    for epoch, miou in enumerate((0.5, 0.3)):
        row = {
            "epoch": epoch,
            "step": 40 + epoch,
            "train/loss": 0.9,
            "val/miou": miou,
            "val/loss": 1.0 + epoch,
            "val/iou/car": float("nan"),
            "seconds": None,
        }
        view.log_epoch(row, 40 + epoch)
        view.log_overlays("val", _samples(), NAMES, 255, 40 + epoch)
    rows = [{"class": "road", "iou": 0.5}, {"class": "car", "iou": np.nan}]
    view.log_table("tables/classes", rows, tmp_path)
    view.describe({"architecture": "unet", "kind": "fold"})
    view.describe({"device": "cpu"})
    view.log_confusion("val", np.array([[5, 1, 0], [2, 2, 0], [0, 0, 0]]), NAMES)
    view.log_artifact_files("model", "r1:best", [model], aliases=["best"])
    view.log_summary({"val/miou": 0.5, "val/iou/car": None})
    view.finish("finished")
    (segment,) = _segments(tmp_path)
    records, summary = _records(segment), _summary(segment)

    assert summary["config"]["optimizer"] == {"lr": 0.1}
    assert summary["config"]["root"] == "data"
    facts = {"architecture": "unet", "kind": "fold", "device": "cpu"}
    assert summary["config"]["facts"] == facts
    assert (summary["run_id"], summary["exit_code"], summary["state"]) == ("r1", 0, "finished")
    run = _of(records, "run")[0]
    assert run["display_name"] == "shown"
    assert (run["run_group"], run["job_type"], run["tags"]) == ("cv1", "fold", ["night"])

    steps = [row for row in _history(records) if "train/loss_step" in row]
    assert [(row[GLOBAL_STEP], row["train/loss_step"]) for row in steps] == [
        (20, 0.05),
        (40, 0.025),
    ]
    epochs = [row for row in _history(records) if "val/miou" in row]
    assert [(row["epoch"], row[GLOBAL_STEP], row["val/miou"]) for row in epochs] == [
        (0, 40, 0.5),
        (1, 41, 0.3),
    ]
    assert not any("val/iou/car" in row or "seconds" in row for row in epochs)

    shown = summary["summary"]
    assert shown["val/miou"] == {"max": 0.5}
    assert shown["val/loss"] == {"min": 1.0}
    assert shown["final/val/miou"] == 0.5
    assert "final/val/iou/car" not in shown
    assert shown["seglab/status"] == "finished"

    axes = {metric["name"]: metric.get("step_metric") for metric in _of(records, "metric")}
    assert axes["val/miou"] == axes["train/loss"] == "epoch"
    assert axes["train/loss_step"] == axes["lr/all"] == axes["epoch"] == GLOBAL_STEP

    overlays = [row for row in _history(records) if "overlays/val._type" in row]
    assert [row[GLOBAL_STEP] for row in overlays] == [40, 41], "same key again: a slider"
    assert overlays[0]["overlays/val.count"] == 2
    assert overlays[0]["overlays/val.captions"] == ["s0", "s1"]
    masks = overlays[0]["overlays/val.all_masks"]
    assert [set(item) for item in masks] == [{"ground_truth", "prediction"}] * 2
    for item in masks:
        for mask in item.values():
            assert (segment / "files" / mask["path"]).is_file()
    labels = {
        key: value["value"]
        for record in _of(records, "config")
        for key, value in record["update"].get("_wandb", {}).get("mask/class_labels", {}).items()
    }
    expected = {"0": "road", "1": "car", "2": "sky", "255": "ignored"}
    assert labels == {
        "overlays/val_wandb_delimeter_ground_truth": expected,
        "overlays/val_wandb_delimeter_prediction": expected,
    }

    table = json.loads(next(segment.glob("files/media/table/tables/classes*")).read_text())
    assert table == {"columns": ["class", "iou"], "data": [["road", 0.5], ["car", None]]}
    pairs = json.loads(next(segment.glob("files/media/table/confusion/val_table*")).read_text())
    assert ["car", "road", 2, 0.5] in pairs["data"]
    assert len(pairs["data"]) == 4

    artifacts = {artifact["name"]: artifact for artifact in _of(records, "artifact")}
    best = artifacts["r1-best"]
    assert best["type"] == "model"
    assert "best" in best["aliases"]
    (entry,) = best["manifest"]["contents"]
    assert entry["local_path"] == str(model), "referred to, not copied"


def test_two_runs_in_one_process_are_two_runs(tmp_path: Path) -> None:
    first, second = _view(tmp_path / "a", "r1"), _view(tmp_path / "b", "r2")
    first.start({"n": 1})
    second.start({"n": 2})
    first.log_step({"x": 1.0}, 1)
    second.log_step({"x": 2.0}, 1)
    second.finish("failed")
    first.finish("finished")
    for folder, run_id, value, code in (("a", "r1", 1, 0), ("b", "r2", 2, 1)):
        (segment,) = _segments(tmp_path / folder, run_id)
        summary = _summary(segment)
        assert summary["run_id"] == run_id
        assert summary["config"] == {"n": value}
        assert summary["summary"]["x"] == value
        assert summary["exit_code"] == code


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [(ValueError, "failed", 1), (KeyboardInterrupt, "interrupted", 255)],
)
def test_an_exception_inside_is_shown(
    tmp_path: Path, error: type[BaseException], status: str, code: int
) -> None:
    def train() -> None:
        with _view(tmp_path) as view:
            view.start({})
            raise error

    with pytest.raises(error):
        train()
    summary = _summary(_segments(tmp_path)[0])
    assert (summary["exit_code"], summary["summary"]["seglab/status"]) == (code, status)
    assert EXIT_CODES["pruned"] == 0


@pytest.mark.slow
def test_offline_resume_replays_so_that_the_newest_segment_is_complete(tmp_path: Path) -> None:
    rows = [{"epoch": e, "step": 10 * (e + 1), "val/miou": 0.1 * e} for e in range(3)]
    first = _view(tmp_path)
    first.start({"a": 1})
    for step in (5, 10, 15, 20, 25):
        first.log_step({"train/loss": 1.0 / step}, step)
    first.log_epoch(rows[0], 10)
    first.log_epoch(rows[1], 20)
    first.finish("interrupted")

    second = _view(tmp_path)
    second.start({"a": 1}, history=rows[:2], resume_step=20)
    second.log_step({"train/loss": 7.0}, 25)
    second.log_epoch(rows[2], 30)
    second.finish("finished")

    old, new = _segments(tmp_path)
    assert _summary(old)["run_id"] == _summary(new)["run_id"] == "r1"
    history = _history(_records(new))
    assert [row[GLOBAL_STEP] for row in history] == [5, 10, 10, 15, 20, 20, 25, 30]
    assert [row["epoch"] for row in history if "epoch" in row] == [0, 1, 2]
    losses = {
        row[GLOBAL_STEP]: row["train/loss_step"] for row in history if "train/loss_step" in row
    }
    assert losses[15] == pytest.approx(1 / 15)
    assert losses[25] == 7.0, "the step after the checkpoint is the new segment's, once"
    assert [row["epoch"] for row in _history(_records(old)) if "epoch" in row] == [0, 1]
    assert list(old.glob("*.synced")), "`wandb sync` must pass over the superseded segment"
    assert not list(new.glob("*.synced"))
    assert second.facts() == {
        "id": "r1",
        "mode": "offline",
        "project": "seglab",
        "url": None,
        "dirs": [f"wandb/{old.name}", f"wandb/{new.name}"],
    }


def test_new_run_in_a_used_folder_does_not_show_old_steps(tmp_path: Path) -> None:
    StepLog(tmp_path / "wandb" / "seglab_steps.jsonl").append(5, {"x": 1.0})
    view = _view(tmp_path)
    view.start({})
    view.log_step({"x": 2.0}, 1)
    view.finish("finished")
    assert [row["x"] for row in _history(_records(_segments(tmp_path)[0]))] == [2.0]


def test_step_log_drops_a_torn_line_and_later_steps(tmp_path: Path) -> None:
    steps = StepLog(tmp_path / "steps.jsonl")
    for step in (1, 2, 3):
        steps.append(step, {"x": step / 2})
    steps.close()
    steps.path.write_text(steps.path.read_text() + '[4, {"x"')
    assert steps.truncate(None) == [(1, {"x": 0.5}), (2, {"x": 1.0}), (3, {"x": 1.5})]
    assert steps.truncate(2) == [(1, {"x": 0.5}), (2, {"x": 1.0})]
    steps.append(3, {"x": 9.0})
    steps.close()
    assert len(steps.path.read_text().splitlines()) == 3


def test_errors_of_wandb_warn_once_and_never_come_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Broken:
        def __getattr__(self, name: str) -> Any:
            raise ConnectionResetError("Connection lost")

    view = _view(tmp_path)
    view._run = Broken()
    with caplog.at_level(logging.WARNING):
        view.log_step({"x": 1.0}, 1)
        view.log_epoch({"epoch": 0, "x": 1.0}, 1)
        view.log_overlays("val", _samples(), NAMES, 255, 1)
        assert view.active
        view.finish("finished")
    assert [r.message for r in caplog.records] == [
        "W&B failed (step row): ConnectionResetError: Connection lost; "
        "the record goes on without it"
    ]
    assert not view.active
    assert (tmp_path / "wandb" / "seglab_steps.jsonl").is_file()


def test_view_gives_up_after_some_failures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(tracking, "_MAX_FAILURES", 2)
    view = _view(tmp_path)
    view._run = object()
    view.log_step({"x": 1.0}, 1)
    assert view.active
    view.log_step({"x": 1.0}, 2)
    assert not view.active
    assert "off for this run" in caplog.text


@pytest.mark.slow
def test_unreachable_server_falls_back_to_offline_with_the_same_id(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from seglab.engine.tracking.tracking import WandbView\n"
        "from seglab.engine.tracking.wandb_session import WandbConfig\n"
        "view = WandbView(WandbConfig(Path(sys.argv[1]), 'r1', init_timeout_s=1.0))\n"
        "assert view.mode == 'online', view.mode\n"
        "view.start({'a': 1}); view.log_step({'x': 3.0}, 1); view.finish('finished')\n"
        "assert view.mode == 'offline', view.mode\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "WANDB_MODE"}
    environment |= {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": "http://127.0.0.1:9"}
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)],
        cwd=CHECKOUT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        stdin=subprocess.DEVNULL,
    )
    assert done.returncode == 0, done.stderr
    assert "W&B did not start (online)" in done.stderr
    (segment,) = _segments(tmp_path)
    assert segment.name.startswith("offline-run-")
    summary = _summary(segment)
    assert (summary["run_id"], summary["summary"]["x"], summary["exit_code"]) == ("r1", 3, 0)


def test_disabled_view_does_nothing(tmp_path: Path) -> None:
    with WandbView(WandbConfig(tmp_path, "r1", mode="disabled")) as view:
        view.start({})
        view.log_step({"x": 1.0}, 1)
        view.log_overlays("val", _samples(), NAMES, 255, 1)
        view.log_artifact_files("model", "m", [tmp_path / "none"])
    assert list(tmp_path.iterdir()) == []


def test_models_are_kept_back_on_request(tmp_path: Path) -> None:
    view = _view(tmp_path, log_model=False)
    view._run = object()
    view.log_artifact_files("model", "m", [tmp_path / "none"])
    assert view._failures == 0


def test_mode_follows_key_and_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("WANDB_MODE", raising=False)
    assert not has_credentials()
    assert resolve_mode("auto")[0] == "offline"
    mode, reason = resolve_mode("online")
    assert (mode, "wandb login" in reason) == ("offline", True), "W&B would prompt and block"
    (tmp_path / "netrc").write_text("machine api.wandb.ai\n login user\n password " + "0" * 40)
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    assert resolve_mode("auto")[0] == "online"
    monkeypatch.delenv("NETRC")
    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    assert resolve_mode("auto")[0] == "online"
    assert resolve_mode("offline")[0] == "offline"
    for word, expected in (("disabled", "disabled"), ("dryrun", "offline"), ("online", "online")):
        monkeypatch.setenv("WANDB_MODE", word)
        assert resolve_mode("auto")[0] == expected
    with pytest.raises(ConfigError, match="auto, online, offline, disabled, got 'of'"):
        resolve_mode("of")


def test_run_ids_are_made_acceptable() -> None:
    assert WandbConfig(Path(), "cv1/fold:0 a").wandb_id == "cv1-fold-0-a"
