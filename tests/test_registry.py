"""Every declared component has its configuration; a message names the file that is missing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import seglab.config.declared.targets
import seglab.data.importers.opening  # noqa: F401 - with the other, declares all components
from seglab.core.architectures import ARCHITECTURES
from seglab.core.parts.components import component_groups, components

CONF = Path(__file__).resolve().parents[1] / "conf"
# Where the configurations of a group are, if not in the folder of its name.
FOLDERS = {
    "loss_term": "loss",
    "schedule": "scheduler",
    "importer": "data",
    "annotation_format": "data",
}
# Formats that are only written; what they write is read by the importer `folder`.
WRITTEN_ALONE = {"masks"}


def values_in(content: Any) -> Iterator[Any]:
    """Yield every scalar of plain content."""
    if isinstance(content, dict):
        for item in content.values():
            yield from values_in(item)
    elif isinstance(content, list):
        for item in content:
            yield from values_in(item)
    else:
        yield content


# Of a command that Hydra does not compose: its words say all.
@pytest.mark.parametrize("group", sorted({*component_groups()} - {"alert_channel"}))
def test_every_component_has_a_configuration(group: str) -> None:
    folder = CONF / FOLDERS.get(group, group)
    files = list(folder.glob("*.yaml"))
    named = {str(v) for file in files for v in values_in(yaml.safe_load(file.read_text("utf-8")))}
    named |= {file.stem for file in files}
    missing = [
        f"{folder.name}/{name.rpartition('.')[2].lower()}.yaml, which names {name}"
        for name in components(group)
        if name not in named and name not in WRITTEN_ALONE
    ]
    assert not missing, f"add to conf/: {'; '.join(missing)}"


def test_every_architecture_has_a_configuration_and_the_other_way_round() -> None:
    files = {file.stem for file in (CONF / "model").glob("*.yaml")}
    missing = [f"conf/model/{arch}.yaml" for arch in ARCHITECTURES if arch not in files]
    assert not missing, f"add {', '.join(missing)}"
    assert files == set(ARCHITECTURES)
