"""The tools themselves, in environments of their own, as judges of what is read and written."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests.conftest import environment

Ask = Callable[[str, str, Any], Any]


@pytest.fixture
def ask(python_with: Callable[[str], str]) -> Ask:
    """Return what runs a program with a tool: `ask(module, program, given)`.

    The program finds `given` and leaves its answer, both plain values, under that name and `answer`.
    """

    def run(module: str, program: str, given: Any) -> Any:
        code = (
            f"import json, sys; given = json.load(sys.stdin)\n{program}\n"
            "print('\\n#' + json.dumps(answer))"
        )
        done = subprocess.run(
            [python_with(module), "-c", code],
            input=json.dumps(given),
            capture_output=True,
            text=True,
            check=False,
            env=environment(),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("\n#")[2])

    return run
