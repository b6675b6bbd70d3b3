"""Text that is not ours (names of classes, runs, samples, files), made safe for where it is shown.

One function a medium. Each keeps the text readable and recognisable; none of them is for text that a
program reads back by, which stays as it is (JSON, YAML, Parquet, keys of scores). HTML is escaped by
jinja2 and markupsafe, the terminal by `seglab.core.text.terminal`, figures by the style of
`seglab.analysis.style`.
"""

from __future__ import annotations

import html
import re
import unicodedata

# What begins a formula in Excel, LibreOffice and Google Sheets.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
# What GitHub's Markdown reads within a line, and no more, so that the text stays readable as it is.
# Marks that count at the start of a line only are left: what is shown stands behind words of ours.
_MARKDOWN = re.compile(
    r"[`*|~$]"
    r"|\\(?=[!-/:-@\[-`{-~]|$)"  # a backslash before a mark
    r"|(?<![^\W_])_|_(?![^\W_])"  # an underscore at the end of a word
    r"|\](?=[(\[])|!(?=\[)"  # links and pictures
    r"|<(?=[A-Za-z/!?])|&(?=#?\w+;)"  # tags and entities
    r"|:(?=[\w+-]+:)"  # pictures by name
)
_SHORT = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
# Control characters, and those that turn the direction of the text after them.
_HIDDEN = ("Cc", "Zl", "Zp")
_TURNS = frozenset("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def one_line(text: object) -> str:
    r"""Return text without line ends and other control characters: `\n`, `\x1b` stand for them."""
    shown = str(text)
    return shown if shown.isprintable() else "".join(map(_visible, shown))


def _visible(char: str) -> str:
    if unicodedata.category(char) not in (*_HIDDEN, "Cs") and char not in _TURNS:
        return char
    return _SHORT.get(char) or char.encode("unicode_escape").decode("ascii")


def markdown(text: object) -> str:
    """Return text that GitHub's Markdown shows as it is, also in the cell of a table."""
    return _MARKDOWN.sub(r"\\\g<0>", one_line(text))


def markdown_code(text: object) -> str:
    """Return text as a code span, in more backticks than it holds itself."""
    shown = one_line(text)
    fence = "`" * (1 + max((len(run) for run in re.findall("`+", shown)), default=0))
    pad = " " if shown.startswith("`") or shown.endswith("`") else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def csv_text(text: str) -> str:
    """Return the text of a CSV cell that no spreadsheet takes for a formula.

    Text that begins one gets an apostrophe in front, as spreadsheets mark text themselves. All other
    text, and all that reads as a number (`-0.5`, `+1e-3`), stays as it is, so pandas reads the same
    values back but for such a name, and `lstrip("'")` undoes that.
    """
    return f"'{text}" if text.startswith(_FORMULA) and not _is_number(text) else text


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return text.strip() == text


def plotly_text(text: object) -> str:
    """Return text for labels of plotly, which reads tags, some entities and formulas in dollars.

    Quotes stay: plotly knows no entities for them.
    """
    return html.escape(one_line(text), quote=False).replace("$", "&#36;")
