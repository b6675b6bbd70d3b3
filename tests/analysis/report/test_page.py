"""The page as HTML: whole in itself, safe against what records say, usable without sight or script."""

from __future__ import annotations

import base64
import hashlib
import itertools
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from seglab.analysis.report import Report, collect_report, is_report, render_page, write_page
from seglab.analysis.report.rendering import breakable
from seglab.analysis.times import format_moment, format_runtime

_VOID = {"meta", "link", "input", "img", "br", "hr", "wbr"}


class Page(HTMLParser):
    """All elements of a page with their attributes, and the text of its script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.unclosed: list[str] = []
        self.script = ""
        self.feed(html)

    def handle_starttag(self, name: str, attributes: Any) -> None:
        self.elements.append((name, dict(attributes)))
        if name not in _VOID:
            self.open.append(name)

    def handle_endtag(self, name: str) -> None:
        if not self.open or self.open.pop() != name:
            self.unclosed.append(name)

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.script += data

    def all(self, name: str) -> list[dict[str, str | None]]:
        return [attributes for found, attributes in self.elements if found == name]


@pytest.fixture(scope="module")
def html(full_page: Path) -> str:
    return full_page.read_text("utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_a_run_alone_is_shown_open_and_what_is_code_as_code(maker: Any) -> None:
    """Folded up, the pictures of the one run that the page is about were not seen."""
    alone = render_page(collect_report([maker.curves(maker.run("r1")).run_dir]))
    folded = [one for one in Page(alone).all("details") if "open" not in one]
    # The configuration, which is long.
    assert len(folded) == 1
    assert "`" not in alone.partition("<main")[2].partition("<pre")[0]
    assert "<code>seglab evaluate run=RUN</code>" in alone
    maker.run("r2")
    both = Page(render_page(collect_report([maker.root])))
    assert all("open" not in one for one in both.all("details") if one.get("class") == "run")


def test_every_element_is_closed(page: Page) -> None:
    assert page.unclosed == []
    assert page.open == []


def test_text_of_records_is_never_markup(html: str, page: Page) -> None:
    assert len(page.all("script")) == 1, "its own script alone"
    assert "<script>alert" not in html
    assert html.count("&lt;script&gt;alert") > 10, "shown as text"
    handlers = {
        key for _, attributes in page.elements for key in attributes if key.startswith("on")
    }
    assert not handlers


def test_policy_allows_the_own_script_and_nothing_else(page: Page) -> None:
    (policy,) = [meta["content"] for meta in page.all("meta") if "http-equiv" in meta]
    digest = base64.b64encode(hashlib.sha256(page.script.encode()).digest()).decode()
    assert policy is not None
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy


def test_nothing_comes_from_outside(html: str, page: Page) -> None:
    for name, attributes in page.elements:
        for key in ("src", "href", "xlink:href", "action", "srcset"):
            value = attributes.get(key)
            assert value is None or value.startswith(("data:", "#")), (name, key, value)
    style = html[html.index("<style>") : html.index("</style>")]
    assert not re.search(r"url\(|@import", style)
    assert not re.search(r"\b(fetch|XMLHttpRequest|WebSocket|import)\(", page.script)


def test_ids_are_unique_and_every_reference_leads_somewhere(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.elements if attributes.get("id")]
    assert len(ids) == len(set(ids))
    for _, attributes in page.elements:
        href = attributes.get("href") or ""
        if href.startswith("#"):
            assert href[1:] in ids, href
        for key in ("aria-labelledby", "for", "data-filter", "data-said-of"):
            if attributes.get(key):
                assert attributes[key] in ids, (key, attributes[key])


def test_pictures_and_charts_have_words(page: Page) -> None:
    assert all(attributes.get("alt") for attributes in page.all("img"))
    drawings = [a for a in page.all("svg") if a.get("aria-hidden") != "true"]
    assert len(drawings) > 20
    assert all(a.get("role") == "img" and a.get("aria-label") for a in drawings)


def test_headings_leave_out_no_level(html: str) -> None:
    levels = [int(level) for level in re.findall(r"<h([1-6])", html)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in itertools.pairwise(levels))


def test_tables_have_headers_and_captions(page: Page) -> None:
    assert all(head.get("scope") in ("col", "row") for head in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table"))
    (head,) = [h for h in page.all("th") if h.get("aria-sort")]
    assert head["aria-sort"] == "descending"


def test_facts_and_sentences_are_there(html: str) -> None:
    for words in (
        "3 train, 2 eval, 1 cv",
        "0123456789",
        "g-broken: the record is left out",
        "Not finished: f-failed (failed)",
        "RuntimeError",
        "0.500 ± 0.100",
        "road taken for car",
        "Calibration error by class",
        "[0.550, 0.650]",
    ):
        assert words in html, words


def test_same_picture_is_stored_once(html: str, full_report: Report) -> None:
    for picture in full_report.pictures.values():
        assert html.count(picture.uri) == 1


def test_single_bare_run_makes_a_page_that_says_what_is_missing(maker: Any, tmp_path: Path) -> None:
    record = maker.run("r1")
    (record.run_dir / "confusion.npy").unlink()
    report = collect_report([record.run_dir])
    html = render_page(report)
    assert Page(html).unclosed == []
    assert "Without learning curves (history.csv): r1." in html
    assert "Without a confusion matrix (confusion.npy): r1." in html
    assert "No evaluation is among the runs" in html
    assert 'id="failures"' not in html


def test_evaluation_without_extras_is_named(maker: Any) -> None:
    html = render_page(collect_report([maker.run("r1", "eval").run_dir]))
    assert "Without scores by slice (slices.parquet): eval r1." in html
    assert "Without a failure gallery (gallery.parquet): eval r1." in html


def test_written_file_is_known_as_a_report(maker: Any, tmp_path: Path) -> None:
    report = collect_report([maker.run("r1").run_dir])
    path = tmp_path / "deep" / "page.html"
    assert write_page(report, path) == path.stat().st_size
    assert is_report(path)
    path.write_text("<html>my thesis</html>")
    assert not is_report(path)


def test_small_formats() -> None:
    assert [format_runtime(seconds) for seconds in (None, 0, "x", 88, 3275.3, 16500)] == [
        "not recorded",
        "not recorded",
        "not recorded",
        "88 s",
        "55 min",
        "4.6 h",
    ]
    assert format_moment("2026-11-22T17:37:15+00:00") == "2026-11-22 17:37 UTC"
    assert format_moment(None) == "not recorded"
    assert breakable("a_<b>") == "a_<wbr>&lt;b&gt;"
