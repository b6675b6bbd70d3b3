"""The tutorials of the site: notebooks that are executed once, and become pages with their figures."""

from __future__ import annotations

import base64
import hashlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import distributions
from pathlib import Path
from typing import Any

import nbformat
from filelock import FileLock
from nbclient import NotebookClient

from seglab.core.disk.files import atomic_path

ROOT = Path(__file__).resolve().parents[2]
FOLDER = ROOT / "notebooks"
KEPT = ROOT / "build" / "notebooks"
# Says what a figure shows: Quarto's word, https://quarto.org/docs/authoring/figures.html#alt-text
_ALT = re.compile(r"^#\| fig-alt: (.*)\n", re.MULTILINE)
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|^.*\r(?!\n)", re.MULTILINE)
_LANGUAGES = {".yaml": "yaml", ".py": "python", "bash": "bash"}
_WIDGET = "application/vnd.jupyter.widget-view+json"
_SECONDS = 300


@dataclass
class NotebookPage:
    """A page of the site.

    Attributes:
        markdown: Its text.
        figures: PNG by file name, beside the page.
        cover: Markdown of the figure whose cell is tagged `cover`.
    """

    markdown: str
    figures: dict[str, bytes] = field(default_factory=dict)
    cover: str | None = None


def execute(notebook: Path, kept: Path = KEPT) -> nbformat.NotebookNode:
    """Return a notebook with its outputs: those that are kept, where neither it nor seglab changed.

    Raises:
        CellExecutionError: A cell failed.
    """
    place = kept / f"{notebook.stem}-{_digest(notebook)}.ipynb"
    if not place.is_file():
        content = nbformat.read(notebook, as_version=4)
        # Whoever builds has folders of their own; a tutorial begins with nothing.
        own = {name: value for name, value in os.environ.items() if not name.startswith("SEGLAB_")}
        with _room(notebook.stem, kept) as (folder, temporary):
            client = NotebookClient(
                content, timeout=_SECONDS, resources={"metadata": {"path": str(folder)}}
            )
            # A kernel that is killed removes nothing: its temporary folders lie in one of ours.
            client.execute(env={**own, "JUPYTER_COLUMNS": "84", "TMPDIR": str(temporary)})
            if left := sorted(path.name for path in folder.iterdir()):
                raise RuntimeError(f"{notebook.name} leaves {', '.join(left)} where it runs")
        for former in kept.glob(f"{notebook.stem}-*.ipynb"):
            former.unlink()
        with atomic_path(place) as temporary:
            nbformat.write(content, temporary)
    return nbformat.read(place, as_version=4)


@contextmanager
def _room(name: str, kept: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a folder to run in and one for temporary files; what a former, killed build left goes first."""
    # Short, for sockets lie in it; of this checkout, for others may build beside it.
    own = hashlib.sha256(str(kept.absolute() / name).encode()).hexdigest()[:8]
    room = Path(tempfile.gettempdir()) / f"seglab-{own}"
    kept.mkdir(parents=True, exist_ok=True)
    with FileLock(kept / f".{name}.lock"):
        shutil.rmtree(room, ignore_errors=True)
        try:
            for part in ("run", "tmp"):
                (room / part).mkdir(parents=True)
            yield room / "run", room / "tmp"
        finally:
            shutil.rmtree(room, ignore_errors=True)


def _digest(notebook: Path) -> str:
    """Stand for all that decides what comes out."""
    digest = hashlib.sha256(notebook.read_bytes())
    installed = sorted(f"{one.name} {one.version}" for one in distributions())
    digest.update("\n".join(installed).encode())
    sources = [*(ROOT / "seglab").rglob("*.py"), *(ROOT / "conf").rglob("*.yaml")]
    for path in sorted(sources):
        digest.update(path.relative_to(ROOT).as_posix().encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def read_all(run: bool) -> dict[str, nbformat.NotebookNode]:
    """Return all notebooks by name: executed, or else as they were last executed, if they were."""
    notebooks = sorted(FOLDER.glob("*.ipynb"))
    if run:
        with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
            return {
                path.stem: content
                for path, content in zip(notebooks, pool.map(execute, notebooks), strict=True)
            }
    last = {path.stem: [*KEPT.glob(f"{path.stem}-*.ipynb"), path][0] for path in notebooks}
    return {name: nbformat.read(path, as_version=4) for name, path in last.items()}


def make_page(name: str, notebook: nbformat.NotebookNode) -> NotebookPage:
    """Turn a notebook into a page.

    Raises:
        ValueError: A figure has no words for who cannot see it.
    """
    page, parts = NotebookPage(""), []
    for cell in notebook.cells:
        if cell.cell_type == "markdown":
            # From beside docs/ to a folder within it.
            text = cell.source.replace("](../docs/", "](../")
            parts.append(re.sub(r"\]\((\w+)\.ipynb", r"](\1.md", text))
            continue
        parts.append("\n".join(_code(cell)))
        for shown in _shown(cell, name, page):
            parts.append(shown)
            if "cover" in cell.metadata.get("tags", []) and shown.startswith("!["):
                page.cover = shown
    page.markdown = "\n\n".join(part for part in parts if part) + "\n"
    return page


def _code(cell: nbformat.NotebookNode) -> Iterator[str]:
    source = _ALT.sub("", cell.source + "\n").strip()
    magic, _, rest = source.partition("\n")
    language = "python"
    if magic.startswith("%%"):
        language = _LANGUAGES.get(Path(magic).suffix or magic[2:], "text")
        if language == "bash":
            source = rest
    fenced = [f"```{language}", *source.splitlines(), "```"]
    if "hide-input" in cell.metadata.get("tags", []):
        yield '??? note "Code"\n'
        fenced = [f"    {line}" if line else "" for line in fenced]
    yield from fenced


def _shown(cell: nbformat.NotebookNode, name: str, page: NotebookPage) -> Iterator[str]:
    """Yield what a cell put out, what it printed in pieces in one piece; keep its figures."""
    words, printed = iter(_ALT.findall(cell.source + "\n")), ""
    for output in cell.get("outputs", []):
        data = output.get("data", {"text/plain": output.get("text", "")})
        if _WIDGET in data:
            continue
        html, text = data.get("text/html", ""), data.get("text/plain", "")
        is_text = not ("<table" in html or data.keys() & {"image/png", "text/markdown"})
        printed += text if is_text else ""
        # What is shown rather than printed has no end of line of its own.
        printed += "\n" if is_text and output.output_type == "execute_result" else ""
        if is_text:
            continue
        yield _fenced(printed)
        printed = ""
        if "image/png" in data:
            yield _figure(output, words, f"{name}_{len(page.figures) + 1}.png", page)
        else:
            yield _table(html) if "<table" in html else _here(data["text/markdown"])
    yield _fenced(printed)


def _figure(output: Any, words: Iterator[str], file: str, page: NotebookPage) -> str:
    alt = next(words, None)
    if alt is None:
        raise ValueError(f"{file} has no words in its cell: #| fig-alt: what it shows")
    page.figures[file] = base64.b64decode(output.data["image/png"])
    width = output.metadata.get("image/png", {}).get("width")
    size = f' width="{width}"' if width else ""
    return f"![{alt}]({file}){{.figure{size}}}"


def _fenced(text: str) -> str:
    text = _here(_CONTROL.sub("", text)).rstrip()
    return f"```{{.text .output}}\n{text}\n```" if text else ""


def _here(text: str) -> str:
    """Leave out the folder that a tutorial works in, which is gone afterwards."""
    return re.sub(re.escape(tempfile.gettempdir()) + r"/\w+/", "", text)


def _table(html: str) -> str:
    """Leave a table to the site's own look."""
    html = re.sub(r"<style.*?</style>", "", html, flags=re.DOTALL)
    html = re.sub(r'\s(?:id|class|border|style)="[^"]*"', "", html)
    return re.sub(r"\n\s*", "\n", html).strip()
