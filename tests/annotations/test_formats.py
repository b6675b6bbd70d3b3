"""Every annotation format under one contract."""

from __future__ import annotations

from typing import Any

import pytest

import seglab.annotations.options  # noqa: F401 - declares them
from seglab.annotations.format import annotation_format, format_names
from seglab.testing import AnnotationContract

# What formats cannot hold, by name.
CANNOT: dict[str, dict[str, Any]] = {"yolo": {"states_size": False}}


class TestFormats(AnnotationContract):
    @pytest.fixture(autouse=True, params=format_names())
    def _of_format(self, request: pytest.FixtureRequest) -> None:
        self.name = request.param
        for attribute, value in CANNOT.get(self.name, {}).items():
            setattr(self, attribute, value)

    def build(self, **supplied: Any) -> Any:
        return annotation_format(self.name)
