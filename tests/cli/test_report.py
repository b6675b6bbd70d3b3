"""`seglab report`: words in, one file out, nothing of the user's overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from seglab.cli.runs import report
from seglab.core.errors import ConfigError, RunNotFoundError
from seglab.runs import RunRecord


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two finished runs, one broken."""
    for name, score in (("r1", 0.5), ("r2", 0.6)):
        record = RunRecord.create(
            tmp_path / "runs" / "exp" / name,
            experiment="exp",
            kind="train",
            config={},
            config_yaml="",
            name=name,
            git={"commit": "abc", "dirty": False},
            packages={"x": "1"},
        )
        record.set_metrics({"val/miou": score})
        record.finish("finished")
    broken = tmp_path / "runs" / "exp" / "r3"
    broken.mkdir()
    (broken / "run.json").write_text("{")
    return tmp_path / "runs"


def test_writes_a_page_and_says_where(
    runs: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "out" / "page.html"
    assert report.run([str(runs), "-o", str(path), "--title", "Two & more"]) == 0
    said = capsys.readouterr()
    assert said.out == f"{path}: 2 runs, {path.stat().st_size / 1e6:.1f} MB\n"
    assert said.err.startswith("left out: r3: the record is left out: ")
    html = path.read_text("utf-8")
    assert "<title>Two &amp; more</title>" in html
    assert "0.600" in html


def test_default_name_and_pattern(
    runs: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert report.run(["runs/*/r[12]"]) == 0
    assert (tmp_path / "report.html").is_file()
    assert capsys.readouterr().out.startswith("report.html: 2 runs, ")


def test_own_page_is_overwritten_another_file_only_by_force(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    assert report.run([str(runs), "-o", str(path)]) == 0
    assert report.run([str(runs), "-o", str(path)]) == 0
    path.write_text("my thesis")
    with pytest.raises(ConfigError, match="exists and is no report of seglab"):
        report.run([str(runs), "-o", str(path)])
    assert path.read_text() == "my thesis"
    assert report.run([str(runs), "-o", str(path), "--force"]) == 0
    assert "<!doctype html>" in path.read_text("utf-8")


def test_all_wrong_words_are_told_at_once(runs: Path, tmp_path: Path) -> None:
    words = ["--max-cases", "-1", "--image-width", "3", "--picture-mb", "0", "-o", str(tmp_path)]
    with pytest.raises(ConfigError) as caught:
        report.run([str(runs), *words])
    text = str(caught.value)
    for part in (
        "4 configuration problems",
        "--max-cases",
        "--image-width",
        "--picture-mb",
        "is a folder",
    ):
        assert part in text


def test_wrong_path_is_the_users_mistake(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(RunNotFoundError, match="did you mean 'r1'") as caught:
        report.run([str(runs / "exp" / "r11"), "-o", str(tmp_path / "x.html")])
    assert caught.value.exit_code == 2
    assert not (tmp_path / "x.html").exists()


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        report.run(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert "seglab report runs/demo -o demo.html" in out
    assert "--force" in out
