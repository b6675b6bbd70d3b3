"""What a configuration may hold: the nodes of `conf/train.yaml` and `conf/evaluate.yaml`.

`seglab.config.declared.check` holds a composed configuration against them and reports every difference.
What a node holds is declared beside what it steers, in the modules named `options`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated, Any

from pydantic import Field

import seglab.data.folds.options  # noqa: F401 - declares schemes
from seglab.augment.options import AugmentSpec
from seglab.core.option_problems import hints_of, is_options, unwrap
from seglab.core.options import (
    ChosenBy,
    Name,
    NotNegative,
    NotNegativeFloat,
    OnDisk,
    Options,
    Targets,
)
from seglab.core.parts.components import components
from seglab.data.options import DataOptions, EvaluationDataOptions, RunDataOptions
from seglab.engine.options import (
    CallbackOptions,
    EvaluationTrainerOptions,
    LoggerOptions,
    MonitorOptions,
    TrainerOptions,
)
from seglab.experiment.options import SuiteOptions
from seglab.inference.options import PredictOptions
from seglab.metrics.options import MetricsOptions, ObjectiveOptions
from seglab.optim.options import LrScaling
from seglab.sweep.options import StudyOptions


class Paths(Options):
    """The folders of this machine."""

    data_dir: str
    """Where data sets are fetched to and drawn."""
    cache_dir: str
    """Where packed images, files read by URL, and what was found out about this machine, are kept."""
    file_cache_gb: NotNegativeFloat = 10.0
    """So many GB of files read by URL are kept there, the least recently used go; 0 keeps none."""
    runs_dir: str
    """Where the records of runs are."""


def _by_key(sibling: str, group: str, other: type[Options] | None = None) -> ChosenBy:
    return ChosenBy(sibling, dict(components(group)), inside=True, other=other)


class TrainConfig(Options):
    """The whole of `seglab train`."""

    experiment_name: str
    """Names the folder of runs."""
    run_name: str | None
    """A name for people; the run's id is always unique."""
    seed: NotNegative
    """Of everything that is random."""
    tags: list[Name]
    """Free words."""
    notes: str
    """Free text."""
    monitor: MonitorOptions
    """The one score that decides."""
    resume: None
    """On the command line, the folder of a run to take up."""
    data: DataOptions
    """Where samples come from."""
    cv: Annotated[dict[str, Any], _by_key("scheme", "cv")]
    """Cross-validation."""
    model: Annotated[dict[str, Any], Targets("model")]
    """The network."""
    loss: Annotated[dict[str, Any], Targets("loss")]
    """What is minimised."""
    optimizer: Annotated[dict[str, Any], Targets("optimizer")]
    """How weights are updated."""
    scheduler: Annotated[dict[str, Any], Targets("scheduler")]
    """How the learning rate goes."""
    augment: AugmentSpec
    """How training images are varied."""
    trainer: TrainerOptions
    """How long to train, and how the device is used."""
    callbacks: CallbackOptions
    """What happens beside the training."""
    logger: LoggerOptions
    """Where a run is shown beside its own record."""
    metrics: MetricsOptions
    """What is scored beside the model."""
    objective: ObjectiveOptions
    """What the model has to reach."""
    paths: Paths
    """The folders of this machine."""
    lr_scaling: LrScaling | None = None
    """How learning rates follow data.batch_size."""
    plugins: list[Name] = Field(default_factory=list)
    """Packages whose code may be imported for what a configuration names."""
    # Trials and runs of former versions have none.
    study: Annotated[dict[str, Any] | None, _by_key("sampler", "study", StudyOptions)] = None
    """How a multirun is run."""


class EvaluateConfig(Options):
    """The whole of `seglab evaluate`."""

    experiment_name: str
    """Names the folder of runs; by default that of the run."""
    run_name: str | None
    """A name for people; the run's id is always unique."""
    tags: list[Name]
    """Free words."""
    notes: str
    """Free text."""
    run: Annotated[str, OnDisk("folder")]
    """Folder of the run to score."""
    checkpoint: str
    """`best`, `last`, or the path of a checkpoint."""
    save_predictions: bool
    """Keep the class mask (palette PNG) and the confidence of every image."""
    save_probabilities: bool
    """Keep the probabilities of all classes too, which `seglab data audit --run` ranks label errors by."""
    data: Annotated[
        dict[str, Any],
        ChosenBy("importer", {"run": RunDataOptions}, inside=True, other=EvaluationDataOptions),
    ]
    """What to score it on."""
    trainer: EvaluationTrainerOptions
    """How the device is used."""
    suite: SuiteOptions
    """What is measured beside the scores."""
    predict: PredictOptions
    """How logits come about."""
    logger: LoggerOptions
    """Where it is shown beside its own record."""
    objective: ObjectiveOptions
    """What the model has to reach."""
    paths: Paths
    """The folders of this machine."""
    plugins: list[Name] = Field(default_factory=list)
    """Packages whose code may be imported for what a record names."""


# What is built has defaults of its own for these, or configurations of former versions lack them.
_MAY_LACK = (
    "augment",
    "lr_scaling",
    "study",
    "train_fraction",
    "bands",
    "display_bands",
    "sampling",
    "extra",
    "predictor",
    "save_probabilities",
)


def written(options: type[Options]) -> type[Options]:
    """Return options that all have to be in a configuration, whose files so show every key.

    Where they are declared they have defaults, for those who build the component themselves.
    """
    hints = {name: hint for name, hint in hints_of(options).items() if name not in _MAY_LACK}
    required = {name: _written_below(hint) for name, hint in hints.items()}
    content = {"__annotations__": required, "__doc__": options.__doc__}
    return type(options.__name__, (options,), content)


def _written_below(hint: Any) -> Any:
    base, extras = unwrap(hint)
    # The options of a component have defaults of its own.
    if extras and isinstance(extras[0], ChosenBy) and extras[0].inside:
        chosen = extras[0]
        return Annotated[
            base,
            replace(
                chosen,
                choices={name: written(one) for name, one in chosen.choices.items()},
                other=written(chosen.other) if chosen.other else None,
            ),
        ]
    return written(base) if is_options(base) else hint


# What other tools call the folder of a run -> where it is set here.
_RUN_FOLDER = (
    "a run is kept in paths.runs_dir/experiment_name/ID: set paths.runs_dir=DIR for all runs, "
    "experiment_name=NAME for those of an experiment, or hydra.run.dir=DIR for this one"
)
TOLD = dict.fromkeys(
    "run_dir output_dir out_dir work_dir save_dir log_dir default_root_dir output out".split(),
    _RUN_FOLDER,
)
STUDY = written(StudyOptions)
SCHEMA_OF = {"train": written(TrainConfig), "evaluate": written(EvaluateConfig)}
