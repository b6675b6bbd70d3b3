from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import pytest

import seglab as package
from seglab.cli.base.reporting import find_seglab_error, guarded, report
from seglab.cli.commands import COMMANDS
from seglab.cli.main import main
from seglab.core.errors import ConfigError, TrainingError

Run = Callable[..., Any]
HEAVY = ("torch", "pytorch_lightning", "pandas", "cv2", "timm", "kornia", "wandb", "matplotlib")


@pytest.mark.parametrize("words", [(), ("--help",), ("-h",)], ids=str)
def test_help_lists_the_commands(seglab: Run, words: tuple[str, ...]) -> None:
    answer = seglab(*words)

    assert answer.code == 0
    assert all(f"  {name}" in answer.out for name in COMMANDS)


def test_version(seglab: Run) -> None:
    assert seglab("--version").out == f"seglab {package.__version__}\n"


def test_unknown_command_names_the_nearest(seglab: Run) -> None:
    answer = seglab("trian", "seed=1")

    assert answer.code == 2
    assert answer.err == (
        "seglab: no such command 'trian' (did you mean 'train'?); commands are "
        f"{', '.join(COMMANDS)}\n"
    )


def test_main_exits_with_the_code(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["seglab", "nonsense"])
    with pytest.raises(SystemExit) as caught:
        main()
    assert caught.value.code == 2


@pytest.mark.parametrize(
    ("words", "needs_hydra"),
    [
        (["--help"], False),
        (["data", "--help"], False),
        (["doctor", "--help"], False),
        (["train", "--help"], False),
        (["train", "--cfg", "job"], True),
        (["train", "data.batchsize=3"], True),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_answers_without_heavy_imports(words: list[str], needs_hydra: bool) -> None:
    code = (
        "import sys\nfrom seglab.cli.main import run\n"
        "try:\n    run(sys.argv[1:])\nexcept SystemExit:\n    pass\n"
        f"print('LOADED', [name for name in {(*HEAVY, 'numpy', 'hydra')} if name in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == f"LOADED {['hydra'] if needs_hydra else []}"


def test_python_m_is_the_same_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "seglab.cli", "--version"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("seglab ")


def raise_(error: BaseException) -> int:
    raise error


def test_failures_become_messages_and_codes(capsys: pytest.CaptureFixture[str]) -> None:
    cases: list[tuple[BaseException, int, str]] = [
        (ConfigError("a: wrong"), 2, "seglab x: 1 configuration problem:\n  - a: wrong\n"),
        (TrainingError("loss is NaN"), 1, "seglab x: loss is NaN\n"),
        (KeyboardInterrupt(), 130, "\nseglab x: interrupted\n"),
        (
            ValueError("boom\nmore"),
            1,
            "seglab x: ValueError: boom. Set SEGLAB_TRACEBACK=1 to see it all.\n",
        ),
    ]
    for error, code, text in cases:
        assert guarded("seglab x", lambda error=error: raise_(error)) == code  # type: ignore[misc]
        assert capsys.readouterr().err == text


def test_traceback_is_kept_and_shown_when_asked_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    monkeypatch.setenv("SEGLAB_TRACEBACK", "1")
    with pytest.raises(ValueError, match="boom") as caught:
        raise ValueError("boom")
    assert report("seglab x", caught.value, tmp_path) == 1

    shown = capsys.readouterr().err
    assert shown.startswith("Traceback (most recent call last)")
    assert "Set SEGLAB_TRACEBACK" not in shown
    assert "ValueError: boom" in (tmp_path / "traceback.txt").read_text()


def test_error_raised_on_purpose_is_found_behind_a_library_error() -> None:
    ours = ConfigError("a: wrong")
    wrapped = RuntimeError("Error in call to target")
    wrapped.__cause__ = ours

    assert find_seglab_error(wrapped) is ours
    assert find_seglab_error(RuntimeError("x")) is None
