from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from seglab.cli.commands import COMMANDS
from seglab.cli.data import DATA_COMMANDS

Run = Callable[..., Any]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("seglab ", " ".join(COMMANDS)),
        ("seglab ev", "evaluate"),
        ("seglab data ", " ".join(DATA_COMMANDS)),
        ("seglab data im", "import"),
        ("seglab train optimizer=ad", "optimizer=adam optimizer=adamw"),
        ("seglab train monitor.m", "monitor.metric= monitor.mode="),
        ("seglab train seed=1 data=synth data.b", "data.bands= data.batch_size="),
        ("seglab evaluate checkp", "checkpoint="),
        ("seglab train nonsense=1 data.", ""),
        ("seglab doctor ", ""),
        ("seglab doctor --j", "--json"),
        ("seglab cv ", "collect"),
        ("seglab metrics explain --sp", "--split"),
        ("seglab train trainer.precision=f", "trainer.precision=fp32 trainer.precision=fp16"),
        (
            "seglab train trainer.deterministic=",
            "trainer.deterministic=true trainer.deterministic=false",
        ),
    ],
)
def test_query_answers_the_shell(
    seglab: Run, monkeypatch: pytest.MonkeyPatch, line: str, expected: str
) -> None:
    monkeypatch.setenv("COMP_LINE", line)
    answer = seglab("-sc", "query=bash")

    assert answer.code == 0
    assert answer.err == ""
    assert answer.out.strip() == expected


def test_fish_gets_a_line_a_word(seglab: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMP_LINE", "seglab ")
    assert seglab("-sc", "query=fish").out.split("\n")[:2] == ["train", "evaluate"]


def test_wrong_request_is_explained(seglab: Run) -> None:
    answer = seglab("train", "-sc", "instal=bash")

    assert answer.code == 2
    assert "expected install=SHELL or uninstall=SHELL with one of bash, zsh, fish" in answer.err


@pytest.mark.parametrize(
    "words", [("-sc", "install=bash"), ("train", "-sc", "install=bash")], ids=str
)
def test_installed_script_completes_in_bash(
    seglab: Run, tmp_path: Path, words: tuple[str, ...]
) -> None:
    if shutil.which("bash") is None:
        pytest.skip("there is no bash")
    script = seglab(*words).out
    assert script.rstrip().endswith("-F hydra_bash_completion seglab")
    program = tmp_path / "bin" / "seglab"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m seglab.cli "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    typed = "seglab train scheduler=p"
    test = f'{script}\nCOMP_LINE="{typed}" COMP_POINT={len(typed)} COMP_CWORD=2\n'
    test += 'hydra_bash_completion\necho "${COMPREPLY[@]}"\n'
    environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["bash", "-c", test], capture_output=True, text=True, check=True, env=environment
    )

    assert done.stdout.strip() == "scheduler=plateau scheduler=poly"
