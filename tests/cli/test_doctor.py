from __future__ import annotations

import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from packaging.requirements import Requirement

from seglab.cli import doctor
from seglab.cli.diagnosis import Finding
from seglab.cli.diagnosis.devices import memory_limit
from seglab.cli.diagnosis.gpu import check_gpu
from seglab.cli.diagnosis.packages import FLOORS, MALICIOUS, check_versions, installed_versions
from seglab.cli.diagnosis.places import check_folder, check_places

Run = Callable[..., Any]
PROJECT = Path(__file__).resolve().parents[2] / "pyproject.toml"


def bad(installed: dict[str, str]) -> dict[str, str]:
    found = check_versions(installed)
    return {finding.name: finding.text for finding in found if finding.status == "bad"}


GOOD = {name: f"{floor}.9" for name, floor in FLOORS.items()}


def test_versions_that_work_are_fine() -> None:
    assert bad(GOOD) == {}
    assert bad({**GOOD, "torch": "2.11.0+cpu", "numpy": "2.0rc1"}) == {}


def test_old_missing_and_malicious_packages_are_bad() -> None:
    found = bad({**GOOD, "torch": "2.5.1", "optuna": "4.10", "pytorch-lightning": "2.6.3"})
    assert found == {
        "torch": "2.5.1 is older than 2.6",
        "optuna": "4.10 is older than 5",
        "pytorch-lightning": "2.6.3 is a malicious upload",
    }
    assert bad({**GOOD, "lightning": "2.6.2"}) == {"lightning": "2.6.2 is a malicious upload"}
    without = {name: version for name, version in GOOD.items() if name != "timm"}
    assert bad(without) == {"timm": "not installed"}


def test_old_sweeper_is_bad_and_two_opencvs_are_noted() -> None:
    sweeper = {"hydra-optuna-sweeper": "1.3.0"}
    assert list(bad({**GOOD, **sweeper})) == ["hydra-optuna-sweeper"]
    both = {**GOOD, "opencv-python": "4.9", "opencv-python-headless": "4.9"}
    notes = [one for one in check_versions(both) if one.status == "note"]
    assert [one.name for one in notes] == ["opencv"]


def test_floors_are_those_of_the_project() -> None:
    if not PROJECT.is_file():
        pytest.skip("not a checkout")
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    required = {one.name: one.specifier for one in map(Requirement, project["dependencies"])}

    for name, floor in FLOORS.items():
        assert f">={floor}" in [str(part) for part in required[name]], name
    excluded = {str(part) for part in required["pytorch-lightning"]}
    assert {f"!={version}" for version in MALICIOUS["pytorch-lightning"]} <= excluded


def test_installed_versions_are_found() -> None:
    assert installed_versions()["hydra-core"].startswith("1.")


def test_folder_is_made_later_or_cannot_be_used(tmp_path: Path) -> None:
    fine = check_folder("paths.runs_dir", tmp_path / "a" / "b")
    assert fine.status in ("ok", "note")
    assert str(tmp_path / "a" / "b") in fine.text
    assert "made when needed" in fine.text or fine.status == "note"

    (tmp_path / "file").touch()
    wrong = check_folder("paths.runs_dir", tmp_path / "file" / "b")
    assert (wrong.status, wrong.text) == ("bad", f"{tmp_path / 'file'} is a file")


def test_places_are_the_configured_folders() -> None:
    found = [one.name for one in check_places()]
    assert found == ["configuration", "paths.data_dir", "paths.cache_dir", "paths.runs_dir"]


def test_unwritable_folder_is_bad(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda *_: False)
    assert check_folder("paths.data_dir", tmp_path).status == "bad"


def test_container_limit_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("seglab.cli.diagnosis.devices._CGROUP", tmp_path)
    assert memory_limit() is None
    (tmp_path / "memory.max").write_text("max\n")
    assert memory_limit() is None
    (tmp_path / "memory.max").write_text("4294967296\n")
    assert memory_limit() == 2**32


def test_exit_code_and_advice_follow_the_findings(
    seglab: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    findings = [
        Finding("packages", "torch", "ok", "2.9"),
        Finding("places", "x", "note", "little", "mend"),
    ]
    monkeypatch.setattr(doctor, "diagnose", lambda **_: findings)
    fine = seglab("doctor")
    assert fine.code == 0
    assert "note x: mend" in fine.out

    findings.append(Finding("devices", "y", "bad", "broken [x]", "replace it"))
    broken = seglab("doctor", "--json")
    assert broken.code == 1
    assert json.loads(broken.out)[2]["text"] == "broken [x]"
    assert "broken [x]" in seglab("doctor").out


def test_failing_check_is_a_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError("no such device")

    for name in ("check_fit", "check_hydra_plugins", "check_places", "check_tracking"):
        monkeypatch.setattr(doctor, name, list)
    monkeypatch.setattr(doctor, "check_devices", fail)
    found = [one for one in doctor.diagnose() if one.name == "check"]

    assert [(one.area, one.status) for one in found] == [("devices", "bad")]
    assert "no such device" in found[0].text


def test_this_machine_is_looked_at(seglab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    # Without a key and without asking W&B for one.
    monkeypatch.setenv("WANDB_MODE", "offline")
    answer = seglab("doctor", "--json")
    names = {one["name"]: one for one in json.loads(answer.out)}

    assert {"torch", "cpu", "cpu bf16", "memory", "shared memory", "plan", "W&B"} <= set(names)
    assert names["torch with numpy"]["status"] == "ok"
    assert names["W&B"]["text"].startswith("offline")
    assert "BasicSweeper" in names["hydra sweepers"]["text"]


def test_gpu_is_measured_where_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    card, loader = check_gpu()
    assert (card.status, card.name) == ("note", "card")
    assert card.text.startswith("no GPU")
    assert "nothing was measured" in card.advice
    assert loader.text.split()[0].isdigit()
    assert doctor.build_parser().parse_args(["--gpu"]).gpu
    assert not doctor.build_parser().parse_args([]).gpu
