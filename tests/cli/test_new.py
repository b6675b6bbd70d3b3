"""`seglab new` writes a project that trains, and refuses names and folders it should not take."""

from __future__ import annotations

import ast
import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from seglab.cli.main import main
from seglab.cli.new import name_problem

TEMPLATE = Path(__file__).resolve().parents[2] / "template"
# What makes the same commands light: a machine of the tests has other work, too.
LIGHT = ["trainer.max_epochs=1", "trainer.num_workers=0", "trainer.num_threads=1", "logger=none"]


def new(*words: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    with pytest.raises(SystemExit) as left:
        main(["new", *words])
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out + said.err


def test_project_has_its_name_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    code, said = new("roads", capsys=capsys)
    assert code == 0
    assert "cd roads\n  python -m roads.data\n  seglab train experiment=roads\n" in said
    files = sorted(path for path in Path("roads").rglob("*") if path.is_file())
    assert len(files) == len([p for p in TEMPLATE.rglob("*") if p.is_file() and p.suffix != ".pyc"])
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert "mylab" not in f"{file} {text}", file
        if file.suffix == ".py":
            ast.parse(text)
        elif file.suffix == ".yaml":
            yaml.safe_load(text)
        elif file.suffix == ".ipynb":
            assert all(not cell.get("outputs") for cell in json.loads(text)["cells"])
    assert yaml.safe_load(Path("roads/conf/plugins.yaml").read_text()) == {"plugins": ["roads"]}
    code, said = new("roads", capsys=capsys)
    assert code == 2
    assert "new: roads is there and not empty" in said
    assert new("roads", "--into", "my roads", capsys=capsys)[0] == 0
    assert Path("my roads/roads/model.py").is_file()


@pytest.mark.parametrize(
    ("name", "proposed"),
    [
        ("my-net", "'my_net' can"),
        ("3d", "'my_3d' can"),
        ("class", "'class_lab' can"),
        ("Über net!", "'ber_net' can"),
        ("a/b", "'a_b' can"),
        ("---", "'my_lab' can"),
        ("torch", "'my_torch' is free"),
        ("json", "'my_json' is free"),
        ("seglab", "'my_seglab' is free"),
    ],
)
def test_odd_names_are_refused_with_a_better_one(
    name: str, proposed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    problem = name_problem(name)
    assert problem is not None
    assert proposed in problem
    better = proposed.split("'")[1]
    assert name_problem(better) is None
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_commands_and_tests_of_a_new_project_work(tmp_path: Path) -> None:
    """As README has them, in the order in which a reader types them."""
    cli = [sys.executable, "-m", "seglab.cli"]

    def run(*words: str, into: Path = tmp_path / "roads") -> str:
        done = subprocess.run(words, cwd=into, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}{done.stderr}"
        return done.stdout

    run(*cli, "new", "roads", into=tmp_path)
    readme = (tmp_path / "roads" / "README.md").read_text(encoding="utf-8")
    blocks = re.findall(r"```bash\n(.*?)```", readme, flags=re.DOTALL)
    first, then = ([shlex.split(one, comments=True) for one in b.splitlines()] for b in blocks)
    assert [words[:2] for words in first] == [["python", "-m"], ["seglab", "train"]]
    folder = ["paths.runs_dir=runs", "paths.data_dir=data", "paths.cache_dir=cache"]
    run(sys.executable, *first[0][1:])
    run(*cli, *first[1][1:], *LIGHT, *folder)
    (record,) = (tmp_path / "roads" / "runs" / "roads").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "finished"
    for words in then:
        if words[0] == "python":
            run(sys.executable, *words[1:], "-q", "-p", "no:cacheprovider")
            continue
        light = folder if words[1] == "evaluate" else [*LIGHT, *folder, "study.n_trials=2"]
        run(*cli, *(one.replace("RUN", str(record.parent)) for one in words[1:]), *light)
    (study,) = (tmp_path / "roads" / "runs").rglob("study.json")
    trials = [json.loads(one.read_text()) for one in study.parent.rglob("run.json")]
    assert sum(one["kind"] == "trial" and one["status"] == "finished" for one in trials) >= 1


@pytest.mark.slow
def test_notebook_of_a_new_project_shows_its_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import nbformat
    from nbclient import NotebookClient

    content = nbformat.read(TEMPLATE / "notebooks" / "look.ipynb", as_version=4)
    words = [
        "data.options.num_images=12",
        "data.options.image_size=[48,64]",
        "data.crop_size=[48,64]",
    ]
    model = ["model=segnet_basic", "model.width=4", "data.options.frames_per_group=1"]
    runs = [f"paths.runs_dir={tmp_path / 'runs'}", "data=synth", "data.batch_size=4"]
    command = [sys.executable, "-m", "seglab.cli", "train", *words, *model, *runs, *LIGHT]
    subprocess.run(command, check=True, timeout=300)
    monkeypatch.chdir(tmp_path)
    NotebookClient(content, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    shown = [output for cell in content.cells for output in cell.get("outputs", [])]
    assert sum("image/png" in output.get("data", {}) for output in shown) >= 2
