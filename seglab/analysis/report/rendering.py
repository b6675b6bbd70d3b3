"""Templates of pages that need nothing beside themselves: style, script and pictures are in them."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup, escape

from seglab.analysis.times import format_moment, format_runtime

GENERATOR = "seglab report"
_TEMPLATES = Path(__file__).parent / "template"


def render_template(
    name: str, generator: str = GENERATOR, folder: Path = _TEMPLATES, **content: Any
) -> str:
    """Return a page made of one of the templates and `parts.html.j2`.

    All text out of records is escaped, and a content security policy allows the page's own script
    only and no address outside it, so that a record from elsewhere cannot run or load anything.

    Args:
        name: Of the template.
        generator: Command that writes the page; the page names it.
        folder: Of the template, where it is not one of ours.
        **content: What the template shows; `report` has `title` and `version`.
    """
    script = Markup((_TEMPLATES / "report.js").read_text("utf-8"))  # noqa: S704 - our own file
    style = Markup((_TEMPLATES / "report.css").read_text("utf-8"))  # noqa: S704 - our own file
    digest = base64.b64encode(hashlib.sha256(script.encode("utf-8")).digest()).decode("ascii")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([folder, _TEMPLATES]),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    environment.filters["runtime"] = format_runtime
    environment.filters["moment"] = format_moment
    environment.filters["breakable"] = breakable
    environment.filters["code"] = code
    environment.filters["words"] = lambda values: json.dumps(list(values), ensure_ascii=False)
    own = {"script": script, "style": style, "script_hash": digest, "generator": generator}
    return environment.get_template(name).render(**own, **content)


def code(text: str) -> Markup:
    """Return escaped text with what stands in backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def breakable(text: str) -> Markup:
    """Return escaped text that may break after the marks that names are joined by."""
    return Markup(re.sub(r"([_/.-]+)", r"\1<wbr>", str(escape(text))))  # noqa: S704 - escaped first
