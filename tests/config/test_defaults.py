"""Defaults stand in a declaration and, for the eye, in a YAML file: the two say the same."""

from __future__ import annotations

import pytest
import yaml

from seglab.config.language.locate import conf_dir
from seglab.core.options import Options
from seglab.engine.options import CallbackOptions, LoggerOptions, TrainerOptions
from seglab.experiment.options import SuiteOptions
from seglab.inference.options import PredictOptions
from seglab.metrics.options import MetricsOptions, ObjectiveOptions


@pytest.mark.parametrize(
    ("file", "options"),
    [
        ("trainer/default", TrainerOptions),
        ("callbacks/default", CallbackOptions),
        ("logger/wandb", LoggerOptions),
        ("metrics/default", MetricsOptions),
        ("objective/none", ObjectiveOptions),
        ("suite/default", SuiteOptions),
        ("predict/whole", PredictOptions),
    ],
)
def test_file_of_the_defaults_has_those_declared(file: str, options: type[Options]) -> None:
    content = yaml.safe_load((conf_dir() / f"{file}.yaml").read_text(encoding="utf-8"))
    assert {**options().to_dict(), **content} == options().to_dict()
