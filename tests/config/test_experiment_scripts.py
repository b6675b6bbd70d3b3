"""The scripts of experiments/ give commands that seglab takes, in every part of them."""

from __future__ import annotations

import os
import stat
import subprocess
from pathlib import Path

import pytest

from seglab.config.language.locate import conf_dir
from seglab.config.overrides import check_overrides

EXPERIMENTS = Path(__file__).parents[2] / "experiments"
# Each argument of a command on a line, then an empty one.
RECORDER = '#!/bin/sh\nprintf "%s\\n" "$@" "" >> "$SAID"\n'
PARTS = [
    ("camvid-best", ["segnet"], 1),
    ("camvid-best", ["studies"], 3),
    ("camvid-best", ["ablation"], 5),
    ("camvid-best", ["cpu"], 1),
    ("camvid-architectures", ["imagenet"], 12),
]


def _commands(script: Path, words: list[str], tmp_path: Path) -> list[list[str]]:
    """Run a script with something in place of seglab that writes down how it is called."""
    seglab, said = tmp_path / "seglab", tmp_path / "said.txt"
    seglab.write_text(RECORDER)
    seglab.chmod(seglab.stat().st_mode | stat.S_IXUSR)
    environment = {"PATH": os.environ["PATH"], "SEGLAB": str(seglab), "SAID": str(said)}
    subprocess.run([script, tmp_path, *words], env=environment, check=True)
    return [command.split("\n") for command in said.read_text().rstrip("\n").split("\n\n")]


@pytest.mark.parametrize(("name", "words", "count"), PARTS)
def test_every_command_of_a_script_is_sound(
    name: str, words: list[str], count: int, tmp_path: Path
) -> None:
    commands = _commands(EXPERIMENTS / name / "run.sh", words, tmp_path)
    assert len(commands) == count
    for app, *rest in commands:
        assert app == "train"
        multirun = rest[:1] == ["-m"]
        assert check_overrides("train", rest[multirun:], multirun=multirun).problems == [], rest


def test_what_an_arm_of_the_ablation_leaves_out_stays_out(tmp_path: Path) -> None:
    commands = _commands(
        EXPERIMENTS / "camvid-best" / "run.sh", ["ablation", "data.crop_size=[320,416]"], tmp_path
    )
    checked = {
        word.removeprefix("run_name="): check_overrides("train", words[2:], multirun=True).config
        for words in commands
        for word in words
        if word.startswith("run_name=")
    }
    crops = {name: list(cfg.data.crop_size) for name, cfg in checked.items() if cfg is not None}
    assert crops.pop("small-crop") == [224, 288]
    assert crops == {
        name: [320, 416] for name in ("all", "no-average", "plain-loss", "constant-rate")
    }
    plain = checked["plain-loss"]
    assert plain is not None
    assert list(plain.loss.terms) == list(plain.loss.weights) == ["ce"]


@pytest.mark.parametrize("name", sorted(path.stem for path in conf_dir().glob("experiment/*.yaml")))
def test_another_loss_goes_with_every_experiment(name: str) -> None:
    words = [f"experiment={name}", "loss=ce"]
    found = check_overrides("train", words, allow_missing=True).problems
    assert [text for text in found if "the study searches it" not in text] == []


def test_keys_of_a_term_that_the_loss_does_not_have_are_told_as_that(tmp_path: Path) -> None:
    own = tmp_path / "experiment" / "own.yaml"
    own.parent.mkdir()
    own.write_text("# @package _global_\nloss:\n  terms:\n    dice:\n      smooth: 1.0\n")
    assert check_overrides("train", ["experiment=own"], search=[tmp_path]).problems == []
    [found] = check_overrides("train", ["experiment=own", "loss=ce"], search=[tmp_path]).problems
    assert found.startswith("loss.terms.dice._target_: expected one of seglab.losses.")
    assert "the chosen loss has no such term: something, such as the experiment" in found
