"""The best configuration as a file: composing it gives the trial's configuration, or there is none."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import hydra
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from seglab.config.compose import compose
from seglab.config.composer import open_composer
from seglab.config.language.locate import ENV_CONF, conf_dir
from seglab.config.overrides import check_overrides
from seglab.core.errors import ConfigError
from seglab.sweep.conclude.best import LEFT_OUT, folders_of, write_best

pytestmark = pytest.mark.slow

CONF = conf_dir()


def composed(*words: str, search: Path | None = None) -> dict[str, Any]:
    """What a trial with these words trains, but for what a repetition has of its own."""
    with open_composer("train", search=[search] if search else []) as composer:
        content = OmegaConf.to_container(composer.compose(words)[0], resolve=True)
    assert isinstance(content, dict)
    content["logger"]["wandb"].pop("group", None)
    return {key: value for key, value in content.items() if key not in LEFT_OUT}


def written(path: Path) -> dict[str, Any]:
    """What the file says itself."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {}


def overridden(path: Path) -> dict[str, str | None]:
    """The choices in the file's defaults list."""
    entries = [entry for one in written(path).get("defaults", []) for entry in one.items()]
    return {key.removeprefix("override /"): choice for key, choice in entries}


def test_whole_file(tmp_path: Path) -> None:
    path = write_best(
        tmp_path / "best",
        "lr_batch",
        ["data=oxford_pet", "cv=kfold", "trainer.max_epochs=4"],
        ["optimizer.lr=1e-4", "data.batch_size=16", "loss=dice"],
        ["Study lr_batch, trial 7: val/miou 0.5123,\nthe best of 40 trials"],
    )

    assert path == tmp_path / "best" / "experiment" / "lr_batch.yaml"
    assert path.read_text(encoding="utf-8") == (
        "# @package _global_\n"
        "# Study lr_batch, trial 7: val/miou 0.5123,\n"
        "# the best of 40 trials\n"
        "# Chosen by the study: optimizer.lr=1e-4 data.batch_size=16 loss=dice\n"
        f"# Again: seglab train --config-dir {tmp_path}/best experiment=lr_batch\n"
        "defaults:\n"
        "- override /data: oxford_pet\n"
        "- override /cv: kfold\n"
        "- override /loss: dice\n"
        "\n"
        "data:\n"
        "  batch_size: 16\n"
        "optimizer:\n"
        "  lr: 0.0001\n"
        "trainer:\n"
        "  max_epochs: 4\n"
    )


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["optimizer.lr=1e-4", "optimizer.weight_decay=1e-7", "seed=1"],
        ["experiment=camvid_unet", "data.root=/d", "optimizer=sgd", "scheduler=poly"],
        ["experiment=demo", "debug=fdr", "trainer=cpu", "data.crop_size=[64, 96]", "tags=[]"],
        [
            "loss=boundary",
            "+loss.weights.extra=2",
            "+loss.terms.extra={_target_: x, p: 1.0}",
            "+model.options={a: {b: [1, [2.5, null]], c: true}, 3: x}",
            "model.encoder_depth=null",
        ],
        [
            "callbacks.early_stopping=null",
            "data.options=null",
            "objective=realtime",
            "+loss@second=dice",
            "+optimizer@model.optimizer=sgd",
        ],
    ],
    ids=lambda words: " ".join(words) or "none",
)
def test_composes_to_the_trial(tmp_path: Path, words: list[str]) -> None:
    path = write_best(tmp_path, "best", words[:1], words[1:], [])

    again, trial = composed(f"experiment={path.stem}", search=tmp_path), composed(*words)
    assert again == trial
    assert [type(one) for one in _leaves(again)] == [type(one) for one in _leaves(trial)]


def _leaves(content: Any) -> list[Any]:
    if isinstance(content, dict):
        return [leaf for key in sorted(content, key=str) for leaf in _leaves(content[key])]
    if isinstance(content, list):
        return [leaf for one in content for leaf in _leaves(one)]
    return [content]


def test_choices_of_an_experiment_are_chosen_and_its_values_written(tmp_path: Path) -> None:
    path = write_best(tmp_path, "best", ["experiment=camvid_unet"], ["optimizer.lr=0.01"], [])

    assert overridden(path) == {"data": "camvid"}  # the others are those of train.yaml
    assert written(path)["experiment_name"] == "camvid_unet"
    assert written(path)["optimizer"] == {"lr": 0.01, "encoder_lr": 5e-4}
    assert "# Written out below: what experiment=camvid_unet set." in path.read_text()


def test_trial_overrules_the_experiment(tmp_path: Path) -> None:
    words = ["experiment=camvid_segnet_basic"]
    path = write_best(tmp_path, "best", words, ["model=unet", "loss=ce_dice"], [])

    assert overridden(path) == {"data": "camvid"}
    assert written(path)["loss"] == {"class_weights": "median_frequency"}


def test_numbers_read_back_as_what_they_are(tmp_path: Path) -> None:
    words = [
        "optimizer.lr=1e-4",
        "optimizer.weight_decay=3.0000000000000004e-11",
        "augment.blur.p=1",
        "scheduler.final_div_factor=1e22",
        "+model.options={a: 1, b: 1.0, c: true, d: inf}",
    ]
    path = write_best(tmp_path, "best", [], words, [])

    said = written(path)  # by PyYAML, which takes `1e-4` for text
    assert said["optimizer"] == {"lr": 1e-4, "weight_decay": 3.0000000000000004e-11}
    assert said["augment"]["blur"]["p"] == 1
    assert isinstance(said["augment"]["blur"]["p"], int)  # 0.0 in the group's file
    assert [str(one) for one in said["model"]["options"].values()] == ["1", "1.0", "True", "inf"]
    assert composed("experiment=best", search=tmp_path) == composed(*words)


TRICKY = [
    "no",
    "1e3",
    "1e-4",
    "0x1f",
    "0o17",
    "1_000",
    "12:30",
    "2024-01-01",
    "null",
    "~",
    "",
    "nan",
    ".inf",
    " x ",
    "a: b",
    "a #b",
    "- a",
    "[a]",
    "{a: b}",
    "@a",
    "%a",
    "!a",
    "&a *b",
    "é ß",
    "true",
    "a, b",
    "a=b",
    "x" * 300,
    "a  b",
    "C:/d",
    "=",
    "a\\b",
    "???x",
    "y",
    "+1",
    "1.",
    ":",
    "'",
    '"',
]


def test_text_reads_back_as_text(tmp_path: Path) -> None:
    quoted = [text.replace("'", "\\'") for text in TRICKY]
    options = ",".join(f"k{index}: '{text}'" for index, text in enumerate(quoted))
    listed = ",".join(f"'{text}'" for text in quoted)
    words = [f"++model.options={{{options}}}", f"tags=[{listed}]"]
    path = write_best(tmp_path, "best", words, ["notes='1e3'"], ["a\nb", "", "c: d"])

    again = composed("experiment=best", search=tmp_path)
    assert list(again["model"]["options"].values()) == TRICKY
    assert (again["tags"], again["notes"]) == (TRICKY, "1e3")
    assert written(path)["tags"] == TRICKY
    assert list(written(path)["model"]["options"].values()) == TRICKY


def test_text_that_looks_like_an_interpolation_stays_text(tmp_path: Path) -> None:
    words = [r"notes='\${seed} \\\${a} \\b ${seed}'", "seed=5"]
    path = write_best(tmp_path, "best", [], words, [])

    assert composed(*words)["notes"] == r"${seed} \${a} \\b 5"
    assert composed("experiment=best", search=tmp_path)["notes"] == r"${seed} \${a} \\b 5"
    assert written(path)["seed"] == 5


def test_interpolation_of_a_group_stays_and_one_of_the_trial_is_resolved(tmp_path: Path) -> None:
    words = ["experiment=learning_curve", "scheduler=plateau", "monitor.mode=min"]
    path = write_best(tmp_path, "best", words, ["data.train_fraction=0.25"], [])

    said = written(path)
    assert said["trainer"] == {"max_epochs": 56, "val_every": 4}  # ${per_share:14,...}
    assert "scheduler" not in said  # its mode is still ${monitor.mode}
    again = composed("experiment=best", "monitor.mode=max", search=tmp_path)
    assert again["scheduler"]["mode"] == "max"


def test_name_of_the_experiment_follows_the_choices_as_before(tmp_path: Path) -> None:
    path = write_best(tmp_path, "best", ["data=camvid"], ["model=segnet"], [])

    assert "experiment_name" not in written(path)
    assert composed("experiment=best", search=tmp_path)["experiment_name"] == "camvid-segnet"


def test_keys_taken_away(tmp_path: Path) -> None:
    words = ["~scheduler.div_factor", "~loss.terms.dice", "~loss.weights.dice"]
    path = write_best(tmp_path, "best", words, ["optimizer.lr=0.1"], [])

    assert overridden(path) == {"loss": None, "scheduler": None}
    again = composed("experiment=best", search=tmp_path)
    assert again == composed(*words, "optimizer.lr=0.1")
    assert list(again["loss"]["terms"]) == ["ce"]
    assert "# Written out below: loss=ce_dice, as the trial had it." in path.read_text()


def test_group_taken_away(tmp_path: Path) -> None:
    path = write_best(tmp_path, "best", ["~cv"], ["~metrics"], [])

    assert overridden(path) == {"cv": None, "metrics": None}
    assert written(path).keys() == {"defaults"}
    assert "cv" not in composed("experiment=best", search=tmp_path)


def test_what_a_file_cannot_say_is_named_and_leaves_the_former_file(tmp_path: Path) -> None:
    former = write_best(tmp_path, "best", [], ["seed=1"], []).read_text()
    with pytest.raises(ConfigError) as caught:
        write_best(tmp_path, "best", ["~monitor.mode"], ["~seed"], [])

    assert caught.value.problems[1:] == [
        "monitor.mode: the trial has nothing, its file gives 'max'",
        "seed: the trial has nothing, its file gives 0",
    ]
    assert (tmp_path / "experiment" / "best.yaml").read_text() == former
    assert [path.name for path in tmp_path.rglob("*.yaml")] == ["best.yaml"]


def test_words_that_do_not_compose_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"it cannot be composed: .*'nought' is not in struct"):
        write_best(tmp_path, "best", ["nought=1"], [], [])


def test_folder_of_the_user_is_not_needed_again(tmp_path: Path) -> None:
    own = tmp_path / "own"
    for name, text in {
        "model/mine.yaml": "_target_: seglab.models.SegNetBasic\nin_channels: 3\nwidth: 8\n",
        "logger/mine.yaml": "defaults:\n  - wandb\n  - _self_\nwandb:\n  project: p\n  group: g\n",
        "experiment/asked.yaml": "# @package _global_\ndefaults:\n  - override /model: mine\n"
        "  - override /logger: mine\n  - override /loss: dice\nexperiment_name: asked\nseed: 4\n",
    }.items():
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        (own / name).write_text(text, encoding="utf-8")
    words = ["experiment=asked", "model.width=16"]
    path = write_best(tmp_path / "a", "best", words[:1], words[1:], [], search=[own])

    assert overridden(path) == {"model": None, "loss": "dice", "logger": None}
    again = composed("experiment=best", search=tmp_path / "a")
    assert again == composed(*words, search=own)
    assert again["model"] == {
        "_target_": "seglab.models.SegNetBasic",
        "in_channels": 3,
        "width": 16,
        "init_from": None,
    }
    assert again["logger"]["wandb"]["project"] == "p"
    assert "# Written out below: model=mine, as the trial had it." in path.read_text()
    checked = check_overrides("train", ["experiment=best"], search=[tmp_path / "a"])
    assert checked.problems == []  # with a group for W&B, though not the study's
    by_word = [f"hydra.searchpath=[file://{own}]", *words]
    with hydra.initialize_config_dir(str(CONF), version_base="1.3"):
        job = hydra.compose("train", by_word, return_hydra_config=True)
    assert folders_of(job) == {"search": [own], "config_folder": CONF, "config_name": "train"}
    assert written(write_best(tmp_path / "b", "best", by_word, [], [])) == written(path)


def test_path_from_the_working_directory_holds_from_any(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "work").mkdir()
    (tmp_path / "real").mkdir()
    (tmp_path / "scenes").symlink_to(tmp_path / "real")
    (tmp_path / "w.safetensors").touch()
    monkeypatch.chdir(tmp_path / "work")
    words = ["data=camvid", "data.root=../scenes", "model.encoder_weights=../w.safetensors"]
    path = write_best(tmp_path / "best", "best", words, ["data.manifest=not/there"], [])
    home = write_best(tmp_path / "best", "home", ["data.root='~/d'"], [], [])

    said = written(path)
    assert said["data"] == {"root": str(tmp_path / "scenes"), "manifest": "not/there"}
    assert said["model"] == {"encoder_weights": str(tmp_path / "w.safetensors")}
    assert "# Made absolute: data.root, model.encoder_weights." in path.read_text()
    assert written(home)["data"] == {"root": "~/d"}


def test_what_is_the_studys_or_the_machines_is_left_out(tmp_path: Path) -> None:
    words = [
        "run_name=trial-7",
        "paths.runs_dir=/big/runs",
        "logger.wandb.group=study",
        "tags=[a]",
        "logger.wandb.project=mine",
    ]
    path = write_best(tmp_path, "best", words, [], [])

    assert written(path) == {"tags": ["a"], "logger": {"wandb": {"project": "mine"}}}
    assert (
        "# Not in this file, because folders are the machine's: paths.runs_dir=/big/runs\n"
        in path.read_text()
    )


def test_study_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "study" / "mine.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /scheduler: poly\n"
        "study:\n  name: mine\n  n_trials: 40\ntrainer:\n  max_epochs: 3\n",
        encoding="utf-8",
    )
    monkeypatch.setenv(ENV_CONF, str(conf))
    words = ["study=mine", "study.n_trials=5", "optimizer.lr=0.1"]
    path = write_best(tmp_path / "best", "best", words[:2], words[2:], [])

    assert written(path) == {
        "defaults": [{"override /scheduler": "poly"}],
        "optimizer": {"lr": 0.1},
        "trainer": {"max_epochs": 3},
    }
    assert composed("experiment=best", search=tmp_path / "best") == composed(*words)


def test_other_configuration_folder_is_not_needed_again(tmp_path: Path) -> None:
    conf = tmp_path / "conf"
    shutil.copytree(CONF, conf)
    (conf / "optimizer" / "adamw.yaml").write_text("_target_: x\nlr: 0.5\n", encoding="utf-8")
    path = write_best(tmp_path, "best", [], ["seed=3"], [], config_folder=conf)

    assert overridden(path) == {"optimizer": None}
    assert composed("experiment=best", search=tmp_path)["optimizer"] == {"_target_": "x", "lr": 0.5}


def test_name_of_an_experiment_there_is_gives_way(tmp_path: Path) -> None:
    path = write_best(tmp_path, "demo", ["experiment=demo"], ["seed=1"], [])

    assert path.name == "demo-best.yaml"
    assert "experiment=demo-best\n" in path.read_text()
    assert composed("experiment=demo-best", search=tmp_path)["seed"] == 1
    odd = write_best(tmp_path, "größe 1,2=x+y.z", [], ["seed=1"], [])
    assert odd.name == "gr--e-1-2-x+y.z.yaml"
    assert composed(f"experiment={odd.stem}", search=tmp_path)["seed"] == 1


def test_command_line_repeats_the_trial(tmp_path: Path) -> None:
    folder = tmp_path / "my study's best"
    words = ["experiment=demo", "optimizer.lr=1e-4", "scheduler=poly", "+model.options.a='no'"]
    write_best(folder, "best", words[:1], words[1:], [])
    command = ["--config-dir", str(folder), "experiment=best", "--cfg", "job", "--resolve"]
    answer = subprocess.run(
        [sys.executable, "-m", "seglab.cli", "train", *command],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        env=os.environ.copy(),
    )

    assert answer.returncode == 0, answer.stderr
    content = OmegaConf.to_container(OmegaConf.create(answer.stdout))
    expected = OmegaConf.to_container(compose(words), resolve=True)
    assert content == expected


PLAIN_TEXT = st.text(
    st.characters(codec="utf-8", exclude_categories=["C", "Z"], exclude_characters="'\\$"),
    max_size=8,
)
GROUPS = {
    group: sorted(path.stem for path in (CONF / group).glob("*.yaml") if path.stem != "run")
    for group in (
        "data",
        "cv",
        "model",
        "loss",
        "optimizer",
        "scheduler",
        "augment",
        "trainer",
        "logger",
        "objective",
        "experiment",
        "debug",
    )
}
VALUES: dict[str, st.SearchStrategy[str]] = {
    "optimizer.lr": st.floats(1e-12, 1e12).map(repr),
    "seed": st.integers(0, 2**40).map(str),
    "data.crop_size": st.lists(st.integers(1, 2048), min_size=2, max_size=2).map(str),
    "notes": PLAIN_TEXT.map(lambda text: f"'{text}'"),
    "tags": st.lists(PLAIN_TEXT.map(lambda text: f"'{text}'")).map(
        lambda one: f"[{','.join(one)}]"
    ),
    "trainer.gradient_clip": st.sampled_from(["null", "1", "1.0", "${optimizer.lr}"]),
    "++model.options.x": st.sampled_from(["{a: {b: 1e-4}}", "[1,[no,'no']]", "1e3", "'1e3'", "on"]),
    "~augment.blur": st.just(""),
    "~trainer.compile": st.just(""),
    "~optimizer": st.just(""),
}


@pytest.mark.slow
@settings(max_examples=8, deadline=None)
@given(
    choices=st.fixed_dictionaries({}, optional={k: st.sampled_from(v) for k, v in GROUPS.items()}),
    values=st.fixed_dictionaries({}, optional=VALUES),
)
def test_any_choices_and_values_come_back(
    tmp_path_factory: pytest.TempPathFactory, choices: dict[str, str], values: dict[str, str]
) -> None:
    folder = tmp_path_factory.mktemp("best")
    if "~optimizer" in values:  # nothing can be said of a node that is not there
        values = {key: one for key, one in values.items() if "optimizer" not in key + one}
        choices.pop("optimizer", None)
        choices.pop("experiment", None)
        values["~optimizer"] = ""
    words = [f"{group}={choice}" for group, choice in choices.items()]
    trial_words = [key if key.startswith("~") else f"{key}={one}" for key, one in values.items()]
    write_best(folder, "best", words, trial_words, ["a line"])

    assert composed("experiment=best", search=folder) == composed(*words, *trial_words)
