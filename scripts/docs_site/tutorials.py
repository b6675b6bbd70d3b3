"""What `make docs` does with notebooks/: each is a page of the site, with what it printed and drew.

`make docs` says NOTEBOOKS=run, and a notebook that fails, fails it. Without that they are shown as they
were last executed, or without outputs, so that whoever writes a page sees it at once. MkDocs calls the
functions by their names (https://www.mkdocs.org/dev-guide/plugins/#events).
"""

from __future__ import annotations

import os
import re

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page
from notebook_pages import make_page, read_all

_LINK = re.compile(r"\]\(((?:\.\./)*)\.\./notebooks/(\w+)\.ipynb\)")
_CARD = re.compile(r"^- \*\*\[.*\]\(tutorials/(\w+)\.md\)\*\*$", re.MULTILINE)
# By notebook: the figure that stands for it on the page that lists them.
_covers: dict[str, str] = {}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages and their figures."""
    for name, notebook in read_all(run=os.environ.get("NOTEBOOKS") == "run").items():
        page = make_page(name, notebook)
        files.append(File.generated(config, f"tutorials/{name}.md", content=page.markdown))
        for figure, png in page.figures.items():
            files.append(File.generated(config, f"tutorials/{figure}", content=png))
        if page.cover:
            _covers[name] = page.cover.replace("](", "](tutorials/").replace(".figure", ".cover")
    return files


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links to notebooks, as they have to be in the repository, to their pages."""
    del config, files
    markdown = _LINK.sub(r"](\1tutorials/\2.md)", markdown)
    return _CARD.sub(_with_cover, markdown) if page.file.src_uri == "tutorials.md" else markdown


def _with_cover(card: re.Match[str]) -> str:
    cover = _covers.get(card[1])
    return f"{card[0]}\n\n    {cover}\n" if cover else card[0]
