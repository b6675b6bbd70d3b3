"""Figures on the disk: PNG and pages that need no network, and never an error."""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution
from PIL import Image

from seglab.analysis.study import write_figures
from seglab.analysis.study.figures import write
from seglab.analysis.study.load import read_study
from seglab.runs.studies.study import StudyFolder


@pytest.fixture(scope="module")
def written(
    swept: StudyFolder, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[Path]]:
    """The figures of a copy of the simulated study."""
    copy = tmp_path_factory.mktemp("copy") / "lr_batch"
    shutil.copytree(swept.path, copy)
    return copy / "figures", write_figures(copy)


def test_every_figure_as_png_and_page(written: tuple[Path, list[Path]]) -> None:
    folder, paths = written
    names = [drawing.name for drawing in write.drawings(read_study(folder.parent))]
    assert len(names) >= 7
    assert paths == [folder / f"{name}.{end}" for name in names for end in ("png", "html")]
    for path in paths:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.width >= 600
                assert len(image.convert("RGB").getcolors(1 << 24) or []) > 20, "not an empty sheet"


def test_pages_share_one_script_and_need_no_network(written: tuple[Path, list[Path]]) -> None:
    folder, paths = written
    assert sorted(path.name for path in folder.iterdir() if path not in paths) == ["plotly.min.js"]
    assert (folder / "plotly.min.js").stat().st_size > 1_000_000
    for path in paths:
        if path.suffix == ".html":
            html = path.read_text("utf-8")
            assert len(html) < 300_000
            assert re.findall(r'src="([^"]*)"', html) == ["plotly.min.js"]
            assert "<title>" in html
            assert not re.search(r"https?://", html.replace("http://www.w3.org", ""))


def test_second_time_the_script_stays_unless_it_is_torn(
    written: tuple[Path, list[Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, _ = written
    real = write.drawings
    monkeypatch.setattr(write, "drawings", lambda view: [*real(view)][-1:])
    before = (folder / "plotly.min.js").stat().st_mtime_ns
    write_figures(folder.parent)
    assert (folder / "plotly.min.js").stat().st_mtime_ns == before
    (folder / "plotly.min.js").write_text("torn")
    write_figures(folder.parent)
    assert (folder / "plotly.min.js").stat().st_size > 1_000_000


def test_words_of_trials_are_no_markup(make: Any) -> None:
    hostile = "</script><script>alert(1)</script>"
    space = {"loss": CategoricalDistribution((hostile, "dice"))}
    trials = [
        make.trial(
            [0.1 * n],
            {"loss": (hostile, "dice")[n % 2]},
            [0.1, 0.2],
            [(hostile, n, n + 1)],
            space=space,
        )
        for n in range(6)
    ]
    paths = write_figures(make(trials))
    assert {path.stem for path in paths} >= {"history", "parallel", "slice", "timeline"}
    for path in paths:
        if path.suffix == ".html":
            assert "<script>alert" not in path.read_text("utf-8")


def test_what_cannot_be_drawn_is_left_out_with_a_reason(
    make: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "seglab.analysis.study.figures.write")
    folder = make([], n_trials=5)
    assert write_figures(folder) == []
    assert "timeline.png is left out: no trial was started" in caplog.messages
    assert (
        "importance.png is left out: 0 finished trials; importance needs at least 4"
        in caplog.messages
    )
    assert not folder.figures_dir.exists()


def test_figure_that_fails_does_not_spoil_the_others(
    swept: StudyFolder,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(view: Any) -> Iterator[Any]:
        for drawing in real(view):
            if drawing.name in ("history", "timeline"):
                fails = drawing.name == "history"
                yield replace(drawing, printed=lambda _: 1 / 0) if fails else drawing  # type: ignore[arg-type, return-value]

    real = write.drawings
    monkeypatch.setattr(write, "drawings", broken)
    shutil.copytree(swept.path, tmp_path / "copy")
    names = [path.name for path in write_figures(tmp_path / "copy")]
    assert names == ["history.html", "timeline.png", "timeline.html"]
    assert "history.png is left out, it could not be drawn" in caplog.messages


@pytest.mark.slow
def test_several_objectives_have_figures_of_each(make: Any) -> None:
    goals = [("val/miou", "maximize"), ("cost/latency_ms", "minimize")]
    names = {path.stem for path in write_figures(make(make.fronts(2), objectives=goals))}
    each = {
        f"{name}-{end}"
        for name in ("history", "importance", "parallel", "contour", "slice")
        for end in ("val-miou", "cost-latency_ms")
    }
    assert names == {"pareto", "timeline", *each}
