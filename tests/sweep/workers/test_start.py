"""A study is taken up by who asks for the same, also where a later version has more settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seglab.core.errors import ConfigError
from seglab.runs.studies.study import StudyFolder
from seglab.sweep.workers.start import _FIXED_OF_PLAN, _require_same


def study(fingerprint: str, **trainer: Any) -> dict[str, Any]:
    config = {"trainer": {"max_epochs": 3, **trainer}}
    return {"fingerprint": fingerprint, "base_config": config, **dict.fromkeys(_FIXED_OF_PLAN)}


def test_settings_that_came_later_mean_what_was_done_before(tmp_path: Path) -> None:
    before, folder = study("one"), StudyFolder(tmp_path)
    _require_same(before, study("two", whole_batch_losses="approximate"), folder)
    with pytest.raises(ConfigError, match="whole_batch_losses: 'approximate' before, 'exact' now"):
        _require_same(before, study("two", whole_batch_losses="exact"), folder)
    with pytest.raises(ConfigError, match="max_epochs: 3 before, 4 now"):
        _require_same(before, study("two", max_epochs=4), folder)
