"""The repository keeps its promises: the wheel carries conf/, documents and scripts do what they say."""

from __future__ import annotations

import re
import runpy
import shlex
import subprocess
import sys
import tomllib
import zipfile
from contextlib import suppress
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from scripts import lock, tables
from seglab.cli.commands import COMMANDS
from seglab.cli.main import main
from seglab.config.overrides import check_overrides

ROOT = Path(__file__).resolve().parents[1]
# The parts of one's own have tests of their own, which run them.
PAGES = [
    path.read_text(encoding="utf-8")
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))
    if path.name != "add-your-own.md"
]
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


def _shown_commands() -> list[list[str]]:
    """Return the words of every `seglab ...` line in the pages' shell blocks, comments cut off."""
    blocks = re.findall(r"```bash\n(.*?)```", "\n".join(PAGES), flags=re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    shown = dict.fromkeys(line for line in lines if line.startswith("seglab "))
    return [shlex.split(line, comments=True) for line in shown]


@pytest.fixture
def places(tmp_path: Path) -> dict[str, str]:
    """Real folders in place of the pages' DIR and run ids."""
    run = tmp_path / "runs" / "synth-unet" / "RUN_ID"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.ckpt").touch()
    (tmp_path / "DIR").mkdir()
    for name in ("smp.pth", "resnet34.safetensors"):
        (tmp_path / name).touch()
    return {
        "smp.pth": str(tmp_path / "smp.pth"),
        "resnet34.safetensors": str(tmp_path / "resnet34.safetensors"),
        "manifests/mine": str(tmp_path / "DIR"),
        "DIR": str(tmp_path / "DIR"),
        "runs/synth-unet/RUN_ID": str(run),
        "runs/synth-unet/CV_ID": str(run),
        "runs/synth-unet/20250131-120059-a1b2c3": str(run),
    }


def test_top_level_is_complete() -> None:
    assert not {name for name in TOP_LEVEL if not (ROOT / name).exists()}


def test_tables_of_the_pages_are_what_there_is() -> None:
    for name in tables.TABLES:
        assert "".join(PAGES).count(f"<!-- table: {name} -->") == 1
    assert tables.main(["--check"]) == 0, "run scripts/tables.py to write them anew"


def test_every_command_is_shown() -> None:
    assert {words[1] for words in _shown_commands()} == COMMANDS.keys()


@pytest.mark.parametrize("words", _shown_commands(), ids=" ".join)
def test_shown_command_is_sound(
    words: list[str], places: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    command, *rest = words[1:]
    if command not in ("train", "evaluate"):
        with suppress(SystemExit):
            main([*words[1:3], "--help"])
        assert f"usage: seglab {words[1]}" in capsys.readouterr().out
        return
    overrides = [word for word in rest if "=" in word]
    filled = []
    for override in overrides:
        key, _, value = override.partition("=")
        filled.append(f"{key}={places.get(value, value)}")
    if any(word.startswith("resume=") for word in filled):
        return
    checked = check_overrides(command, filled, multirun="-m" in rest)  # type: ignore[arg-type]
    assert checked.problems == []


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

    def test_what_depends_on_the_machine_stays_open(self) -> None:
        assert not {"torch", "torchvision", "triton", "seglab"} & self.LOCKED.keys()
        assert not [name for name in self.LOCKED if name.startswith(("nvidia", "cuda"))]
        assert set(lock.BUILD_TOOLS) <= self.LOCKED.keys()

    def test_text_and_versions_go_both_ways(self) -> None:
        versions = {"b": "1", "a": "2.0.post1"}
        assert lock.read_lock(lock.write_lock(versions)) == versions
        assert lock.differences({"a": "1", "c": "3"}, {"a": "2", "b": "1", "torch": "9"}) == [
            "a: 1 -> 2",
            "b: not locked -> 1",
        ]
