"""Every command: wrong words, missing and faulty data end with 2, a full disk with 1; one message each."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglab.cli.base.reporting import setting_of
from seglab.runs import RunRecord

Run = Callable[..., Any]
LONG = "n" * 300


@pytest.fixture(scope="module")
def things(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of things to point at: runs, data, faulty data, and places that cannot be used."""
    folder = tmp_path_factory.mktemp("things")
    for name in ("one", "two"):
        record = RunRecord.create(
            folder / "runs" / "e" / name, experiment="e", kind="train", config={}, config_yaml=""
        )
        record.set_metrics({"val/miou": 0.5})
        record.finish("finished")
    (folder / "file").write_text("kept")
    (folder / "link").symlink_to("/nowhere/at/all")
    for name in ("images", "masks"):
        (folder / "faulty" / name).mkdir(parents=True)
        for sample in "abc":
            (folder / "faulty" / name / f"{sample}.png").write_bytes(b"no picture")
    (folder / "broken.parquet").write_bytes(b"no table")
    (folder / "empty").mkdir()
    return folder


# words, exit code, and what the message says; {t} is the folder of `things`.
CASES = [
    (
        "train paths.runs_dir={t}/file",
        2,
        "file is a file, where a folder is needed; set paths.runs_dir to",
    ),
    (
        "train paths.runs_dir={t}/link/x",
        2,
        "is a link to /nowhere/at/all, which is not there; set paths.ru",
    ),
    (
        "train hydra.run.dir={t}/file/x",
        2,
        "is a file, where a folder is needed; set hydra.run.dir to",
    ),
    ("train data=folder data.root={t}/file", 2, "data.root: expected the folder that holds"),
    ("train data=folder data.root={t}/gone", 2, "nothing is there"),
    ("train resume={t}/file", 2, "resume: expected a run directory"),
    ("train --config-dir {t}/gone", 2, "gone"),
    ("evaluate run={t}/gone", 2, "run"),
    ("report {t}/runs -o {t}/file/r.html", 2, "where a folder is needed; set -o to another place"),
    ("report {t}/runs --output=/proc/nothing/r.html", 2, "; set --output to another place"),
    (
        "report {t}/runs -o {t}/link",
        2,
        "is a link to /nowhere/at/all, which is not there; set -o to",
    ),
    (f"report {{t}}/runs -o {{t}}/{LONG}.html", 2, "longer than the file system takes; set -o to"),
    ("report {t}/runs -o {t}/empty", 2, "is a folder; give a file"),
    (
        "report {t}/runs -o /dev/full --force",
        1,
        "became full at /dev/full; free some space, or set -o to",
    ),
    ("report {t}/gone", 2, "no run"),
    ("compare {t}/gone {t}/runs/e/one", 2, "gone"),
    ("cv collect {t}/gone", 2, "cv collect: no run at"),
    ("cv collect {t}/runs", 2, "none of these runs is a fold"),
    ("metrics explain {t}/gone", 2, "gone"),
    ("metrics explain {t}/runs/e/one", 2, "has no per_image.parquet"),
    ("metrics learning-curve {t}/gone", 2, "gone"),
    ("wandb sync {t}/gone", 2, "gone"),
    ("data describe {t}/gone/x", 2, "no manifest at"),
    ("data describe {t}/broken.parquet", 2, "is not a readable Parquet file"),
    ("data import folder {t}/gone", 2, "gone"),
    ("data import folder {t}/file --option class_names=[a,b]", 2, "file"),
    ("data import folder {t}/faulty --option class_names=[a,b]", 2, "corrupt"),
    ("data synth {t}/file/x --num-images 24", 2, "file is a file, where a folder is needed; set "),
    ("data synth /proc/nothing --num-images 24", 2, "/proc/nothing cannot be used"),
    ("data preview {t}/gone/x -o {t}/p.xyz", 2, "--output: expected a picture"),
]


@pytest.mark.parametrize(("words", "code", "text"), CASES, ids=[case[0][:60] for case in CASES])
def test_one_message_and_the_promised_code(
    seglab: Run, jobs: Any, things: Path, words: str, code: int, text: str
) -> None:
    before = sorted(things.rglob("*"))
    answer = seglab(*words.format(t=things).split())
    assert answer.code == code, answer.err
    assert text in answer.err
    assert "Traceback" not in answer.err + answer.out
    assert "Error:" not in answer.err, "no bare exception"
    assert answer.err.count("seglab ") <= 2, "one message"
    assert sorted(things.rglob("*")) == before, "nothing is made, and nothing half-written"


def test_data_that_is_not_written_whole_is_not_there(
    seglab: Run, things: Path, tmp_path: Path
) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, hard))
    try:
        answer = seglab("data", "synth", str(tmp_path / "roads"), "--num-images", "24")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert answer.code == 1
    assert "the disk became full" in answer.err
    assert "; free some space, or set '" in answer.err
    assert not (tmp_path / "roads" / "data").exists()
    assert not list((tmp_path / "roads").glob(".data.making-*"))


def test_the_setting_nearest_to_a_place_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGLAB_CACHE", "/cache")
    words = [
        "train",
        "paths.runs_dir='/a/b'",
        "+x=/a",
        "-o",
        "/c/f.html",
        "--csv=/d/t.csv",
        "/e/run",
    ]
    assert setting_of(Path("/a/b/exp/run"), words) == "paths.runs_dir"
    assert setting_of(Path("/a/c"), words) == "x"
    assert setting_of(Path("/c/f.html"), words) == "-o"
    assert setting_of(Path("/d/t.csv"), words) == "--csv"
    assert setting_of(Path("/e/run/x"), words) == "'/e/run'"
    assert setting_of(Path("/cache/a"), words) == "paths.cache_dir (or SEGLAB_CACHE)"
    assert setting_of(Path("/c"), words) == "-o", "what failed is on the way there"
    assert setting_of(Path("/z"), words) is None
