"""Settings for every test: no network, no W&B account, few threads, nothing written to home."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.label_studio import running

# The suite judges a change, so it draws the same examples each time; to look for new ones, run
# it with HYPOTHESIS_PROFILE=explore and --hypothesis-seed=N. How long one takes is the machine's business.
settings.register_profile("same", derandomize=True, print_blob=False, deadline=None)
settings.register_profile("explore", derandomize=False, print_blob=True, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))

# As many processes as cores run tests at once, so each computes with one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["WANDB_MODE"] = "offline"
os.environ["WANDB_SILENT"] = "true"
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["MPLBACKEND"] = "Agg"

# A shell starts `make test &` with Ctrl-C ignored, which commands started by tests would inherit.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep caches, generated data and runs of the tests away from the user's."""
    base = tmp_path_factory.mktemp("seglab")
    for variable, name in (
        ("SEGLAB_CACHE", "cache"),
        ("SEGLAB_DATA", "data"),
        ("SEGLAB_RUNS", "runs"),
    ):
        os.environ[variable] = str(base / name)


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of real images and weights beside the checkout; tests that need it are skipped."""
    folder = Path(__file__).resolve().parents[2] / "shared"
    if not (folder / "data" / "camvid").is_dir():
        pytest.skip(f"no real data: {folder} is not there")
    return folder


def environment() -> dict[str, str]:
    """Return the variables of a process that has libraries of its own."""
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
            probed = subprocess.run([python, "-c", probe], check=False, env=environment())
            if not probed.returncode:
                return python
        pytest.skip(f"no Python of SEGLAB_ORACLES ({len(pythons)} named) has {module}")

    return find


@pytest.fixture(scope="session")
def label_studio(
    tmp_path_factory: pytest.TempPathFactory, python_with: Callable[[str], str]
) -> Iterator[str]:
    """The address of a running Label Studio, whose user has the token of `tests.label_studio`."""
    if url := os.environ.get("SEGLAB_LABEL_STUDIO_URL"):
        yield url
        return
    with running(python_with("label_studio"), tmp_path_factory.mktemp("label-studio")) as url:
        yield url
