"""Every file of conf/ composes and is sound; what composing gives."""

from __future__ import annotations

from pathlib import Path

import pytest
from hydra.core.global_hydra import GlobalHydra
from omegaconf import OmegaConf

from seglab.config.compose import compose
from seglab.config.composer import open_composer
from seglab.config.language.locate import conf_dir
from seglab.config.overrides import check_overrides
from seglab.config.validate import require_valid, validate
from seglab.core.errors import ConfigError

CONF = conf_dir()
CHOICES = sorted(
    (path.parent.relative_to(CONF).as_posix(), path.stem)
    for path in CONF.glob("*/*.yaml")
    if (path.parent.name, path.stem) != ("data", "run")
    and path.parent.name != "study"  # tried as the multiruns they are: see test_study.py
)
OF_EVALUATE = ("suite", "predict")


# Groups of which one choice goes with any of another, so that a composition tries one of each.
TOGETHER = sorted({group for group, _ in CHOICES} - {*OF_EVALUATE, "experiment", "debug", "cv"})


def _sets_of_choices() -> list[list[str]]:
    """Return words that name every choice at least once, in few compositions."""
    choices = {group: [name for one, name in CHOICES if one == group] for group in TOGETHER}
    longest = max(map(len, choices.values()))
    together = [
        [f"{group}={names[number % len(names)]}" for group, names in choices.items()]
        for number in range(longest)
    ]
    alone = [[f"{group}={name}"] for group, name in CHOICES if group not in TOGETHER]
    return together + alone


@pytest.mark.parametrize("words", _sets_of_choices(), ids=" ".join)
def test_every_choice_composes_and_is_sound(words: list[str]) -> None:
    app = "evaluate" if words[0].partition("=")[0] in OF_EVALUATE else "train"
    assert check_overrides(app, words, allow_missing=True).problems == []


def test_every_choice_is_among_them() -> None:
    named = {word for words in _sets_of_choices() for word in words}
    assert {f"{group}={name}" for group, name in CHOICES} <= named


def test_no_file_is_left_out() -> None:
    files = {path.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")}
    files -= {name for name in files if name.startswith("study/")}
    tested = {f"{group}/{choice}.yaml" for group, choice in CHOICES}
    elsewhere = {
        "train.yaml",
        "evaluate.yaml",
        "data/run.yaml",
        "hydra/job_logging/seglab.yaml",
        "hydra/hydra_logging/seglab.yaml",
        "hydra/sweeper/seglab.yaml",
        "hydra/launcher/local.yaml",
        "hydra/launcher/ray.yaml",
        "hydra/launcher/slurm.yaml",
    }

    assert files - tested == elsewhere


@pytest.mark.parametrize("name", [choice for group, choice in CHOICES if group == "experiment"])
def test_experiment_says_its_question_and_names_itself(name: str) -> None:
    text = (CONF / "experiment" / f"{name}.yaml").read_text(encoding="utf-8")
    lines = text.splitlines()

    assert lines[0] == "# @package _global_"
    assert lines[1].startswith("# Question: ")
    assert f"experiment_name: {name}" in lines
    assert len(lines) <= 40


@pytest.mark.slow
def test_debug_goes_with_every_experiment() -> None:
    experiments = [name for group, name in CHOICES if group == "experiment"]
    debugs = [name for group, name in CHOICES if group == "debug"]
    for number, name in enumerate(experiments):
        words = [f"experiment={name}", f"debug={debugs[number % len(debugs)]}"]
        assert check_overrides("train", words, allow_missing=True).problems == []


@pytest.mark.parametrize(
    ("words", "name"),
    [
        (["data.manifest=manifests/mine"], "mine"),
        (["data=folder", "data.manifest=manifests/mine/manifest.parquet"], "mine"),
        (["data.manifest=drawn/manifest"], "drawn"),
        (["data.manifest='my data (2)'"], "my_data_2_"),
        (["data=camvid", "data.manifest=manifests/mine", "data.name=other"], "other"),
    ],
)
def test_runs_on_a_manifest_are_named_after_it(words: list[str], name: str) -> None:
    cfg = check_overrides("train", words).config
    assert cfg is not None
    assert (cfg.data.name, cfg.experiment_name) == (name, f"{name}-unet")


def test_compose_returns_a_checked_configuration() -> None:
    cfg = compose(["model=segnet", "seed=3"])

    assert cfg.experiment_name == "synth-segnet"
    assert cfg.seed == 3
    assert "hydra" not in cfg
    assert compose().experiment_name == "synth-unet"
    assert compose(["experiment=demo"]).experiment_name == "demo"
    assert compose(["+model.options.decoder_use_norm=true"]).model.options.decoder_use_norm is True
    assert validate(cfg) == []


def test_compose_raises_with_all_problems() -> None:
    with pytest.raises(ConfigError) as caught:
        compose(["sede=3", "trainer.max_epochs=0"])

    assert len(caught.value.problems) == 2
    assert caught.value.exit_code == 2


def test_require_valid_raises_with_all_problems() -> None:
    cfg = compose()
    OmegaConf.update(cfg, "trainer.max_epochs", 0)
    OmegaConf.update(cfg, "data.rot", "x", force_add=True)

    with pytest.raises(ConfigError, match="2 configuration problems"):
        require_valid(cfg)


def test_composing_leaves_hydra_as_it_was() -> None:
    assert not GlobalHydra.instance().is_initialized()
    compose()
    assert not GlobalHydra.instance().is_initialized()
    with open_composer("train") as outer:
        compose(["seed=1"])
        assert GlobalHydra.instance().is_initialized()
        assert outer.compose(["seed=2"])[0].seed == 2


def test_folders_follow_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEGLAB_DATA", "/d")
    monkeypatch.setenv("SEGLAB_RUNS", "/r")
    monkeypatch.setenv("SEGLAB_FILE_CACHE_GB", "2.5")
    paths = OmegaConf.to_container(compose().paths, resolve=True)

    folders = {"data_dir": "/d", "cache_dir": "~/.cache/seglab", "runs_dir": "/r"}
    assert paths == {**folders, "file_cache_gb": 2.5}


def test_further_folder_adds_choices(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    text = "_target_: seglab.optim.build_optimizer\nname: lion\nlr: 1.0e-4\n"
    (tmp_path / "optimizer" / "mine.yaml").write_text(text, encoding="utf-8")

    assert check_overrides("train", ["optimizer=mine"], search=[tmp_path]).problems == []
    assert len(check_overrides("train", ["optimizer=mine"]).problems) == 1


@pytest.mark.parametrize(
    "words",
    [
        ["experiment=demo", "seed=3", "optimizer.lr=1e-2", "hydra.run.dir=/tmp/elsewhere"],
        ["model=unet", "+model.options={decoder_use_norm: true}", "++trainer.max_epochs=3"],
        ["data=synth", "+tags=[no, 1e3, 'on']", "augment=strong"],
        ["loss=ce_dice", "~loss.terms.dice", "~loss.weights.dice", "optimizer=adamw", "notes=a b"],
        ["study=lr_batch", "study.n_trials=2"],
    ],
    ids=" ".join,
)
def test_what_is_checked_is_what_hydra_composes(words: list[str]) -> None:
    checked = check_overrides("train", words, allow_missing=True)
    assert checked.problems == []
    assert checked.config is not None
    with open_composer("train") as composer:
        composed, _ = composer.compose(checked.overrides)
    assert OmegaConf.to_yaml(checked.config) == OmegaConf.to_yaml(composed)


def test_changed_files_are_composed_anew(tmp_path: Path) -> None:
    (tmp_path / "optimizer").mkdir()
    file = tmp_path / "optimizer" / "mine.yaml"

    def rate(text: str) -> object:
        file.write_text(f"_target_: seglab.optim.build_optimizer\nlr: {text}\n", encoding="utf-8")
        with open_composer("train", search=[tmp_path]) as composer:
            cfg, choices = composer.compose(["optimizer=mine"])
        assert choices["optimizer"] == "mine"
        found = cfg.optimizer.lr
        cfg.optimizer.lr = "what one caller does is not seen by the next"
        return found

    assert [rate("0.1"), rate("0.1"), rate("0.25"), rate("0.5")] == [0.1, 0.1, 0.25, 0.5]
