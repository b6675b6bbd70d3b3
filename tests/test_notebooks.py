"""Every notebook runs on a real run and is kept without outputs."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import training

FOLDER = Path(__file__).resolve().parents[1] / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))


def test_there_are_notebooks() -> None:
    assert NOTEBOOKS


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_outputs_are_stripped(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in code)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_prose_is_there_and_cells_are_short(notebook: Path) -> None:
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    assert cells[0]["cell_type"] == "markdown"
    assert cells[0]["source"][0].startswith("# ")
    assert all(len(cell["source"]) <= 75 for cell in cells)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one finished training; notebooks that need more add it themselves."""
    root = tmp_path_factory.mktemp("runs")
    words = [*training.TINY, "trainer.max_epochs=2", "logger=none", f"paths.runs_dir={root}"]
    subprocess.run([sys.executable, "-m", "seglab.cli", "train", *words], check=True, timeout=300)
    return root


@pytest.mark.slow
@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_runs_and_shows_figures(
    notebook: Path, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(notebook, as_version=4)
    monkeypatch.setenv("SEGLAB_RUNS", str(runs))
    monkeypatch.delenv("SEGLAB_MANIFEST", raising=False)
    monkeypatch.delenv("SEGLAB_STUDY", raising=False)
    NotebookClient(content, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    outputs = [output for cell in content.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) >= 3
    said = "".join(output["text"] for output in outputs if output["output_type"] == "stream")
    assert "Traceback" not in said
    assert not list(tmp_path.iterdir()), "a notebook leaves nothing where it runs"
