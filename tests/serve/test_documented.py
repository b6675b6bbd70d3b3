"""The page about the service says what there is."""

from __future__ import annotations

import re
from pathlib import Path
from typing import get_args

from seglab.serve.errors import STATUS
from seglab.serve.metrics import REFUSALS, STAGES, Metrics
from seglab.serve.options import ServeOptions
from seglab.serve.schema import Output

TEXT = (Path(__file__).resolve().parents[2] / "docs" / "serve.md").read_text(encoding="utf-8")
QUOTED = set(re.findall(r"`([^`\n]+)`", TEXT))


def test_every_metric_is_documented_and_every_documented_one_is_there() -> None:
    families = list(Metrics().registry.collect())
    named = {one.name + ("_total" if one.type == "counter" else "") for one in families}
    assert {name for name in QUOTED if name.startswith("seglab_")} == named
    assert {*STAGES, *REFUSALS} <= QUOTED
    labels = {
        label for metric in vars(Metrics()).values() for label in getattr(metric, "_labelnames", ())
    }
    assert labels <= QUOTED


def test_every_reason_and_form_is_documented() -> None:
    assert STATUS.keys() - {"bundle", "internal", "method", "not_found"} <= QUOTED
    assert set(get_args(Output)) <= QUOTED
    assert {"workers", "deadline", "drain", "max_bytes", "max_pixels", "max_side"} <= (
        QUOTED & ServeOptions.model_fields.keys()
    )
