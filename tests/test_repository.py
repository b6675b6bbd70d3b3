"""The repository keeps its promises: the wheel carries conf/, documents and scripts do what they say."""

from __future__ import annotations

import runpy
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import lock, tables

ROOT = Path(__file__).resolve().parents[1]
PAGES = [path.read_text(encoding="utf-8") for path in (ROOT / "docs").rglob("*.md")]
TOP_LEVEL = {
    "pyproject.toml",
    "conf",
    "seglab",
    "experiments",
    "notebooks",
    "tests",
    "scripts",
    "template",
    "docs",
    "README.md",
    "Makefile",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "constraints.txt",
    "LICENSE",
    ".ci/run",
    ".dockerignore",
    "Dockerfile",
    "compose.yaml",
    "mkdocs.yml",
    "CITATION.cff",
    "SECURITY.md",
    ".gitignore",
    ".pre-commit-config.yaml",
}


def test_top_level_is_complete() -> None:
    assert not {name for name in TOP_LEVEL if not (ROOT / name).exists()}


def test_tables_of_the_pages_are_what_there_is() -> None:
    for name in tables.TABLES:
        assert "".join(PAGES).count(f"<!-- table: {name} -->") == 1
    assert tables.main(["--check"]) == 0, "run scripts/tables.py to write them anew"


@pytest.mark.parametrize("script", sorted((ROOT / "scripts").glob("*.py")), ids=lambda p: p.name)
def test_script_explains_itself(
    script: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # In this process, which has torch and the rest already.
    monkeypatch.setattr(sys, "argv", [str(script), "--help"])
    monkeypatch.syspath_prepend(str(script.parent))
    with pytest.raises(SystemExit) as left:
        runpy.run_path(str(script), run_name="__main__")
    assert left.value.code == 0
    assert f"usage: {script.name}" in capsys.readouterr().out


def test_nothing_large_is_kept_in_git() -> None:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    files = [ROOT / name for name in listed.stdout.split("\0") if name]
    large = [str(path) for path in files if path.is_file() and path.stat().st_size > 512_000]
    assert not large


@pytest.mark.slow
def test_wheel_works_outside_the_checkout(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    names = set(zipfile.ZipFile(wheel).namelist())
    assert "seglab/conf/train.yaml" in names
    assert "seglab/conf/model/unet.yaml" in names
    assert {"seglab/template/mylab/model.py", "seglab/template/.gitignore"} <= names
    place = tmp_path / "installed"
    zipfile.ZipFile(wheel).extractall(place)
    # -P and a path of its own: the checkout must not be found.
    probe = (
        f"import sys; sys.path.insert(0, {str(place)!r}); import seglab.cli.main as m; "
        f"assert m.__file__.startswith({str(place)!r}), m.__file__; "
        "sys.exit(m.main(['train', '--cfg', 'job']))"
    )
    shown = subprocess.run(
        [sys.executable, "-P", "-c", probe],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        timeout=120,
    )
    assert shown.returncode == 0, shown.stderr
    assert "encoder_name:" in shown.stdout


class TestLock:
    """constraints.txt holds one version of everything, but for what depends on the machine."""

    LOCKED = lock.read_lock((ROOT / "constraints.txt").read_text(encoding="utf-8"))

    def test_every_requirement_is_locked_within_its_range(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        wanted = [
            Requirement(line)
            for lines in (project["dependencies"], *project["optional-dependencies"].values())
            for line in lines
        ]
        problems = [
            str(one)
            for one in wanted
            if not lock.is_open(one.name)
            and not one.specifier.contains(
                self.LOCKED.get(lock.normal(one.name), "0"), prereleases=True
            )
        ]
        assert problems == []

    def test_all_installs_every_extra_so_that_the_tests_of_each_run(self) -> None:
        project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        extras = project["optional-dependencies"]
        (everything,) = (Requirement(line) for line in extras.pop("all"))
        assert everything.extras == extras.keys()

    def test_what_depends_on_the_machine_stays_open(self) -> None:
        assert not {"torch", "torchvision", "triton", "seglab"} & self.LOCKED.keys()
        assert not [name for name in self.LOCKED if name.startswith(("nvidia", "cuda"))]
        assert set(lock.BUILD_TOOLS) <= self.LOCKED.keys()

    def test_text_and_versions_go_both_ways(self) -> None:
        versions = {"b-c": "1", "a": "2.0.post1"}
        assert lock.read_lock(lock.write_lock(versions)) == versions
        assert lock.read_lock("# written by hand\nB_c==1\n") == {"b-c": "1"}
        assert lock.differences({"a": "1", "c": "3"}, {"a": "2", "b": "1", "torch": "9"}) == [
            "a: 1 -> 2",
            "b: not locked -> 1",
        ]
