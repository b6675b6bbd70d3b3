from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf

from seglab.core.errors import SeglabError, TrainingError

Run = Callable[..., Any]
# Runs the jobs of a grid in this process, where they can be looked at; ours starts others.
HYDRAS_OWN = ("hydra/sweeper=basic", "hydra/launcher=basic")


def test_help_shows_groups_and_examples(seglab: Run) -> None:
    answer = seglab("train", "--help")

    assert answer.code == 0
    assert re.search(r"  optimizer +adam, adamw, sgd, timm\n", answer.out)
    assert re.search(r"  data +ade20k, camvid, cityscapes, cityscapes_json, coco", answer.out)
    assert "seglab train experiment=demo" in answer.out
    assert "run" in seglab("evaluate", "--help").out


def test_configuration_is_printed_and_nothing_runs(seglab: Run, jobs: Any) -> None:
    answer = seglab("train", "--cfg", "job", "model=segnet", "+seed=4")

    assert answer.code == 0
    assert OmegaConf.create(answer.out).model._target_ == "seglab.models.SegNet"
    assert OmegaConf.create(answer.out).seed == 4
    assert jobs.configs == []
    assert seglab("train", "--cfg", "job", "-p", "monitor").out.endswith("mode: max\n")
    assert seglab("train", "data=camvid", "--cfg", "job").code == 0


def test_training_gets_its_own_folder(seglab: Run, jobs: Any, tmp_path: Path) -> None:
    answer = seglab("train", "seed=5", "model=segnet")

    assert answer.code == 0
    assert jobs.configs[0].seed == 5
    (run_dir,) = jobs.run_dirs
    assert run_dir.parent == tmp_path / "runs" / "synth-segnet"
    assert re.fullmatch(r"\d{8}-\d{6}-[0-9a-f]{6}", run_dir.name)
    overrides = OmegaConf.load(run_dir / ".hydra" / "overrides.yaml")
    assert list(overrides) == ["seed=5", "model=segnet"]
    assert jobs.words == [["train", "seed=5", "model=segnet"]]
    assert answer.err == f"training in {run_dir.name}\n"
    assert "chatter" not in (run_dir / "train.log").read_text()


@pytest.mark.slow
def test_every_job_of_a_multirun_gets_its_own_folder(
    seglab: Run, jobs: Any, tmp_path: Path
) -> None:
    answer = seglab("train", "seed=1,2", "-m", "model=unet,segnet", *HYDRAS_OWN)

    assert answer.code == 0
    assert [cfg.seed for cfg in jobs.configs] == [1, 1, 2, 2]
    assert len({path.name for path in jobs.run_dirs}) == 4
    assert sorted({path.parent.name for path in jobs.run_dirs}) == ["synth-segnet", "synth-unet"]
    assert jobs.words[3] == ["train", "seed=2", "model=segnet"]


def test_mistakes_come_together_before_anything_is_made(
    seglab: Run, jobs: Any, tmp_path: Path
) -> None:
    answer = seglab("train", "modle=unet", "+trainer.max_epoch=3", "seed=-1")

    assert answer.code == 2
    lines = answer.err.splitlines()
    assert lines[0] == "seglab train: 3 configuration problems:"
    assert [line.split(":")[0] for line in lines[1:]] == [
        "  - modle",
        "  - seed",
        "  - trainer.max_epoch",
    ]
    assert jobs.configs == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (
            ["--epochs", "3"],
            "no such option '--epochs'; settings are given without dashes as key=value, such as "
            "epochs=..., see seglab train --help",
        ),
        (["--multirum"], "no such option '--multirum' (did you mean '--multirun'?)"),
        (["-m", "--cfg", "job"], "--multirun and --cfg exclude each other; give one of them"),
        (["--resolve"], "--resolve needs --cfg, such as --cfg job --resolve"),
        (["--cfg", "jobs"], "invalid choice: 'jobs'"),
    ],
    ids=str,
)
def test_wrong_flags_are_explained(seglab: Run, words: list[str], text: str) -> None:
    answer = seglab("train", *words)

    assert answer.code == 2
    assert text in answer.err


def test_failures_end_with_our_message_and_code(seglab: Run, jobs: Any) -> None:
    def fail(cfg: Any) -> None:
        raise {1: TrainingError("loss is NaN"), 2: KeyError("x"), 3: KeyboardInterrupt()}[cfg.seed]

    jobs.failure = fail
    ours = seglab("train", "seed=1")
    unexpected = seglab("train", "seed=2")
    interrupted = seglab("train", "seed=3")

    assert (ours.code, unexpected.code, interrupted.code) == (1, 1, 130)
    assert ours.err.endswith("seglab train: loss is NaN\n")
    assert "Traceback" not in ours.err + unexpected.err
    kept = jobs.run_dirs[1] / "traceback.txt"
    assert f"seglab train: KeyError: 'x'. The traceback is in {kept}." in unexpected.err
    assert "KeyError: 'x'" in kept.read_text()
    assert interrupted.err.endswith("seglab train: interrupted\n")


@pytest.mark.slow
def test_multirun_stops_at_the_first_failure_and_names_the_job(seglab: Run, jobs: Any) -> None:
    def fail(cfg: Any) -> None:
        if cfg.seed == 2:
            raise TrainingError("loss is NaN")

    jobs.failure = fail
    answer = seglab("train", "-m", "seed=1,2,3", *HYDRAS_OWN)

    assert answer.code == 1
    assert [cfg.seed for cfg in jobs.configs] == [1, 2]
    assert answer.err.splitlines()[-1] == (
        "seglab train: job 1 (seed=2) failed, later jobs were not started: loss is NaN"
    )


def test_resume_keeps_the_runs_own_configuration(seglab: Run, jobs: Any, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo" / "one"
    run.mkdir(parents=True)

    gone = seglab("train", "resume=runs/demo/one")
    assert gone.code == 2
    assert gone.err.splitlines()[1] == (
        "  - resume: expected a run directory (it holds a run.json), got 'runs/demo/one'"
    )

    (run / "run.json").touch()
    refused = seglab("train", "resume=runs/demo/one", "seed=1", "model=segnet", "-m")
    assert refused.code == 2
    assert refused.err.splitlines()[1:] == [
        "  - resume: a resumed run keeps its own configuration, but for trainer.max_epochs=N "
        "and plugins=[PACKAGE]; "
        f"remove {word}"
        for word in ("seed=1", "model=segnet", "--multirun")
    ]

    assert seglab("train", "resume=runs/demo/one").code == 0
    assert jobs.resumed == [Path("runs/demo/one")]
    assert jobs.configs == []


def test_stopped_training_says_how_to_go_on(seglab: Run, jobs: Any) -> None:
    class StoppedError(SeglabError):
        exit_code = 130

    def stop(_cfg: Any) -> None:
        raise StoppedError("stopped by SIGINT at step 3")

    jobs.failure = stop
    answer = seglab("train", "hydra.run.dir=a run")
    assert answer.code == 130
    (run_dir,) = jobs.run_dirs
    assert answer.err.endswith(
        f"stopped by SIGINT at step 3; go on with: seglab train 'resume={run_dir}'\n"
    )


def test_resume_null_starts_a_new_run(seglab: Run, jobs: Any) -> None:
    assert seglab("train", "resume=null", "seed=1").code == 0
    assert jobs.configs[0].seed == 1


def test_further_folder_is_searched(seglab: Run, jobs: Any, tmp_path: Path) -> None:
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    text = "# @package _global_\nexperiment_name: own\nseed: 9\n"
    (folder / "own.yaml").write_text(text, encoding="utf-8")
    answer = seglab("train", "experiment=own", "--config-dir", "mine")

    assert answer.code == 0, answer.err
    assert jobs.configs[0].seed == 9
    assert jobs.run_dirs[0].parent.name == "own"


def test_info_says_where_the_configuration_comes_from() -> None:
    # In a process of its own: Hydra logs it, and pytest holds the log of this one.
    command = [sys.executable, "-m", "seglab.cli", "train", "--info", "defaults"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)

    assert "| scheduler/onecycle " in done.stdout
