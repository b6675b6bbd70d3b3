"""Words and the `study` node become the plan of a study, or the jobs that Hydra's own sweeper would run."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import optuna
import pytest
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hypothesis import given
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf

from seglab.config.composer import Composer, open_composer
from seglab.core.errors import ConfigError
from seglab.runs.studies.study import StudyFolder, StudyObjective
from seglab.sweep.ask.plan_config import grid, split_words, study_plan
from seglab.sweep.ask.space import parse_space, suggest


@pytest.fixture(scope="module")
def composer() -> Iterator[Composer]:
    with open_composer("train") as opened:
        yield opened


@pytest.fixture
def plan(composer: Composer, tmp_path: Path) -> Any:
    """The plan of words after `seglab train -m`."""

    def of(*words: str) -> Any:
        fixed, swept = split_words(words)
        cfg, _ = composer.compose(fixed)
        before = OmegaConf.to_yaml(cfg)
        made = study_plan(cfg, swept, StudyFolder(tmp_path / "s"), fixed)
        assert OmegaConf.to_yaml(cfg) == before
        return made

    return of


def by_hydra(words: list[str]) -> list[list[str]]:
    overrides = OverridesParser.create().parse_overrides(words)
    return BasicSweeper.split_arguments(overrides, None)[0]


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["model=unet"],
        ["seed=1,2", "model=unet,segnet", "trainer=cpu"],
        ["optimizer.lr=range(0.1,0.4,0.1)", "seed=range(1,4)"],
        ["data.crop_size=[64,64],[96,96]", "~notes", "++model.options.x='a,b',c", "+preset=a,b"],
        ["notes='1','a b',null", "seed=sort(3,1,2)", "seed=4,5"],
        ["optimizer.lr=tag(log,choice(1,2))"],
    ],
)
def test_jobs_of_a_grid_are_those_of_hydra_in_its_order(words: list[str]) -> None:
    assert grid(words) == by_hydra(words)


NAMES = st.sampled_from(["a", "b.c", "d", "e.f.g"])
TEXTS = st.sampled_from(["x", "'a,b'", "null", "[1,2]", "true"])
ITEMS = st.one_of(st.integers(-9, 9), st.floats(-9, 9), TEXTS)


@given(st.dictionaries(NAMES, st.lists(ITEMS, min_size=1, max_size=3), max_size=4))
def test_any_grid_is_that_of_hydra(values: dict[str, list[Any]]) -> None:
    words = [f"{key}={','.join(map(str, items))}" for key, items in values.items()]
    assert grid(words) == by_hydra(words)


def test_a_shuffled_grid_is_the_same_one_each_time() -> None:
    words = ["seed=shuffle(range(0,30))", "model=shuffle(a,b,c)"]
    random.seed(1)
    before = random.getstate()
    jobs = grid(words)
    after = random.getstate()
    random.seed(2)

    assert grid(words) == jobs
    assert before == after
    assert jobs != sorted(jobs)
    assert sorted(jobs) == sorted(by_hydra(words))


def test_glob_and_interval_in_a_grid(composer: Composer) -> None:
    assert grid(["model=glob(segnet*)"]) == [["model=segnet"], ["model=segnet_basic"]]
    with pytest.raises(HydraException, match="does not support sweep type"):
        grid(["optimizer.lr=interval(0,1)"])


def test_words_are_split_by_how_many_values_they_have() -> None:
    fixed, swept = split_words(
        [
            "study=lr_batch",
            "++model.options.x=a,b",
            "notes='a,b'",
            "+preset=p,q",
            "~tags",
            "optimizer.lr=tag(log, interval(1e-4, 1e-1))",
            "++seed=1,2",
            "+run=x",
        ]
    )

    assert fixed == ["study=lr_batch", "notes='a,b'", "~tags", "+run=x"]
    assert swept == {
        "model.options.x": "a,b",
        "+preset": "p,q",
        "seed": "1,2",
        "optimizer.lr": "tag(log, interval(1e-4, 1e-1))",
    }


def test_study_of_a_file_and_of_words(plan: Any, tmp_path: Path) -> None:
    made = plan("study=lr_batch", "model=unet,segnet", "data.batch_size=2,4", "seed=7")

    assert made.name == "lr_batch"
    assert made.objectives == (StudyObjective("val/miou_present", "maximize"),)
    assert made.space == {
        "optimizer.lr": "tag(log, interval(1e-4, 1e-2))",
        "data.batch_size": "2,4",
        "model": "unet,segnet",
    }
    assert made.seed == 7
    assert made.storage == f"journal:{tmp_path / 's' / 'journal.log'}"
    assert made.sampler["_target_"] == "optuna.samplers.TPESampler"
    assert made.pruner["_target_"] == "optuna.pruners.MedianPruner"
    assert (made.n_trials, made.retries, made.max_failure_rate, made.test) == (30, 1, 0.5, True)
    assert pickle.loads(pickle.dumps(made)) == made  # noqa: S301 - our own


def test_settings_of_the_node_reach_the_plan(plan: Any, tmp_path: Path) -> None:
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "study.json").write_text("{}", encoding="utf-8")
    made = plan(
        "study=default",
        "model.dropout=interval(0,0.5)",
        "data.crop_size=[64,64],[96,96]",
        "monitor.metric=val/loss",
        "monitor.mode=min",
        "study.n_trials=3",
        "study.storage=sqlite:///x.db",
        "study.enqueue=[{model.dropout: 0, data.crop_size: [96,96]}, {model: {dropout: 0.5}}]",
        f"study.warm_start=[{tmp_path}/old]",
        "study.timeout_s=60",
        "study.confirm=5",
        "study.test=false",
        "study.name=mine",
    )

    assert made.objectives == (StudyObjective("val/loss", "minimize"),)
    assert (made.name, made.n_trials, made.storage) == ("mine", 3, "sqlite:///x.db")
    assert (made.timeout_s, made.confirm, made.test) == (60, 5, False)
    assert made.enqueue == (
        {"model.dropout": 0.0, "data.crop_size": "[96,96]"},
        {"model.dropout": 0.5},
    )
    assert made.warm_start == (str(tmp_path / "old"),)
    study = optuna.create_study()
    study.enqueue_trial(made.enqueue[0])
    assert suggest(study.ask(), parse_space(made.space)) == [
        "++model.dropout=0.0",
        "++data.crop_size=[96,96]",
    ]


def test_several_objectives(plan: Any) -> None:
    made = plan("study=accuracy_latency")

    assert made.objectives == (
        StudyObjective("val/miou_present", "maximize"),
        StudyObjective("cost/latency_ms", "minimize"),
    )
    assert made.pruner is None


def test_glob_is_settled_when_the_study_is_planned(plan: Any) -> None:
    made = plan("study=default", "model=glob(segnet*)", "loss=glob(dice)")

    assert made.space == {"model": "choice(segnet, segnet_basic)", "loss": "choice(dice)"}
    assert parse_space(made.space)["model"].choices == ("segnet", "segnet_basic")  # type: ignore[attr-defined]


@pytest.mark.parametrize("n_trials", ["null", "100", "4"])
def test_grid_sampler_gets_its_values_and_at_most_all_of_them(plan: Any, n_trials: str) -> None:
    made = plan(
        "study=grid",
        "optimizer.lr=range(0.1,0.4,0.1)",
        "optimizer.weight_decay=0.0,0.1",
        f"study.n_trials={n_trials}",
    )

    assert made.sampler["search_space"] == {
        "optimizer.lr": [0.1, 0.2, 0.3],
        "optimizer.weight_decay": [0.0, 0.1],
    }
    assert made.n_trials == (4 if n_trials == "4" else 6)
    sampler = optuna.samplers.GridSampler(made.sampler["search_space"], seed=0)
    study = optuna.create_study(sampler=sampler)
    distributions = parse_space(made.space)
    words = {tuple(suggest(study.ask(), distributions)) for _ in range(6)}
    assert words == {
        (f"++optimizer.lr={lr}", f"++optimizer.weight_decay={wd}")
        for lr in (0.1, 0.2, 0.3)
        for wd in (0.0, 0.1)
    }


def test_grid_holds_lists_and_null(plan: Any) -> None:
    made = plan(
        "study=grid",
        "optimizer.lr=0.1,0.2",
        "optimizer.weight_decay=0.0,0.1",
        "data.crop_size=[64,64],[96,96]",
        "model.encoder_weights=null,imagenet",
    )

    assert made.sampler["search_space"]["data.crop_size"] == ["[64,64]", "[96,96]"]
    assert made.sampler["search_space"]["model.encoder_weights"] == [None, "imagenet"]
    assert made.n_trials == 16


def test_brute_force_counts_what_can_be_counted(plan: Any) -> None:
    words = [
        "study=random",
        "study.sampler._target_=optuna.samplers.BruteForceSampler",
        "optimizer.lr=0.1,0.2",
        "optimizer.weight_decay=int(interval(0,4))",
    ]
    assert plan(*words, "study.n_trials=null").n_trials == 10


PROBLEMS = [
    (
        ["study=lr_batch", "data.batch_size=8", "optimizer.weight_decay=interval(1,0)"],
        [
            "optimizer.weight_decay: expected interval(low, high) with low <= high, got "
            "interval(1.0, 0.0)",
            "data.batch_size: the study searches it, so it cannot be fixed; leave the override out, or "
            "begin with study=default and name all that is searched on the command line",
        ],
    ),
    (
        ["study=grid", "optimizer.lr=interval(0,1)"],
        [
            "optimizer.lr: GridSampler tries value by value; give choice(...) or range(...) instead of "
            "an interval"
        ],
    ),
    (
        ["study=grid", "optimizer.lr=range(0,1000)", "optimizer.weight_decay=range(0,1000)"],
        ["study.space: expected a grid of 100000 combinations or less, got 1000000"],
    ),
    (
        ["study=grid", "study.enqueue=[{optimizer.lr: 1e-3}]"],
        ["study.enqueue: a grid tries all combinations; remove what is to be first"],
    ),
    (
        ["study=random", "study.n_trials=null"],
        [
            "study.n_trials: expected a whole number (1 or more), got null; all combinations are tried "
            "by optuna.samplers.GridSampler"
        ],
    ),
    (
        ["study=default", "seed=1,2", "+study.n_trails=3"],
        [
            "study.n_trails: no such key (did you mean 'study.n_trials'?), got 3; 'study' takes "
            "conditional, confirm, enqueue, fail_fast, grace_s, max_failure_rate, n_trials, name, "
            "objectives, pruner, retries, sampler, seed, space, storage, test and 3 more"
        ],
    ),
    (
        ["study=default"],
        [
            "study.space: nothing is searched; give some keys values such as choice(4, 8), range(1, 5) "
            "or tag(log, interval(1e-4, 1e-1)), here or on the command line"
        ],
    ),
    (["study=none", "seed=1,2"], ["study: there is none; add study=default or another study"]),
]


@pytest.mark.parametrize(("words", "lines"), PROBLEMS, ids=lambda one: " ".join(one)[:40])
def test_all_that_is_wrong_with_a_study_is_told(
    plan: Any, words: list[str], lines: list[str]
) -> None:
    with pytest.raises(ConfigError) as caught:
        plan(*words)

    assert caught.value.problems == lines


def test_configuration_of_another_application_will_do(tmp_path: Path) -> None:
    """The sweeper serves scripts under @hydra.main too, which have no other part of our schema."""
    with open_composer("train") as composer:
        node = composer.compose(["study=default"])[0].study
    cfg = OmegaConf.create({"x": 1, "seed": 3, "study": OmegaConf.to_container(node)})
    assert isinstance(cfg, DictConfig)
    swept = {"x": "interval(0, 1)"}
    with pytest.raises(ConfigError, match=r"study\.objectives: expected \[\{metric"):
        study_plan(cfg, swept, StudyFolder(tmp_path))
    cfg.study.objectives = [{"metric": "anything", "direction": "minimize"}]
    made = study_plan(cfg, swept, StudyFolder(tmp_path))

    assert made.objectives == (StudyObjective("anything", "minimize"),)
    assert made.seed == 3


def test_neither_torch_nor_lightning_is_needed() -> None:
    code = (
        "import sys; import seglab.sweep.ask.plan_config, seglab.sweep.ask.space; "
        "sys.exit(bool({'torch', 'pytorch_lightning'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=120).returncode == 0
