"""The loop that closes by itself, small: night, alert, queue, labels, two refusals, a promotion."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from seglab.feedback.exchange.studio import TOKEN_VARIABLE
from tests.label_studio import TOKEN

SCRIPT = Path(__file__).resolve().parents[2] / "experiments" / "closed-loop" / "run.py"


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_night_is_noticed_labelled_learned_and_served(
    request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Through a running Label Studio where one can be had, else by files of LabelMe."""
    words = [sys.executable, str(SCRIPT), "--tiny", "--seeds", "0", "--out", str(tmp_path)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", TOKEN_VARIABLE: TOKEN}
    with contextlib.suppress(pytest.skip.Exception):
        words += ["--studio", request.getfixturevalue("label_studio")]
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    result = json.loads((tmp_path / "seed0.json").read_text(encoding="utf-8"))
    assert result["statuses"] == [200]
    assert result["found_after"] is not None
    assert (result["worse"], result["poisoned"], result["better"]) == (3, 3, 0)
    assert result["night"]["after"] > result["night"]["before"]
    happened = [one["what"] for one in result["events"]]
    assert happened.index("night falls") < happened.index("labels are back")
    assert happened[-1] == "the champion answers"
    assert (tmp_path / "timeline.png").stat().st_size > 10_000
