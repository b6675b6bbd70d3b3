"""The tools themselves, in environments of their own, as judges of what is read and written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[[str, str, Any], Any]


def _environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}


@pytest.fixture(scope="session")
def python_with() -> Callable[[str], str]:
    """Return what finds the Python that has a module.

    The environment variable SEGLAB_ORACLES names the Pythons that have the tools, parted as in PATH;
    the test is skipped where none of them has the module.
    """

    def find(module: str) -> str:
        probe = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
        pythons = [one for one in os.environ.get("SEGLAB_ORACLES", "").split(os.pathsep) if one]
        for python in pythons:
            probed = subprocess.run([python, "-c", probe], check=False, env=_environment())
            if not probed.returncode:
                return python
        pytest.skip(f"no Python of SEGLAB_ORACLES ({len(pythons)} named) has {module}")

    return find


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
            env=_environment(),
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.rpartition("\n#")[2])

    return run
