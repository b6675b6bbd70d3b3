"""The script's workspace and report show what the records say; built offline, never saved."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from seglab.core.errors import ConfigError, RunNotFoundError
from seglab.runs import RunRecord

pytest.importorskip("wandb_workspaces")
SCRIPT = Path(__file__).resolve().parents[1] / "scripts" / "wandb_workspace.py"


@pytest.fixture(scope="module")
def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wandb_workspace_script", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(autouse=True)
def _no_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    monkeypatch.setenv("WANDB_CONFIG_DIR", str(tmp_path / "config"))
    for variable in ("WANDB_API_KEY", "WANDB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(variable, raising=False)


def _run(run_dir: Path, lr: float, miou: float, kind: str = "train", **more: Any) -> None:
    group = more.pop("group", None)
    record = RunRecord.create(
        run_dir,
        experiment="camvid",
        kind=kind,
        config_yaml="",
        git={"commit": "abc"},
        packages={"x": "1"},
        seed=0,
        config={
            "optimizer": {"lr": lr, "betas": [lr, 0.9]},
            "model": {"arch": "unet"},
            "logger": {"wandb": {"project": "roads", "entity": None, "group": group}},
        },
        **more,
    )
    record.set_metrics(
        {
            "val/miou": miou,
            "test/miou": miou / 2,
            "val/iou/car": miou,
            "val/iou/sky": 1.0,
            "val/miou_low": 0.1,
            "val/miou_high": 0.9,
        }
    )
    record.finish("finished")


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    _run(tmp_path / "runs" / "camvid" / "r1", 0.1, 0.5)
    _run(tmp_path / "runs" / "camvid" / "r2", 0.2, 0.75)
    _run(tmp_path / "runs" / "camvid" / "v1", 0.9, 0.1, "eval")
    return tmp_path / "runs"


def _subject(script: ModuleType, *words: object) -> Any:
    return script.read_subject(script.parse_arguments([str(word) for word in words]))


def _sections(spec: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    bank = spec["spec"]["section"]["panelBankConfig"]["sections"]
    return {section["name"]: section["panels"] for section in bank}


def test_records_say_what_to_show(script: ModuleType, runs: Path) -> None:
    subject = _subject(script, runs)
    assert (subject.project, subject.group, subject.name) == ("roads", "camvid", "camvid")
    assert subject.splits == ("val", "test")
    assert subject.classes == ("car", "sky")
    assert subject.settings == ("optimizer.lr",), "a list has no place on an axis"
    named = _subject(
        script, runs, "--entity", "team", "--project", "p", "--group", "g", "--name", "n"
    )
    assert (named.entity, named.project, named.group, named.name) == ("team", "p", "g", "n")


def test_group_of_a_cross_validation_is_its_id(script: ModuleType, tmp_path: Path) -> None:
    cv = tmp_path / "runs" / "camvid" / "cv1"
    _run(cv, 0.1, 0.5, "cv")
    for fold in range(2):
        _run(cv / "folds" / f"cv1-r0-f{fold}", 0.1, 0.5, "fold", parent="cv1", group="cv1")
    assert _subject(script, cv).group == "cv1"
    assert len(_subject(script, cv).rows) == 3


def test_workspace_has_all_sections_of_this_group(script: ModuleType, runs: Path) -> None:
    spec = script.plain_spec(script.build_workspace(_subject(script, runs, "--entity", "team")))
    assert (spec["entity"], spec["project"], spec["displayName"]) == ("team", "roads", "camvid")
    sections = _sections(spec)
    assert tuple(sections) == script.SECTIONS
    runset = spec["spec"]["section"]["runSets"][0]
    (chosen,) = runset["filters"]["filters"]
    assert (chosen["key"], chosen["op"], chosen["value"]) == (
        {"section": "run", "name": "group"},
        "=",
        "camvid",
    )
    assert runset["runFeed"]["columnOrder"] == [
        "run:displayName",
        "summary:final/val/miou",
        "summary:final/test/miou",
        "config:optimizer.value.lr",
    ]
    assert [panel["config"].get("metrics") for panel in sections["scores"][:2]] == [
        ["final/val/miou"],
        ["final/test/miou"],
    ]
    classes = [panel["config"].get("metrics") for panel in sections["classes"]]
    assert classes[2:] == [["val/iou/car"], ["val/iou/sky"]]
    assert "tables/classes" in json.dumps(sections["classes"][0])
    (overlays,) = sections["overlays"]
    assert overlays["config"]["mediaKeys"] == ["overlays/val"]
    assert overlays["config"]["gallerySettings"] == {"axis": "step"}
    axes = sections["settings"][0]["config"]["columns"]
    assert [axis["accessor"] for axis in axes] == [
        "config:optimizer.value.lr",
        "summary:final/val/miou",
    ]
    assert axes[0]["log"] is True
    epochs = [p["config"]["xAxis"] for p in sections["curves"]]
    assert epochs == ["epoch", "epoch", "trainer/global_step", "trainer/global_step"]


def test_report_shows_the_numbers_and_the_same_panels(script: ModuleType, runs: Path) -> None:
    subject = _subject(script, runs, "--entity", "team")
    spec = script.plain_spec(script.build_report(subject))
    kinds = [block["type"] for block in spec["spec"]["blocks"]]
    assert kinds.count("panel-grid") == len(script.SECTIONS)
    text = next(b["content"] for b in spec["spec"]["blocks"] if b["type"] == "markdown-block")
    lines = text.splitlines()
    assert lines[2].startswith("| r2 | train | 0.750 | 0.100 to 0.900 | 0.375 |")
    assert "v1" not in text
    grids = [block["metadata"] for block in spec["spec"]["blocks"] if block["type"] == "panel-grid"]
    for grid in grids:
        places = [tuple(p["layout"].values()) for p in grid["panelBankSectionConfig"]["panels"]]
        assert len(set(places)) == len(places), "panels must not lie on each other"
        assert grid["runSets"][0]["filters"]["filters"][0]["value"] == "camvid"


def test_missing_things_are_said(script: ModuleType, runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError):
        _subject(script, tmp_path / "none")
    with pytest.raises(RunNotFoundError, match="no trainings"):
        _subject(script, runs / "camvid" / "v1")
    with pytest.raises(ConfigError, match="no API key"):
        script.save(_subject(script, runs), with_report=False)


def test_refusal_of_the_server_is_one_message(
    script: ModuleType,
    runs: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    class Refused:
        def save(self) -> None:
            raise RuntimeError("permission denied")

    monkeypatch.setattr("seglab.engine.tracking.wandb_sync.require_server", lambda: None)
    monkeypatch.setattr(script, "build_workspace", lambda _: Refused())
    assert script.main([str(runs), "--entity", "team"]) == 1
    said = capsys.readouterr().err
    assert said == "wandb_workspace: W&B did not take the refused: permission denied\n"


@pytest.mark.slow
def test_command_line_without_key_or_network(runs: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if k != "WANDB_API_KEY"}
    environment["WANDB_BASE_URL"] = "http://127.0.0.1:9"
    command = [sys.executable, str(SCRIPT), str(runs), "--report"]
    shown = subprocess.run([*command, "--dry-run"], capture_output=True, text=True, env=environment)
    assert shown.returncode == 0, shown.stderr
    assert set(json.loads(shown.stdout)) == {"workspace", "report"}
    refused = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert refused.returncode == 2
    assert "no API key is configured" in refused.stderr
    assert "Traceback" not in refused.stderr
