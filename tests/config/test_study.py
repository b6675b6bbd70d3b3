"""The `study` node: its files, its mistakes, and the words beside it."""

from __future__ import annotations

import copy
import dataclasses
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.cli.runs.train import EXAMPLES, SUMMARY
from seglab.config.composer import open_composer
from seglab.config.language.locate import conf_dir
from seglab.config.overrides import check_overrides
from seglab.config.validate import validate
from seglab.sweep.ask.plan import StudyPlan
from seglab.sweep.options import GridOptions, StudyOptions

Problems = Callable[..., list[str]]
FILES = sorted((conf_dir() / "study").glob("*.yaml"))
NAMES = [path.stem for path in FILES]


def node(*words: str) -> DictConfig:
    with open_composer("train") as composer:
        return composer.compose(words)[0].study


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_says_when_to_use_it_and_names_itself(path: Path) -> None:
    lines = path.read_text(encoding="utf-8").splitlines()
    own = node(f"study={path.stem}")
    fields = set((GridOptions if path.stem == "none" else StudyOptions).model_fields)

    assert lines[0].startswith("# ")
    assert own.name == (None if path.stem == "none" else path.stem)
    assert {str(key) for key in own} == fields


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_file_repeats_nothing_that_it_builds_upon(path: Path) -> None:
    own = OmegaConf.load(path)
    shared = OmegaConf.load(path.parent / "base" / "search.yaml")
    assert path.stem == "none" or "defaults" in own
    assert path.stem == "none" or not {
        key for key in shared if key in own and own[key] == shared[key]
    }


def test_node_and_plan_have_the_same_keys() -> None:
    # A grid alone may have a trial twice, and it has no study node.
    planned = {field.name for field in dataclasses.fields(StudyPlan)} - {"may_repeat"}
    assert set(StudyOptions.model_fields) == planned


@pytest.mark.parametrize("name", NAMES)
def test_every_study_runs_as_it_is(problems: Problems, name: str) -> None:
    needed = {"default": ["model=unet,segnet"], "cv_wilcoxon": ["cv=stratified"]}
    assert problems(f"study={name}", *needed.get(name, []), multirun=True) == []


def test_study_may_be_absent(default_config: DictConfig) -> None:
    cfg = copy.deepcopy(default_config)
    with open_dict(cfg):
        del cfg.study
    assert validate(cfg) == []
    assert validate(default_config) == []


SAMPLERS = [
    "TPESampler",
    "GPSampler",
    "CmaEsSampler",
    "QMCSampler",
    "RandomSampler",
    "NSGAIISampler",
    "NSGAIIISampler",
]


@pytest.mark.parametrize("name", SAMPLERS)
def test_any_sampler_of_optuna_by_its_name(problems: Problems, name: str) -> None:
    words = ["study=random", f"study.sampler._target_=optuna.samplers.{name}"]
    assert problems(*words, multirun=True) == []


@pytest.mark.parametrize(
    "pruner",
    [
        "{_target_: optuna.pruners.HyperbandPruner, min_resource: 2}",
        "{_target_: optuna.pruners.PercentilePruner, percentile: 25.0}",
        "{_target_: optuna.pruners.ThresholdPruner, lower: 0.1}",
        "{_target_: optuna.pruners.PatientPruner, patience: 2, "
        "wrapped_pruner: {_target_: optuna.pruners.MedianPruner}}",
        "null",
    ],
)
def test_any_pruner_of_optuna_by_its_name(problems: Problems, pruner: str) -> None:
    assert problems("study=random", f"study.pruner={pruner}", multirun=True) == []


MATRIX = [
    (
        ["study=lr_batc"],
        "study: no such choice 'lr_batc' (did you mean 'lr_batch'?); choices are "
        f"{', '.join(NAMES)}",
    ),
    (
        ["study=lr_batch,asha"],
        "study: holds for all trials; give one value, got study=lr_batch,asha",
    ),
    (
        ["study.retries=0,1"],
        "study.retries: holds for all trials; give one value, got study.retries=0,1",
    ),
    (
        ["study=lr_batch", "study.space.optimizer.lr=interval(0.1,1)"],
        "study.space.optimizer.lr: holds for all trials; to search it give optimizer.lr=interval(0.1,1), "
        "got study.space.optimizer.lr=interval(0.1,1)",
    ),
    (
        ["optimizer.lr=interval(0.1,1)"],
        "optimizer.lr: an interval has no values to try one by one; add study=default to search it, or "
        "give values such as optimizer.lr=0.1,1.0",
    ),
    (
        ["seed=1,2", "study.n_trials=5"],
        "study.n_trials: no such key, got 5; it goes with study=default",
    ),
    (
        ["seed=1,2", "study.name=x"],
        "study.name: there is no study to name; add study=default, got 'x'",
    ),
    (
        ["seed=1,2", "study.retries=-1"],
        "study.retries: expected a whole number (0 or more), got -1",
    ),
    (
        ["study=lr_batch", "data.batch_size=8"],
        "data.batch_size: the study searches it, so it cannot be fixed; leave the override out, or begin "
        "with study=default and name all that is searched on the command line",
    ),
    (
        ["study=default"],
        "study.space: nothing is searched; give some keys values such as choice(4, 8), range(1, 5) or "
        "tag(log, interval(1e-4, 1e-1)), here or on the command line",
    ),
    (
        ["study=default", "optimizer.weight_decay=tag(log,interval(0,1))"],
        "optimizer.weight_decay: a logarithmic scale needs numbers above 0, got interval(0.0, 1.0)",
    ),
    (
        ["study=default", "monitor.metric=val/miou,val/dice"],
        "monitor.metric: cannot be searched: all trials are compared by one score",
    ),
    (
        ["study=default", "data.batchsize=4,8"],
        "data.batchsize: no such key (did you mean 'data.batch_size'?), got 4; 'data' takes "
        "bands, batch_size, crop_size, display_bands, drop_last, eval_batch_size, image_size, "
        "importer, manifest, name, options, root, sampling, train_fraction",
    ),
    (
        ["study=default", "model.dropout=interval(0,1)"],
        "model.dropout: expected a number (0 to 1, 1 excluded), got 1.0 (with model.dropout=1.0)",
    ),
    (
        ["study=default", "data.batch_size=int(interval(0,8))"],
        "data.batch_size: expected a whole number (1 or more), got 0",
    ),
    (
        ["study=grid", "optimizer.lr=interval(1e-3,1e-2)"],
        "optimizer.lr: GridSampler tries value by value; give choice(...) or range(...) instead of an "
        "interval",
    ),
    (
        ["study=lr_batch", "study.sampler._target_=optuna.samplers.TPESamplr"],
        "study.sampler._target_: optuna.samplers has no 'TPESamplr' (did you mean 'TPESampler'?)",
    ),
    (
        ["study=lr_batch", "study.sampler._target_=nowhere.Sampler"],
        "study.sampler._target_: 'nowhere.Sampler' cannot be imported: ModuleNotFoundError: No module "
        "named 'nowhere'",
    ),
    (
        ["study=lr_batch", "study.sampler._target_=optuna.pruners.NopPruner"],
        "study.sampler._target_: expected a subclass of optuna's BaseSampler, got "
        "'optuna.pruners.NopPruner'",
    ),
    (
        ["study=lr_batch", "study.pruner.n_warmup=3"],
        "study.pruner.n_warmup: no such argument (did you mean 'n_warmup_steps'?); MedianPruner takes "
        "n_startup_trials, n_warmup_steps, interval_steps, n_min_trials; ~study.pruner.n_warmup takes "
        "it away",
    ),
    (
        ["study=lr_batch", "study.pruner.n_warmup_steps=-1"],
        "study.pruner: optuna.pruners.MedianPruner cannot be built of this: Number of warmup steps "
        "cannot be negative, but got n_warmup_steps=-1.",
    ),
    (
        ["study=random", "study.pruner={_target_: optuna.pruners.PercentilePruner}"],
        "study.pruner.percentile: missing; PercentilePruner cannot do without it",
    ),
    (
        [
            "study=random",
            "study.pruner={_target_: optuna.pruners.PatientPruner, patience: 2, "
            "wrapped_pruner: {_target_: optuna.pruners.NopPrune}}",
        ],
        "study.pruner.wrapped_pruner._target_: optuna.pruners has no 'NopPrune' (did you mean "
        "'NopPruner'?)",
    ),
    (
        ["study=random", "study.pruner=median"],
        "study.pruner: expected a group of keys with a _target_, got 'median'",
    ),
    (
        ["study=grid", "+study.sampler.search_space={a: [1]}"],
        "study.sampler.search_space: the study gives it itself; remove it",
    ),
    (
        ["study=lr_batch", "study.n_trials=0"],
        "study.n_trials: expected a whole number (1 or more) or null, got 0",
    ),
    (
        ["study=lr_batch", "study.max_failure_rate=2"],
        "study.max_failure_rate: expected a number (0 to 1), got 2",
    ),
    (
        ["study=lr_batch", "study.trial_timeout_s=0"],
        "study.trial_timeout_s: expected a number (more than 0) or null, got 0",
    ),
    (
        ["study=lr_batch", "study.confirm=-1"],
        "study.confirm: expected a whole number (0 or more), got -1",
    ),
    (
        ["study=lr_batch", "study.name=a/b"],
        "study.name: expected letters, digits, '.', '_', '+' or '-' (it names a folder), got 'a/b'",
    ),
    (
        ["study=lr_batch", "study.storage=here.db"],
        "study.storage: expected journal:PATH, a URL such as postgresql+psycopg://USER@HOST/NAME, or "
        "null for a file in the study's folder; got 'here.db'",
    ),
    (
        ["study=lr_batch", "study.warm_start=[nowhere]"],
        "study.warm_start[0]: expected the folder of a study (it holds a study.json), got 'nowhere'",
    ),
    (
        ["study=lr_batch", "study.enqueue=[{optimizer.lr: 1}]"],
        "study.enqueue[0].optimizer.lr: expected 0.0001 to 0.01, got 1",
    ),
    (
        ["study=lr_batch", "study.enqueue=[{data.batch_size: 5}]"],
        "study.enqueue[0].data.batch_size: expected one of 4, 8, 16, got 5",
    ),
    (
        ["study=lr_batch", "study.enqueue=[{optimizer.rl: 1e-3}]"],
        "study.enqueue[0].optimizer.rl: it is not searched (did you mean 'optimizer.lr'?); add it to "
        "study.space",
    ),
    (
        ["study=random", "study.conditional={_target_: nowhere.deeper}"],
        "study.conditional._target_: 'nowhere.deeper' cannot be imported: ModuleNotFoundError: No "
        "module named 'nowhere'",
    ),
    (
        ["study=random", "study.conditional={_target_: numpy.polyval, depth: 3}"],
        "study.conditional.depth: no such argument; polyval takes none; ~study.conditional.depth takes it "
        "away",
    ),
    (
        ["study=random", "study.conditional={_target_: numpy.pi}"],
        "study.conditional._target_: expected a class or function, got 'numpy.pi'",
    ),
    (
        ["study=random", "study.objectives=[]"],
        "study.objectives: expected at least one, or null for the monitored score",
    ),
    (
        ["study=random", "study.objectives=[{metric: test/miou, direction: maximize}]"],
        "study.objectives[0].metric: a study that chooses by test scores has none left to test with; "
        "use val/miou, got 'test/miou'",
    ),
    (
        ["study=random", "study.objectives=[{metric: val/loss, direction: maximize}]"],
        "study.objectives[0].direction: expected minimize for val/loss, got 'maximize'",
    ),
    (
        ["study=random", "study.objectives=[{metric: val/miou, direction: max}]"],
        "study.objectives[0].direction: expected one of maximize, minimize, got 'max'",
    ),
    (
        ["study=random", "study.objectives=[{metric: val/miou, direction: maximize, weight: 2}]"],
        "study.objectives[0].weight: no such key (did you mean 'study.objectives[0].metric'?), got 2; "
        "'study.objectives[0]' takes direction, metric",
    ),
    (
        [
            "study=accuracy_latency",
            "study.sampler={_target_: optuna.samplers.CmaEsSampler}",
            "~study.sampler.population_size",
        ],
        "study.sampler: CMA-ES has one objective; for several use NSGAIISampler",
    ),
    (
        ["study=accuracy_latency", "cv=kfold"],
        "study.objectives[1].metric: a cross-validation has val/miou, val/miou_present, val/dice, "
        "val/pixel_acc, val/class_acc, val/fwiou and val/iou/CLASS or val/dice/CLASS, got "
        "'cost/latency_ms' [conf/study/accuracy_latency.yaml]",
    ),
    (
        ["study=accuracy_latency", "study.pruner={_target_: optuna.pruners.NopPruner}"],
        "study.pruner: trials with several objectives cannot be pruned, as none of them is worse in "
        "everything; set study.pruner=null, or leave one objective",
    ),
    (
        ["study=cv_wilcoxon"],
        "study.pruner: WilcoxonPruner compares trials fold by fold; add cv=kfold, cv=grouped or another "
        "[conf/study/cv_wilcoxon.yaml]",
    ),
    (
        ["study=cv_wilcoxon", "cv=nested"],
        "cv.scheme: the scores of nested are of test folds, which a study may not choose by; use "
        "cv=stratified or another for the study [conf/cv/nested.yaml]",
    ),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "line"), MATRIX, ids=lambda one: " ".join(one)[:60] if isinstance(one, list) else ""
)
def test_mistake_gets_its_own_line(problems: Problems, words: list[str], line: str) -> None:
    assert problems(*words, multirun=True) == [line]


def test_study_needs_a_multirun_unless_it_is_only_shown(problems: Problems) -> None:
    assert problems("study=lr_batch") == [
        "study: a search runs many trainings and needs --multirun (-m); give -m, or study=none for one "
        "training, got study.name=lr_batch"
    ]
    assert problems("study=lr_batch", allow_missing=True) == []
    assert problems("study=default", allow_missing=True) == []
    assert problems("study=none") == []


def test_words_take_the_place_of_the_space(problems: Problems) -> None:
    words = ["study=lr_batch", "data.batch_size=2,4", "model=unet,segnet", "tags=[a]"]
    checked = check_overrides("train", words, multirun=True)

    assert checked.problems == []
    assert checked.overrides == words


@pytest.fixture
def write_study(tmp_path: Path) -> Callable[[str], list[str]]:
    """Write a study of one's own that begins with the default one; return what is wrong with it."""

    def write(text: str, *words: str) -> list[str]:
        folder = tmp_path / "own"
        (folder / "study").mkdir(parents=True, exist_ok=True)
        path = folder / "study" / "mine.yaml"
        path.write_text(f"defaults: [default, _self_]\nname: mine\n{text}", encoding="utf-8")
        checked = check_overrides("train", ["study=mine", *words], multirun=True, search=[folder])
        return checked.problems

    return write


def test_own_file_gives_only_what_differs(write_study: Callable[..., list[str]]) -> None:
    assert write_study("space:\n  optimizer.lr: tag(log, interval(1e-3, 1e-2))\n") == []
    assert write_study("space:\n  optimizer: {lr: '0.1,0.2'}\n", "model=unet,segnet") == []


def test_every_key_and_value_of_a_space_is_tried(write_study: Callable[..., list[str]]) -> None:
    found = write_study(
        "n_trails: 4\n"
        "space:\n"
        "  model: choice(unet, unett)\n"
        "  optimizer.lr: interval(-1, 1)\n"
        "  optimizer.rl: choice(1, 2)\n"
        "  model.dropout: choice(0.1, 2)\n"
        "  data.batch_size: range(1, 5, 0)\n"
        "  seed: [1, 2]\n"
        "  paths.runs_dir: choice(a, b)\n"
        "  trainer.precision: glob(*)\n"
    )
    where = " [own/study/mine.yaml]"

    assert sorted(line.removesuffix(where) for line in found) == sorted(
        [
            "model: no such choice 'unett' (did you mean 'unet'?); choices are deeplabv3, deeplabv3plus, "
            "dpt, fpn, linknet, manet, pan, pspnet, segformer, segnet, segnet_basic, unet, unetplusplus, "
            "upernet",
            "study.n_trails: no such key (did you mean 'study.n_trials'?), got 4; 'study' takes "
            "conditional, confirm, enqueue, fail_fast, grace_s, max_failure_rate, n_trials, name, "
            "objectives, pruner, retries, sampler, seed, space, storage, test and 3 more",
            "optimizer.lr: expected a number (more than 0), got -1.0",
            "optimizer.rl: no such key (did you mean 'optimizer.lr'?), got 1; 'optimizer' takes _target_, "
            "encoder_lr, lr, name, options, weight_decay",
            "model.dropout: expected a number (0 to 1, 1 excluded), got 2 (with model.dropout=2)",
            "study.space.data.batch_size: expected a step other than 0, got range(1, 5, 0)",
            "study.space.seed: expected text such as choice(4, 8), range(1, 5) or tag(log, interval(1e-4, "
            "1e-1)), got [1, 2]",
            "study.space.paths.runs_dir: cannot be searched: all trials are kept in one place",
            "study.space.trainer.precision: glob(...) takes the choices of a group, and there is no group "
            "'trainer.precision'",
        ]
    )
    assert all(line.endswith(where) for line in found)


def test_key_that_one_choice_of_the_space_lacks(write_study: Callable[..., list[str]]) -> None:
    (line,) = write_study("space:\n  model: choice(segnet_basic, unet)\n", "model.width=8")
    assert line.startswith("model.width: no such key")
    assert line.endswith("(with model=unet) [own/study/mine.yaml]")


def test_fixed_key_is_forced_where_the_study_varies_its_group(tmp_path: Path) -> None:
    words = ["study=accuracy_latency", "model.dropout=0.1"]
    assert check_overrides("train", words, multirun=True).overrides == [
        "study=accuracy_latency",
        "++model.dropout=0.1",
    ]


def test_experiment_may_choose_the_study(tmp_path: Path) -> None:
    path = tmp_path / "own" / "experiment" / "mine.yaml"
    path.parent.mkdir(parents=True)
    path.write_text(
        "# @package _global_\ndefaults:\n  - override /study: lr_batch\nexperiment_name: mine\n"
        "study:\n  space:\n    model.dropout: interval(0, 1)\n",
        encoding="utf-8",
    )
    search = [tmp_path / "own"]
    found = check_overrides("train", ["experiment=mine"], multirun=True, search=search).problems

    assert found == [
        "model.dropout: expected a number (0 to 1, 1 excluded), got 1.0 (with model.dropout=1.0) "
        "[own/experiment/mine.yaml]"
    ]
    assert (
        check_overrides("train", ["experiment=mine"], search=search)
        .problems[0]
        .startswith("study: a search runs many trainings and needs --multirun")
    )


def test_function_and_sampler_of_the_current_folder(
    problems: Problems, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", [one for one in sys.path if one])
    (tmp_path / "own_study.py").write_text(
        "import optuna\n"
        "class Mine(optuna.samplers.RandomSampler): pass\n"
        "def deeper(trial, chosen, depth): return {}\n",
        encoding="utf-8",
    )
    words = ["study=random", "study.sampler._target_=own_study.Mine"]

    assert (
        problems(*words, "study.conditional={_target_: own_study.deeper, depth: 3}", multirun=True)
        == []
    )
    assert problems(*words, "study.conditional={_target_: own_study.deeper}", multirun=True) == [
        "study.conditional.depth: missing; deeper cannot do without it"
    ]


@pytest.mark.parametrize("folds", [[], ["cv=kfold"]], ids=["one training", "folds"])
def test_score_of_ones_own_is_an_objective(problems: Problems, folds: list[str]) -> None:
    words = ["study=random", "+metrics.extra.accuracy._target_=numpy.trace", *folds]
    objective = "study.objectives=[{{metric: val/{}, direction: maximize}}]"
    assert problems(*words, objective.format("accuracy"), multirun=True) == []
    (problem,) = problems(*words, objective.format("acuracy"), multirun=True)
    assert problem.startswith("study.objectives[0].metric: ")


def test_space_only_of_a_function_is_enough(problems: Problems) -> None:
    words = ["study=default", "study.conditional={_target_: numpy.polyval}"]
    assert problems(*words, multirun=True) == []


@pytest.mark.parametrize(("study", "expected"), [("none", set()), ("lr_batch", {"optuna"})])
def test_nothing_heavy_is_imported_for_a_look(study: str, expected: set[str]) -> None:
    code = (
        "import sys\n"
        "from seglab.config.overrides import check_overrides\n"
        f"assert not check_overrides('train', ['study={study}'], allow_missing=True).problems\n"
        "print(*{'torch', 'optuna', 'pytorch_lightning', 'timm'} & set(sys.modules))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)

    assert done.returncode == 0, done.stderr
    assert set(done.stdout.split()) == expected


def test_help_lists_the_studies() -> None:
    from seglab.cli.base.application_help import application_help

    lines = " ".join(application_help("train", SUMMARY, EXAMPLES).split())
    assert f"study {', '.join(NAMES[:6])}" in lines


def test_files_of_sweeper_and_launcher() -> None:
    sweeper = OmegaConf.load(conf_dir() / "hydra" / "sweeper" / "seglab.yaml")
    launcher = OmegaConf.load(conf_dir() / "hydra" / "launcher" / "local.yaml")

    assert sweeper["_target_"] == "hydra_plugins.seglab_sweep.SeglabSweeper"
    assert launcher == {
        "_target_": "hydra_plugins.seglab_sweep.LocalLauncher",
        "workers": "auto",
        "devices_per_trial": "auto",
        "trials_per_gpu": 1,
        "memory_gb": None,
        "preload": None,
    }
