"""A study whose workers are jobs elsewhere: submitit's local executor, Ray on two nodes, PostgreSQL."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from seglab.analysis.study import load_trials
from seglab.runs.studies.study import ATTEMPTS, StudyFolder
from seglab.runs.studies.study_storage import open_study
from tests.sweep.drill.running import command, environment, noted, run

pytestmark = [pytest.mark.slow]

TRIALS = 6
SHORT = ("study.n_trials=6", "seconds=1", "study.enqueue=[{x:0},{x:1},{x:2},{x:4},{x:6},{x:8}]")
ON_SLURM = (
    "hydra/launcher=slurm",
    "hydra.launcher.cluster=local",
    "hydra.launcher.jobs=2",
    "hydra.launcher.gpus_per_node=0",
    "hydra.launcher.preload=[]",
)


def all_finished_once(folder: Path) -> None:
    trials = load_trials(folder / "drill")
    assert sorted(trials["number"]) == list(range(TRIALS))
    assert set(trials["state"]) == {"finished"}
    assert noted(folder, "ends") == Counter(dict.fromkeys((0, 1, 2, 4, 6, 8), 1))


def controllers(folder: Path) -> set[str]:
    study = open_study(StudyFolder(folder / "drill"))
    return {trial.user_attrs[ATTEMPTS][-1]["controller"] for trial in study.trials}


def test_workers_are_jobs_of_submitit(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    done = run(tmp_path, *ON_SLURM, *SHORT)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    all_finished_once(tmp_path)
    assert len(controllers(tmp_path)) == 2
    assert list((tmp_path / "drill" / "slurm").glob("*_result.pkl"))


def test_a_job_that_is_killed_loses_nothing(tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    words = (*ON_SLURM, *SHORT[1:], "study.n_trials=6", "study.grace_s=5", "seconds=1")
    process = subprocess.Popen(
        command(tmp_path, *words),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + 120
    while len(noted(tmp_path, "starts")) < 3 and time.monotonic() < end:
        assert process.poll() is None, process.stdout.read().decode()
        time.sleep(0.1)
    workers = [
        one
        for one in psutil.Process(process.pid).children(recursive=True)
        if "submitit.core._submit" in " ".join(one.cmdline())
    ]
    assert workers
    os.kill(workers[0].pid, signal.SIGKILL)
    output = process.communicate(timeout=200)[0].decode()
    assert process.returncode == 0, output
    all_finished_once(tmp_path)


@pytest.fixture
def ray_address(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    # A busy machine takes longer to start a node than Ray waits for by itself.
    monkeypatch.setenv("RAY_raylet_start_wait_time_s", "180")
    pytest.importorskip("ray")
    from ray.cluster_utils import Cluster

    cluster = Cluster(
        initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
    )
    cluster.add_node(num_cpus=1)
    yield cluster.address
    cluster.shutdown()


def test_workers_are_tasks_on_two_nodes_of_ray(tmp_path: Path, ray_address: str) -> None:
    done = run(
        tmp_path,
        "hydra/launcher=ray",
        f"hydra.launcher.address='{ray_address}'",
        "hydra.launcher.jobs=2",
        "hydra.launcher.cpus_per_worker=1",
        "hydra.launcher.gpus_per_worker=0",
        "hydra.launcher.preload=[]",
        *SHORT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    all_finished_once(tmp_path)
    assert len(controllers(tmp_path)) == 2


def test_ray_that_is_not_there_is_told(tmp_path: Path) -> None:
    pytest.importorskip("ray")
    done = run(
        tmp_path,
        "hydra/launcher=ray",
        "hydra.launcher.address='127.0.0.1:1'",
        "hydra.launcher.jobs=1",
        *SHORT,
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "hydra.launcher.address" in done.stderr


def test_two_commands_share_one_study_in_postgresql(tmp_path: Path, postgres_url: str) -> None:
    # Long enough that the second comes while the first has some left, also on a busy machine.
    words = (*SHORT, "seconds=2", f"study.storage='{postgres_url}'", "hydra.launcher.workers=1")
    first = subprocess.Popen(
        command(tmp_path, *words),
        env=environment(tmp_path),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    end = time.monotonic() + 120
    while not noted(tmp_path, "starts") and time.monotonic() < end:
        assert first.poll() is None, first.stdout.read().decode()
        time.sleep(0.05)
    second = run(tmp_path, *words)
    output = first.communicate(timeout=120)[0].decode()
    assert (first.returncode, second.returncode) == (0, 0), output + second.stderr
    trials = load_trials(tmp_path / "drill")
    assert len(trials) == TRIALS
    assert not (tmp_path / "drill" / "journal.log").exists()
    all_finished_once(tmp_path)
    assert len(controllers(tmp_path)) == 2
