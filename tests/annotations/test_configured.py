"""A training may name every importer of annotations; its options are checked with all others."""

from __future__ import annotations

import re

import pytest

import seglab.data.importers.opening  # noqa: F401 - declares all importers
from seglab.config.compose import compose
from seglab.core.errors import ConfigError
from seglab.core.parts.components import components
from seglab.data.options import _IMPORTERS


def test_importers_of_annotations_are_choices_of_data() -> None:
    assert set(_IMPORTERS) == set(components("importer"))
    words = ["data=cvat", "data.root=.", "data.options.unlabelled=void"]
    with pytest.raises(ConfigError, match=re.escape("(did you mean 'data.options.class_names'?)")):
        compose([*words, "data.options.class_nmes=[a,b]"])
    assert compose(words)["data"]["importer"] == "cvat"


@pytest.mark.parametrize("folder", ["/srv/masks", "../masks", "new/../../masks"])
def test_masks_are_written_nowhere_but_below_the_root(folder: str) -> None:
    words = ["data=coco", "data.root=.", "data.options.unlabelled=void"]
    told = f"data.options.masks: expected a folder below the root, such as .seglab-masks, got '{folder}'"
    with pytest.raises(ConfigError, match=re.escape(told)):
        compose([*words, f"data.options.masks={folder}"])
