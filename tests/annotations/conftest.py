"""The tools themselves, in environments of their own, as judges of what is read and written."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

Ask = Callable[[str, str, Any], Any]


@pytest.fixture
def ask() -> Ask:
    """Return what runs a program with a tool: `ask(module, program, given)`.

    The program finds `given` and leaves its answer, both plain values, under that name and `answer`.
    The environment variable SEGLAB_ORACLES names the Pythons that have the tools, parted as in PATH;
    the test is skipped where none of them has the module.
    """

    def run(module: str, program: str, given: Any) -> Any:
        pythons = [one for one in os.environ.get("SEGLAB_ORACLES", "").split(os.pathsep) if one]
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        for python in pythons:
            probe = f"import importlib.util as u, sys; sys.exit(u.find_spec({module!r}) is None)"
            if subprocess.run([python, "-c", probe], check=False, env=environment).returncode:
                continue
            code = (
                f"import json, sys; given = json.load(sys.stdin)\n{program}\n"
                "print('\\n#' + json.dumps(answer))"
            )
            done = subprocess.run(
                [python, "-c", code],
                input=json.dumps(given),
                capture_output=True,
                text=True,
                check=False,
                env=environment,
            )
            assert done.returncode == 0, done.stderr
            return json.loads(done.stdout.rpartition("\n#")[2])
        pytest.skip(f"no Python of SEGLAB_ORACLES ({len(pythons)} named) has {module}")

    return run
