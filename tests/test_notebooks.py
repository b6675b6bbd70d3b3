"""Every tutorial runs, is kept without outputs, and becomes a page with its figures."""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

from scripts.docs_site.notebook_pages import FOLDER, execute, make_page

NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
NAMES = [path.stem for path in NOTEBOOKS]


def test_every_tutorial_is_in_the_site() -> None:
    root = FOLDER.parent
    nav, index = ((root / name).read_text("utf-8") for name in ("mkdocs.yml", "docs/tutorials.md"))
    assert len(NAMES) >= 10
    for name in NAMES:
        assert f"- tutorials/{name}.md" in nav
        assert f"(../notebooks/{name}.ipynb)" in index


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=NAMES)
def test_outputs_are_stripped(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=NAMES)
def test_prose_is_there_and_cells_are_short(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    assert all(len(cell["source"]) <= 55 for cell in cells)
    assert sum(cell["cell_type"] == "markdown" for cell in cells) >= len(cells) // 3


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=NAMES)
def test_notebook_runs_and_shows_figures(notebook: Path) -> None:
    content = execute(notebook)
    page = make_page(notebook.stem, content)
    assert len(page.figures) >= 3
    assert page.cover is not None
    for png in page.figures.values():
        with Image.open(BytesIO(png)) as figure:
            assert np.asarray(figure.convert("L")).std() > 5, "a figure is blank"
    assert "Traceback" not in page.markdown
    errors = [
        output.text
        for cell in content.cells
        for output in cell.get("outputs", [])
        if output.output_type == "stream" and output.name == "stderr" and "Warning" in output.text
    ]
    assert not errors


@pytest.mark.slow
def test_what_a_killed_kernel_leaves_is_removed(tmp_path: Path) -> None:
    """Of each kernel that was killed up to 130 MB stayed in the folder for temporary files."""
    source = "import tempfile\nprint(tempfile.mkdtemp())"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    nbformat.write(notebook, tmp_path / "leaves.ipynb")
    (cell,) = execute(tmp_path / "leaves.ipynb", tmp_path / "kept").cells
    assert not Path(cell.outputs[0].text.strip()).parents[1].exists()


def page_of(*outputs: nbformat.NotebookNode, source: str = "1", tags: tuple[str, ...] = ()) -> str:
    cell = nbformat.v4.new_code_cell(source, outputs=list(outputs), metadata={"tags": list(tags)})
    return make_page("name", nbformat.v4.new_notebook(cells=[cell])).markdown


def shown(**data: str) -> nbformat.NotebookNode:
    media = {name.replace("_", "/"): content for name, content in data.items()}
    return nbformat.v4.new_output("display_data", media)


def printed(text: str) -> nbformat.NotebookNode:
    return nbformat.v4.new_output("stream", text=text)


def test_what_is_printed_in_pieces_is_shown_in_one() -> None:
    page = page_of(printed("\x1b[1mone\x1b[0m\n"), shown(text_plain="two\n"), printed("0 %\r9 %\n"))
    assert page.count(".output") == 1
    assert "```{.text .output}\none\ntwo\n9 %\n```" in page


def test_a_figure_needs_words() -> None:
    png = shown(image_png="iVBORw0KGgo=")
    with pytest.raises(ValueError, match=r"name_1\.png has no words in its cell"):
        page_of(png)
    page = page_of(png, source="#| fig-alt: A hill\ndraw()")
    assert "![A hill](name_1.png){.figure}" in page
    assert "```python\ndraw()\n```" in page


def test_tables_get_the_look_of_the_site() -> None:
    styles = "<div>\n<style scoped>\n a {}\n</style>\n"
    html = styles + '<table border="1" class="dataframe">\n  <tr style="x">\n    <td>1</td>'
    page = page_of(shown(text_html=html, text_plain="1"))
    assert "<table>\n<tr>\n<td>1</td>" in page
    assert "style" not in page


def test_long_helpers_are_folded_and_links_lead_to_pages() -> None:
    assert '??? note "Code"\n\n    ```python\n    1\n    ```' in page_of(tags=("hide-input",))
    text = "[a](../docs/serve.md#keys) [b](sweep.ipynb) [c](../experiments/demo/README.md)"
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell(text)])
    expected = "[a](../serve.md#keys) [b](sweep.md) [c](../experiments/demo/README.md)\n"
    assert make_page("name", notebook).markdown == expected
