"""The schema is a floor below what it describes; these tests keep the two the same."""

from __future__ import annotations

import importlib
import inspect
from typing import Any

import pytest

from seglab.config.declared.targets import SCHEMAS
from seglab.core.options import ChosenBy

# Supplied by the composition root, from the data or the length of the run.
RUNTIME = {"num_classes", "ignore_index", "model", "optimizer", "total_steps", "steps_per_epoch"}

# Keys beside them that the training itself sees to.
OF_TRAINING = {"init_from"}

PLAIN_TARGETS = [
    (group, target, schema)
    for group, targets in SCHEMAS.items()
    for target, schema in targets.items()
    if not isinstance(schema, ChosenBy)
]


def load(target: str) -> Any:
    module, _, name = target.rpartition(".")
    return getattr(importlib.import_module(module), name)


def defaults_of(schema: type) -> dict[str, Any]:
    return {
        name: field.default
        for name, field in schema.model_fields.items()
        if not field.is_required()
    }


@pytest.mark.parametrize(("group", "target", "schema"), PLAIN_TARGETS, ids=lambda one: str(one))
def test_fields_are_constructor_parameters(group: str, target: str, schema: type) -> None:
    parameters = inspect.signature(load(target)).parameters
    expected = {name for name in parameters if name not in RUNTIME}
    fields = set(schema.model_fields) - OF_TRAINING

    assert fields == expected
    for name, default in defaults_of(schema).items():
        if name in OF_TRAINING:
            continue
        assert default == parameters[name].default, name


def test_only_known_packages_are_built() -> None:
    for targets in SCHEMAS.values():
        assert all(target.startswith("seglab.") for target in targets)


def test_schema_imports_nothing_heavy() -> None:
    import subprocess
    import sys

    code = "import sys, seglab.config.overrides; print([m for m in ('torch', 'pandas', 'cv2', 'timm', 'pytorch_lightning') if m in sys.modules])"  # noqa: E501
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "[]"
