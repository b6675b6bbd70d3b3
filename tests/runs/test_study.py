"""A study's folder names its files, keeps no password, can be moved, and tells when it is broken."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import optuna
import pytest

from seglab.core.errors import DataError, RunNotFoundError
from seglab.runs.studies.study import ORIGIN, SCHEMA_VERSION, StudyFolder
from seglab.runs.studies.study_storage import load_study, open_storage, open_study

URL = "postgresql+psycopg://me:s%40cret@db.example/studies"
SHOWN = "postgresql+psycopg://me@db.example/studies"


def _started(path: Path, **facts: object) -> StudyFolder:
    folder = StudyFolder(path)
    folder.write({"study_id": "lr-0a1b2c", "name": "lr", **facts})
    return folder


def _filled(
    folder: StudyFolder, directions: list[str], values: Sequence[Sequence[float]]
) -> optuna.Study:
    storage = open_storage(folder.storage)
    optuna.create_study(storage=storage, study_name="lr-0a1b2c", directions=directions)
    study = load_study(storage, "lr-0a1b2c")
    for place, one in enumerate(values):
        # Every other trial came from another study.
        facts = {ORIGIN: {"study": "old", "number": place}} if place % 2 else {}
        study.add_trial(optuna.trial.create_trial(values=one, user_attrs=facts))
    return study


def test_files_have_their_places(tmp_path: Path) -> None:
    folder = _started(tmp_path / "runs" / "camvid" / "lr")
    assert folder.json_path == folder.path / "study.json"
    assert folder.run_dir(7) == folder.path / "trials" / "lr-0a1b2c-t0007"
    assert folder.best_dir == folder.path / "best"
    assert folder.study_id == "lr-0a1b2c"
    assert json.loads(folder.json_path.read_text())["schema_version"] == 1


def test_a_folder_without_study_says_so(tmp_path: Path) -> None:
    folder = StudyFolder(tmp_path)
    assert not folder.exists()
    with pytest.raises(RunNotFoundError, match=r"no study at .*: it has no study\.json"):
        folder.read()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "study.json is broken"),
        ('{"name": "lr"}', "names no study_id"),
        ('{"study_id": "a", "schema_version": 2}', "schema version 2, this seglab reads up to 1"),
    ],
)
def test_a_broken_study_file_says_what_is_wrong(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "study.json").write_text(content)
    with pytest.raises(DataError, match=message):
        StudyFolder(tmp_path).read()


def test_a_study_that_is_resumed_gets_the_schema_of_today(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    folder.write({**folder.read(), "schema_version": 0})
    assert folder.read()["schema_version"] == SCHEMA_VERSION


def test_no_password_is_written_wherever_it_stands(tmp_path: Path) -> None:
    folder = _started(
        tmp_path,
        storage=URL,
        words=[f"study.storage={URL}", "lr=1"],
        base_config={"study": {"storage": "postgresql://me@h/d?password=s%40cret&sslmode=require"}},
    )
    assert "s%40cret" not in folder.json_path.read_text()
    content = folder.read()
    assert content["storage"] == folder.storage == SHOWN
    assert content["words"] == [f"study.storage={SHOWN}", "lr=1"]
    assert content["base_config"]["study"]["storage"] == "postgresql://me@h/d?sslmode=require"


def test_a_journal_moves_with_its_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = _started(tmp_path / "a", storage=f"journal:{tmp_path / 'a' / 'journal.log'}")
    _filled(folder, ["maximize"], [[1.0]])
    folder.write(folder.read())
    assert json.loads(folder.json_path.read_text())["storage"] == "journal:journal.log"
    moved = (tmp_path / "a").rename(tmp_path / "b")
    assert StudyFolder(moved).storage == f"journal:{moved / 'journal.log'}"
    assert open_study(moved).best_value == 1.0
    monkeypatch.chdir(tmp_path)
    assert open_study("b").best_value == 1.0


def test_a_journal_elsewhere_keeps_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = _started(tmp_path / "a", storage="journal:elsewhere/lr.log")
    file = _started(tmp_path / "b", storage="sqlite:///lr.db")
    monkeypatch.chdir("/")
    assert folder.storage == f"journal:{tmp_path}/elsewhere/lr.log"
    assert file.storage == f"sqlite:///{tmp_path}/lr.db"


def test_the_journal_is_the_default(tmp_path: Path) -> None:
    assert _started(tmp_path).storage == f"journal:{tmp_path}/journal.log"


def test_reading_makes_nothing(tmp_path: Path) -> None:
    folder = _started(tmp_path / "a")
    with pytest.raises(RunNotFoundError, match="no such file"):
        open_study(folder)
    assert not folder.journal_path.exists()
    open_storage(folder.storage)
    with pytest.raises(RunNotFoundError, match="no study 'lr-0a1b2c'"):
        open_study(folder)


def test_the_best_trial_is_one_of_the_study_itself(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    _filled(folder, ["maximize"], [[1.0], [9.0], [3.0], [8.0], [2.0]])
    study = open_study(folder)
    assert (study.best_trial.number, study.best_value) == (2, 3.0)
    assert len(study.trials) == 5


def test_the_least_is_best_where_it_is_minimised(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    assert _filled(folder, ["minimize"], [[2.0], [0.0], [1.0]]).best_trial.number == 2


def test_a_study_without_finished_trials_has_no_best(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    study = _filled(folder, ["minimize"], [])
    with pytest.raises(ValueError, match="No trials are completed yet"):
        _ = study.best_trial


def test_the_front_is_one_of_the_study_itself(tmp_path: Path) -> None:
    folder = _started(tmp_path)
    points = [[5, 20], [9, 1], [7, 40], [9, 1], [4, 30], [0, 0], [5, 20]]
    study = _filled(folder, ["maximize", "minimize"], points)
    # 4 loses to 0 in both; 0 and 6 are the same point, and neither beats the other.
    assert [trial.number for trial in study.best_trials] == [0, 2, 6]
