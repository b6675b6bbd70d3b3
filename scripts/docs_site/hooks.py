"""What `make docs` adds to the pages in docs/: references from the declarations, and the experiments.

MkDocs calls the functions by their names (https://www.mkdocs.org/dev-guide/plugins/#events).
"""

from __future__ import annotations

import os
import re
import textwrap
from pathlib import Path

from drawn_gallery import gallery_pages
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from reference_pages import commands_page, configuration_page, python_page

from seglab.config.declared.schema import SCHEMA_OF

ROOT = Path(__file__).resolve().parents[2]
_LINK = re.compile(r"\]\(((?:\.\./)+)([^)#]+)")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Offer the list of versions where mike builds, which writes one; elsewhere there is none to read."""
    if "MIKE_DOCS_VERSION" not in os.environ:
        del config.extra["version"]
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add what is not written by hand, and files of the repository that a page links to."""
    pages: dict[str, str | bytes] = {"reference/commands.md": commands_page()}
    pages["reference/python.md"] = python_page(ROOT / "seglab")
    pages |= {f"reference/{app}.md": configuration_page(app, one) for app, one in SCHEMA_OF.items()}
    studies = sorted((ROOT / "experiments").glob("*/README.md"))
    pages["studies.md"] = _studies_page(studies)
    pages |= gallery_pages(ROOT / "conf")
    for place, content in pages.items():
        files.append(File.generated(config, place, content=content))
    linked = {place for file in files.documentation_pages() for place in _outside(file)}
    pictures = [path for study in studies for path in study.parent.glob("*.png")]
    for path in sorted({*studies, *pictures, *(ROOT / place for place in linked)}):
        place = path.relative_to(ROOT).as_posix()
        files.append(File.generated(config, place, abs_src_path=str(path)))
    return files


def _outside(file: File) -> set[str]:
    """Return the files beside docs/ that a page links to."""
    depth = file.src_uri.count("/") + 1
    found = _LINK.finditer(file.content_string)
    return {m[2] for m in found if m[1] == "../" * depth and (ROOT / m[2]).is_file()}


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links that leave docs/, as they have to in the repository, to the copies in the site.

    A page without a description of its own is described by its beginning.
    """
    del config, files
    page.meta.setdefault("description", _begin(markdown))
    outside = _outside(page.file)
    if page.file.src_uri.startswith("experiments/"):
        markdown = markdown.replace("](../../docs/", "](../../")

    def inward(found: re.Match[str]) -> str:
        up = found[1].removeprefix("../") if found[2] in outside else found[1]
        return f"]({up}{found[2]}"

    return _LINK.sub(inward, markdown)


def _begin(markdown: str) -> str:
    """Return how the prose of a page begins, without headings, pictures, tables, code and marks."""
    prose = re.sub(
        r"```.*?```|^\*\*(Question|Status)[.:]\*\*", "", markdown, flags=re.DOTALL | re.MULTILINE
    )
    parts = [part.strip() for part in prose.split("\n\n")]
    first = next((part for part in parts if re.match(r"[\w*`\[]", part)), "")
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)|[*`\\]", r"\1", first)
    return textwrap.shorten(plain, 160, placeholder=" ...")


def _studies_page(readmes: list[Path]) -> str:
    lines = ["# Studies", ""]
    lines += ["Each from a question and a rule, written before the run, to a verdict.", ""]
    for readme in readmes:
        title = readme.read_text(encoding="utf-8").partition("\n")[0].removeprefix("# ")
        lines.append(f"- [{title}]({readme.relative_to(ROOT).as_posix()})")
    return "\n".join([*lines, ""])
