"""Names with markup, in every medium, read back by what shows it: rich, a Markdown parser, pandas, SVG."""

from __future__ import annotations

import ast
import html
import io
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from defusedxml import ElementTree
from markdown_it import MarkdownIt
from rich.console import Console

from seglab.analysis.evaluation.figures import confusion_figure
from seglab.analysis.report.svg import tag
from seglab.analysis.study.figures.pages import blank
from seglab.analysis.style import legend_label, new_figure, save_figure, styled
from seglab.analysis.tables import csv_table, markdown_table, rich_table
from seglab.core.text.escape import csv_text, markdown, markdown_code, one_line, plotly_text
from seglab.core.text.terminal import PlainTable, open_console, say, say_heading, show

PACKAGE = Path(__file__).resolve().parents[2] / "seglab"
NAMES = (
    "sign[/old]",
    "[bold]",
    "[red]x[/red]",
    ":smile:",
    "<script>alert(1)</script>",
    "a|b",
    "=1+1",
    "@x",
    "+cmd|' /C calc'!A0",
    "-1+1",
    "a\nb",
    "\tx",
    "`tick` ``two``",
    "'single' \"double\"",
    "{{x}}",
    "{% x %}",
    "$x$",
    r"$\frac{$",
    "a_b",
    "_a_",
    "__init__",
    "*a*",
    "~~a~~",
    "&lt;",
    "[a](http://b.c)",
    "![a](b)",
    r"a\|b",
    "\\",
    "\x1b[31mred",
    "</td>",
    "x\u202ey",
    "Straße 路",
    "# h",
    "- l",
    "-0.5",
    "1e-3",
)

nasty = pytest.mark.parametrize("name", NAMES, ids=ascii)


@nasty
def test_terminal_shows_names_as_they_are(name: str) -> None:
    # A console as a notebook brings it, with markup and all.
    console = Console(file=io.StringIO(), width=300, force_terminal=True, color_system="truecolor")
    say(console, f"class {name}, end")
    say(console, (name, "bold green"))
    say_heading(console, name)
    show(console, rich_table([{"class": name, name: 1}], title=name))
    table = PlainTable("head", title=name)
    table.add_row(name)
    show(console, table)
    seen = re.sub(r"\x1b\[[0-9;]*m", "", console.file.getvalue())  # type: ignore[attr-defined]
    # Names on lines of their own: two of `say`, one in a cell of a bare table.
    assert seen.count(one_line(name)) >= (4 if "\n" in name else 8)
    assert "\x1b[31mred" not in console.file.getvalue(), "a name sets no colour"  # type: ignore[attr-defined]


@nasty
def test_our_own_console_shows_even_bare_strings(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    open_console().print(name)
    assert name.strip("\t") in capsys.readouterr().out


class _Cells(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.cells: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_starttag(self, name: str, attributes: object) -> None:
        self.tags.append(name)
        if name in ("td", "th", "p"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


@nasty
def test_markdown_shows_names_as_they_are(name: str) -> None:
    reader = MarkdownIt("commonmark").enable(["table", "strikethrough"])
    table = _Cells(reader.render(markdown_table([{"class": name, "n": 1}, {"class": "b", "n": 2}])))
    shown = one_line(name).strip()
    assert [cell.strip() for cell in table.cells] == ["class", "n", shown, "1", "b", "2"]
    line = _Cells(reader.render(f"The class {markdown(name)} is\n\n`x` {markdown_code(name)} y"))
    assert line.cells[0].strip() == f"The class {one_line(name)} is"
    # A code span may lose the blanks around it, and nothing else.
    assert " ".join(line.cells[1].split()) == " ".join(f"x {one_line(name)} y".split())
    assert set(table.tags + line.tags) <= {"table", "thead", "tbody", "tr", "td", "th", "p", "code"}


@nasty
def test_csv_is_no_formula_and_the_same_to_pandas(name: str) -> None:
    frame = pd.DataFrame({"run": [name, "plain"], "diff": [-0.25, float("nan")], name: [1, 2]})
    text = csv_table(frame)
    read = pd.read_csv(
        io.StringIO(text), dtype={"run": str}, keep_default_na=False, na_values={"diff": ""}
    )
    assert read["diff"].tolist()[0] == -0.25
    cell = read["run"][0]
    is_number = re.fullmatch(r"[-+]?[\d.]+(e[-+]?\d+)?", name) is not None
    assert is_number or not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert cell in (name, f"'{name}")
    assert read.columns[2] in (name, f"'{name}")
    harmless = name[0] not in "=+-@\t" or is_number
    assert (cell == name) == harmless, "only what begins a formula is marked"


def test_numbers_as_text_stay_numbers() -> None:
    for text in ("-0.5", "+1e-3", "-inf", "3", "1e5"):
        assert csv_text(text) == text
    assert csv_text("- 5") == "'- 5"


def test_figures_show_names_as_they_are(tmp_path: Path) -> None:
    count = len(NAMES)
    figure = confusion_figure(np.eye(count, dtype=np.int64), NAMES, title=r"$\frac{$ and $x$")
    tree = ElementTree.parse(save_figure(figure, tmp_path / "a.svg"))
    texts = [node.text for node in tree.iter() if node.tag.endswith("}text")]
    assert r"$\frac{$ and $x$" in texts
    for name in map(one_line, NAMES):
        assert texts.count(name if len(name) <= 20 else f"{name[:17]}...") == 2


def test_log_axes_write_numbers_without_formulas(tmp_path: Path) -> None:
    from seglab.analysis.style import log_scale

    with styled():
        figure = new_figure(3, 3)
        axes = figure.subplots()
        axes.plot([1, 2, 3], [1e-4, 1e-2, 1.0], label=legend_label("_hidden_"))
        log_scale(axes.yaxis)
        axes.legend()
    text = save_figure(figure, tmp_path / "a.svg").read_text("utf-8")
    assert ">0.01<" in text
    assert "mathdefault" not in text
    assert "_hidden_" in text, "matplotlib leaves such names out of legends"


@nasty
def test_labels_of_plotly_show_names_as_they_are(name: str) -> None:
    shown = plotly_text(name)
    assert html.unescape(shown) == one_line(name)
    assert not re.search(r"[<>$]", shown), "neither a tag nor a formula"
    known = {"&lt;", "&gt;", "&amp;"}
    assert set(re.findall(r"&\w+;", shown)) <= known, "plotly decodes no others by name"


def test_pages_of_plotly_hold_no_script_but_their_own() -> None:
    page, plain = (
        blank(title, yaxis_title=title).to_html(include_plotlyjs=False)
        for title in (" ".join(NAMES) + "</script><script>", "x")
    )
    for part in ("<script", "</script>"):
        assert page.count(part) == plain.count(part)


@nasty
def test_svg_of_reports_shows_names_as_they_are(name: str) -> None:
    node = ElementTree.fromstring(
        str(tag("text", name.replace("\x1b", ""), title=name.replace("\x1b", "")))
    )
    assert node.text == name.replace("\x1b", "")
    assert list(node) == []


# What reads markup in strings.
_READS_MARKUP = {"Console", "Table", "Rule", "Panel", "RichHandler", "Prompt", "Confirm"}


def _unsafe(path: Path) -> list[str]:
    text = path.read_text(encoding="utf-8")
    if "rich" not in text and "console" not in text:
        return []
    tree, found = ast.parse(text), []
    of_rich = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
        if (node.module or "").partition(".")[0] == "rich"
    }
    for node in (one for one in ast.walk(tree) if isinstance(one, ast.Call)):
        owner, _, name = ast.unparse(node.func).rpartition(".")
        keywords = {word.arg: ast.unparse(word.value) for word in node.keywords}
        is_rich = (not owner and name in of_rich) or owner.startswith("rich")
        if (
            (owner.endswith(("console", "rich")) and name in ("print", "rule", "log"))
            or name in ("from_markup", "render_markup")
            or (is_rich and name in _READS_MARKUP and keywords.get("quiet") != "True")
            or (is_rich and name == "TextColumn" and keywords.get("markup") != "False")
        ):
            found.append(f"{path.name}:{node.lineno}: {ast.unparse(node)[:70]}")
    return found


def test_strings_reach_rich_through_the_terminal_module_alone(tmp_path: Path) -> None:
    paths = [
        path for path in PACKAGE.rglob("*.py") if path != PACKAGE / "core" / "text" / "terminal.py"
    ]
    wrong = [line for path in paths for line in _unsafe(path)]
    assert not wrong, (
        f"use say, show, PlainTable and open_console of seglab.core.text.terminal: {wrong}"
    )
    bad = tmp_path / "bad.py"
    bad.write_text(
        "import rich\nfrom rich.console import Console\nfrom rich.progress import TextColumn\n"
        "from rich.table import Table\nself.console.print(name)\nconsole.rule(name)\nConsole()\n"
        "Table()\nText.from_markup(x)\nTextColumn('{task.description}')\nrich.print(name)\n"
        "Console(quiet=True)\nsay(console, name)\nlog.info(name)\n"
    )
    assert len(_unsafe(bad)) == 7
