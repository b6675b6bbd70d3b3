"""A study as one page: complete, safe against what studies say, and `seglab report` writes it."""

from __future__ import annotations

import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import TrialState

from seglab.analysis.report import is_report
from seglab.analysis.report.study_page import write_study_page
from seglab.cli.runs import report
from seglab.core.disk.files import write_json
from seglab.core.errors import RunNotFoundError
from seglab.runs.studies.study import StudyFolder

HOSTILE = "</script><script>alert('x')</script>"
_VOID = {"meta", "link", "input", "img", "br", "hr", "wbr"}


class Page(HTMLParser):
    """The elements of a page, and whether all of them were closed."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == tag]


@pytest.fixture(scope="module")
def html(swept: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("page")
    shutil.copytree(swept.path, folder / "lr_batch")
    protocol = {
        "winner": 29,
        "trials_considered": 40,
        "metric": "val/miou",
        "best_value": 0.7092,
        "confirm": [
            {"seed": 1, "run_dir": "confirm/a", "value": 0.69, "test": {"test/miou": 0.66}},
            {"seed": 2, "run_dir": "confirm/b", "value": 0.70, "test": {"test/miou": 0.68}},
            {"seed": 3, "run_dir": "confirm/c", "value": 0.695, "test": {"test/miou": 0.67}},
        ],
        "confirm_mean": 0.695,
        "confirm_low": 0.631,
        "confirm_high": 0.759,
        "test_metric": "test/miou",
        "test": {"mean": 0.67, "low": 0.54, "high": 0.80},
        "test_touched": "2026-11-22T22:00:11+00:00",
    }
    write_json(folder / "lr_batch" / "protocol.json", protocol)
    path = folder / "study.html"
    size = write_study_page(folder / "lr_batch", path)
    assert size == path.stat().st_size < 3_000_000
    return path.read_text("utf-8")


def test_page_has_it_all(html: str) -> None:
    for words in (
        "<title>toy: lr_batch</title>",
        "Does the best rate grow with the batch? By the mean",
        "Trial 29 is the best: val/miou 0.7092",
        "Trained anew with 3 other seeds",
        "95 %: 0.631 to 0.759",
        "confirm/a",
        "touched for the winner alone",
        "Parallel coordinates",
        "Timeline of the workers",
        "Importance of the parameters",
        "tag(log, interval(1e-4, 1e-1))",
        "Trial 17: RuntimeError: no",
        "Traceback",
        "trials/lr_batch-ab12cd-t0000",
        "0123456789",
    ):
        assert words in html


def test_page_is_sound_and_needs_nothing_beside_it(html: str) -> None:
    page = Page(html)
    assert page.open == []
    assert len(page.all("script")) == 1
    for name, attributes in page.elements:
        for key in ("src", "href"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), (name, key)
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for attributes in page.all("a"):
        assert str(attributes["href"])[1:] in ids
    pictures = page.all("img")
    assert len(pictures) == 7
    assert all(picture.get("alt") for picture in pictures)
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1


def test_table_has_a_row_a_trial_the_best_first(html: str) -> None:
    table = html[html.index('id="trials-table"') :]
    body = table[table.index("<tbody>") : table.index("</tbody>")]
    rows = body.split("<tr>")[1:]
    assert len(rows) == 40
    assert ">29<" in rows[0]
    assert "best" in rows[0]
    assert 'class="status failed"' in rows[-1]
    assert "exception: RuntimeError: no" in rows[-1]


def test_words_of_a_study_are_never_markup(make: Any, tmp_path: Path) -> None:
    space = {HOSTILE: CategoricalDistribution((HOSTILE, "b"))}
    failed = {"reason": "exception", "error": HOSTILE, "traceback": HOSTILE}
    folder = make(
        [
            *(
                make.trial(
                    [n / 9],
                    {HOSTILE: (HOSTILE, "b")[n % 2]},
                    attempts=[(HOSTILE, n, n + 1)],
                    space=space,
                )
                for n in range(5)
            ),
            make.trial(None, state=TrialState.FAIL, attrs=failed),
        ],
        space={HOSTILE: HOSTILE},
        words=[HOSTILE],
        experiment=HOSTILE,
        base_config={"notes": HOSTILE},
    )
    write_study_page(folder.path, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text("utf-8")
    assert len(Page(html).all("script")) == 1
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") > 8


def test_pages_of_studies_without_figures(make: Any, tmp_path: Path) -> None:
    write_study_page(make([], n_trials=5).path, tmp_path / "page.html")
    html = (tmp_path / "page.html").read_text("utf-8")
    assert Page(html).open == []
    assert "0 of 5" in html
    assert 'id="figures"' not in html
    assert "No trial finished, so there is no best one." in html


@pytest.mark.slow
def test_command_writes_the_page_and_leaves_the_study_alone(
    make: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(make.simulate(3))
    before = {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()}
    path = tmp_path / "out" / "lr.html"
    assert report.run([str(folder.path), "-o", str(path), "--title", "Rates & batches"]) == 0
    assert capsys.readouterr().out == f"{path}: 1 study, {path.stat().st_size / 1e6:.1f} MB\n"
    assert "<title>Rates &amp; batches</title>" in path.read_text("utf-8")
    assert is_report(path)
    assert report.run([str(folder.path), "-o", str(path)]) == 0, "its own page is overwritten"
    assert {path: path.read_bytes() for path in folder.path.rglob("*") if path.is_file()} == before


def test_command_among_other_words_shows_runs(make: Any, tmp_path: Path) -> None:
    folder = make(make.simulate(3))
    with pytest.raises(RunNotFoundError):
        report.run([str(folder.path), str(tmp_path), "-o", str(tmp_path / "x.html")])
