"""Retraining on a schedule: the words are sound, and the files by their tools' own checks."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from seglab.cli.base.option_words import read_words
from seglab.deploy.retrain.options import RetrainOptions

FILES = Path(__file__).resolve().parents[2] / "scripts" / "schedule"
CRONJOB = yaml.safe_load((FILES / "kubernetes-cronjob.yaml").read_text(encoding="utf-8"))
CRON_LINE = (FILES / "crontab").read_text(encoding="utf-8").splitlines()[-1]


def pod() -> dict[str, Any]:
    spec: dict[str, Any] = CRONJOB["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    return spec


def commands() -> dict[str, list[str]]:
    """Return the words of each `seglab retrain`, with the variables of the workflow put in."""
    found = {"kubernetes": [*pod()["containers"][0]["args"]]}
    for name in ("crontab", "seglab-retrain.service", "github-workflow.yml"):
        text = (FILES / name).read_text(encoding="utf-8").replace('"$DRY_RUN"', "true")
        [line] = re.findall(r"seglab retrain (.*)", text)
        found[name] = [word for word in shlex.split(re.split(r" >>? ", line)[0]) if "=" in word]
    return found


@pytest.mark.parametrize("name", commands())
def test_words_are_sound(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder in ("manifests/current", "manifests/frozen"):
        (tmp_path / folder).mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    options = read_words(
        [word.replace("/data/", "") for word in commands()[name]], RetrainOptions, "retrain"
    )
    assert (options.registry, options.guard) == ("models", ("tag:night",))


@pytest.mark.parametrize("code", [0, 1, 2, 3])
def test_line_of_cron_passes_on_failures_alone(code: int, tmp_path: Path) -> None:
    seglab = tmp_path / ".venv" / "bin" / "seglab"
    seglab.parent.mkdir(parents=True)
    seglab.write_text(f"#!/bin/sh\necho $0 $1 said $2\nexit {code}\n")
    seglab.chmod(0o755)
    line = CRON_LINE.split(maxsplit=5)[5]
    environment = {**os.environ, "SEGLAB": str(tmp_path)}
    done = subprocess.run(["/bin/sh", "-c", line], env=environment, capture_output=True, text=True)
    assert done.returncode == (code if code in (1, 2) else 0) or (
        done.returncode and code in (1, 2)
    )
    assert (done.stdout != "") == (code != 0), "cron mails what is printed"
    assert "said registry=models" in (tmp_path / "retrain.log").read_text()


def test_systemd_takes_the_units(tmp_path: Path) -> None:
    tool = shutil.which("systemd-analyze") or pytest.skip("systemd is not there")
    for name in ("seglab-retrain.service", "seglab-retrain.timer"):
        text = (FILES / name).read_text().replace("/srv/seglab/.venv/bin/seglab", "/bin/true")
        (tmp_path / name).write_text(text)
    words = [tool, "verify", *map(str, sorted(tmp_path.iterdir()))]
    done = subprocess.run(words, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_kubernetes_takes_the_job() -> None:
    if find_spec("kubernetes_validate") is None:
        pytest.skip("kubernetes-validate, which carries the schemas, is not installed")
    import kubernetes_validate

    kubernetes_validate.validate(CRONJOB, "1.33", strict=True)
    mounts = {one["name"] for one in pod()["containers"][0]["volumeMounts"]}
    assert mounts == {one["name"] for one in pod()["volumes"]}
    [rule] = [
        one
        for one in CRONJOB["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
        if "onExitCodes" in one
    ]
    assert rule["onExitCodes"]["values"] == [2, 3]
    assert rule["onExitCodes"]["containerName"] == pod()["containers"][0]["name"]


def test_workflow_tells_that_nothing_was_promoted(tmp_path: Path) -> None:
    """GitHub's own shell, with a command that ends with 3 and with 1."""
    workflow = yaml.safe_load((FILES / "github-workflow.yml").read_text(encoding="utf-8"))
    [step] = workflow["jobs"]["retrain"]["steps"]
    for code, expected in ((0, 0), (1, 1), (3, 0)):
        seglab = tmp_path / str(code) / ".venv" / "bin" / "seglab"
        seglab.parent.mkdir(parents=True)
        seglab.write_text(f"#!/bin/sh\necho the verdict\necho report\nexit {code}\n")
        seglab.chmod(0o755)
        summary = tmp_path / "summary"
        done = subprocess.run(
            ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
            cwd=tmp_path / str(code),
            env={**os.environ, "DRY_RUN": "false", "GITHUB_STEP_SUMMARY": str(summary)},
            capture_output=True,
            text=True,
        )
        assert done.returncode == expected
        assert summary.read_text().endswith("the verdict\nreport\n")
        assert ("::warning title=not promoted::the verdict" in done.stdout) == (code == 3)
