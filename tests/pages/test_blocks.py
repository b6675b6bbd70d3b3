"""The pages' blocks of code do what their tags say: `{.run}` ones run here, as they stand, in their order."""

from __future__ import annotations

import ast
import importlib
import shutil
from contextlib import suppress
from pathlib import Path

import pytest

from seglab.cli.commands import COMMANDS
from seglab.cli.main import run as seglab
from seglab.config.overrides import check_overrides
from tests.pages.blocks import TAGGED, Block, blocks
from tests.pages.workspace import build_workspace, light

BLOCKS = blocks(*TAGGED)
RUN = [block for block in BLOCKS if block.tags == ["run"]]
# Tests of their own run these; the guide's block is that of README in deploy/test_run_to_service.
ELSEWHERE = {"docs/add-your-own.md", "docs/feedback.md", "docs/guide/service.md"}
# Serve and watch until they are stopped.
ENDLESS = (["serve"], ["monitor", "watch"])
PAGES = sorted({block.page for block in RUN} - ELSEWHERE)


def _commands() -> list[list[str]]:
    """Return the words behind `seglab` of every command that the pages show, each once."""
    shown = [words for block in BLOCKS if block.language == "bash" for words in block.commands()]
    return [list(one) for one in dict.fromkeys(tuple(w[1:]) for w in shown if w[0] == "seglab")]


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_block_says_whether_it_runs(block: Block) -> None:
    assert len(block.tags) == 1, (
        "tag it {.run}, {.checked} or {.not-run}: see tests/pages/blocks.py"
    )
    assert bool(block.why) == (block.tags == ["not-run"])
    if block.tags == ["checked"] and block.language == "bash":
        assert {words[0] for words in block.commands()} == {"seglab"}
    if block.language == "python":
        for node in ast.walk(ast.parse(block.code)):
            if isinstance(node, ast.ImportFrom) and str(node.module).startswith("seglab"):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, name.name) for name in node.names)


def test_every_command_is_shown() -> None:
    assert {words[0] for words in _commands()} == COMMANDS.keys()


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the words of a command have to find: folders, and runs without content."""
    folder = tmp_path_factory.mktemp("places")
    for name in ("DIR", "CAMVID", "CAMVID_DIR", "manifests/mine", "drawn/manifest"):
        (folder / name).mkdir(parents=True)
    ids = ("RUN_ID", "CV_ID", "20250131-120059-a1b2c3")
    places = [f"runs/synth-unet/{name}" for name in ids]
    for run in (folder / name for name in ("RUN_DIR", "runs/mine-unet/RUN_ID", *places)):
        (run / "checkpoints").mkdir(parents=True)
        (run / "run.json").write_text("{}")
        (run / "checkpoints/best.ckpt").touch()
    for name in ("smp.pth", "resnet34.safetensors", "tf_efficientnet_lite0.safetensors"):
        (folder / name).touch()
    return folder


@pytest.mark.parametrize("words", _commands(), ids=" ".join)
def test_shown_command_is_sound(
    words: list[str],
    places: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(places)
    name, *rest = words
    overrides = [word for word in rest if "=" in word]
    if name in ("train", "evaluate"):
        # What a reader declares, a run's own words, and launchers that are packages are tested elsewhere.
        if not any(word.startswith(("resume=", "hydra/")) or "mine." in word for word in overrides):
            checked = check_overrides(name, overrides, multirun="-m" in rest)  # type: ignore[arg-type]
            assert checked.problems == []
        return
    module = COMMANDS[name].load()
    if len(overrides) == len(rest) or name in ("registry", "monitor", "review"):
        with suppress(SystemExit):
            seglab([*words[:2], "--help"])
        keys = [word.partition("=")[0].partition(".")[0] for word in overrides]
        told = capsys.readouterr().out
        assert told.startswith(f"usage: seglab {name}")
        assert [key for key in keys if key not in told] == []
        return
    module.build_parser().parse_args(rest)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workspace")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.delenv("SEGLAB_RUNS")
        build_workspace(folder)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_blocks_of_a_page_run(
    page: str,
    workspace: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    folder = tmp_path / "work"
    shutil.copytree(workspace, folder)
    monkeypatch.chdir(folder)
    monkeypatch.delenv("SEGLAB_RUNS")
    monkeypatch.syspath_prepend(str(folder))
    own = [block for block in RUN if block.page == page]
    own = [block for block in own if page != "README.md" or "seglab serve" not in block.code]
    if any("output=model" in block.code for block in own):
        shutil.rmtree("model")
        Path("model.zip").unlink()
    names: dict[str, object] = {}
    for block in own:
        if block.language == "python":
            exec(compile(block.code, str(block), "exec"), names)  # noqa: S102
            continue
        for _, *words in (line for line in block.commands() if line[0] == "seglab"):
            if words[:1] in ENDLESS or words[:2] in ENDLESS:
                continue
            code = seglab([*words, *light(words)])
            assert code == 0, (
                f"{block}: seglab {' '.join(words)}\n{capsys.readouterr().err[-2000:]}"
            )
