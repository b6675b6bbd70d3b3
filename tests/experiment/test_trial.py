"""A training that is a trial of a study: what it reports, how it is given up, what it leaves."""

from __future__ import annotations

import pickle
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import ConfigError, TrainingError
from seglab.core.trial import TrialPrunedError, as_trial, current_trial
from seglab.data.manifest import Manifest
from seglab.experiment import launch as launch_module
from seglab.experiment.cross_validate import resume_run
from seglab.experiment.evaluate import evaluate
from seglab.experiment.launch import launch, launch_trial
from seglab.experiment.train import TrainResult
from seglab.experiment.trial import trial_problems
from seglab.runs import RunRecord, find_runs, load_runs
from tests.listening import Channel, tracked

QUIET = Console(quiet=True)
EPOCHS = ["trainer.max_epochs=3", "logger=none"]


def _launch(words: list[str], run_dir: Path, channel: Channel) -> TrainResult:
    return launch_trial(compose(words), run_dir, channel, QUIET)


def _checkpoints(run_dir: Path) -> set[str]:
    return {path.name for path in (run_dir / "checkpoints").iterdir()}


def _give_up(words: list[str], run_dir: Path, stop_at: int, match: str) -> Channel:
    channel = Channel(stop_at)
    with pytest.raises(TrialPrunedError, match=match):
        _launch(words, run_dir, channel)
    return channel


@pytest.fixture(scope="module")
def channel() -> Channel:
    return Channel()


@pytest.fixture(scope="module")
def finished(
    tiny_words: list[str], channel: Channel, tmp_path_factory: pytest.TempPathFactory
) -> TrainResult:
    """A trial that nobody gave up."""
    folder = tmp_path_factory.mktemp("study") / "trials" / "lr-0a1b2c-t0007"
    return _launch([*tiny_words, *EPOCHS], folder, channel)


class TestFinishedTrial:
    """What a trial leaves and says."""

    def test_record_names_its_study(self, finished: TrainResult) -> None:
        content = RunRecord.open(finished.run_dir).read()
        assert (content["kind"], content["status"]) == ("trial", "finished")
        assert (content["parent"], content["name"]) == ("lr-0a1b2c", "lr-0a1b2c trial 7")
        assert content["config"]["logger"]["wandb"]["group"] == "lr-0a1b2c"
        (found,) = find_runs(finished.run_dir.parents[1])
        assert load_runs(found)["kind"].tolist() == ["trial"]

    def test_every_epoch_is_reported_as_the_history_has_it(
        self, finished: TrainResult, channel: Channel
    ) -> None:
        history = RunRecord.open(finished.run_dir).history()
        assert channel.reports == list(
            zip(history["epoch"], history["val/miou_present"], strict=True)
        )
        assert [step for step, _ in channel.reports] == [0, 1, 2]
        first, *rest = channel.facts
        assert first == {"epoch": 0, "max_epochs": 3, "first_step": True}
        assert [fact["epoch"] for fact in rest] == [0, 1, 2]
        assert {fact["metric"] for fact in rest} == {"val/miou_present"}
        assert [fact["value"] for fact in rest] == [value for _, value in channel.reports]

    def test_test_split_is_not_touched(self, finished: TrainResult) -> None:
        record = RunRecord.open(finished.run_dir)
        assert Manifest.read(finished.run_dir / "manifest").splits()["test"] > 0
        assert not [key for key in finished.metrics if key.startswith("test/")]
        assert set(record.per_image()["split"]) == {"val"}
        assert not list(finished.run_dir.glob("confusion_test*"))
        assert record.confusion("val").sum() > 0

    def test_it_keeps_numbers_but_not_pictures_of_predictions(self, finished: TrainResult) -> None:
        names = {path.name for path in (finished.run_dir / "figures").iterdir()}
        assert names == {"curves.png", "confusion_val.png"}
        assert {"val/miou_low", "train/miou", "cost/latency_ms"} <= finished.metrics.keys() | set(
            RunRecord.open(finished.run_dir).metrics
        )

    def test_best_weights_are_kept_and_can_be_scored(
        self, finished: TrainResult, tmp_path: Path
    ) -> None:
        assert _checkpoints(finished.run_dir) == {"best.ckpt"}
        words = [f"run={finished.run_dir}", "data.split=test", "suite=scores", "logger=none"]
        result = evaluate(compose(words, "evaluate"), tmp_path / "eval", QUIET)
        assert 0 <= result.metrics["test/miou"] <= 1

    def test_result_goes_through_a_pipe(self, finished: TrainResult) -> None:
        back = pickle.loads(pickle.dumps(finished))  # noqa: S301 - our own bytes
        # Undefined scores are NaN, which equals nothing.
        assert repr(back) == repr(finished)

    def test_it_is_not_trained_again(self, tiny: list[str], finished: TrainResult) -> None:
        before = (finished.run_dir / "history.csv").stat().st_mtime_ns
        channel = Channel()
        again = _launch([*tiny, *EPOCHS], finished.run_dir, channel)
        assert again.status == "finished"
        assert again.metrics["val/miou"] == finished.metrics["val/miou"]
        assert channel.reports == []
        assert (finished.run_dir / "history.csv").stat().st_mtime_ns == before

    def test_former_process_may_take_a_while_to_leave(
        self, tiny: list[str], finished: TrainResult, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        script = (
            "import sys, time, filelock\n"
            "with filelock.FileLock(sys.argv[1]):\n"
            "    print('held', flush=True); time.sleep(float(sys.argv[2]))"
        )
        for seconds, wait in ((2.0, 60.0), (60.0, 1.0)):
            command = [sys.executable, "-c", script, str(finished.run_dir / ".lock"), str(seconds)]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
                assert holder.stdout is not None
                assert holder.stdout.readline() == "held\n"
                monkeypatch.setattr(launch_module, "LOCK_WAIT_S", wait)
                if wait > seconds:
                    result = _launch([*tiny, *EPOCHS], finished.run_dir, Channel())
                    assert result.status == "finished"
                    assert holder.wait() == 0
                else:
                    with pytest.raises(ConfigError, match=r"is being trained .* not end in 1 s"):
                        _launch([*tiny, *EPOCHS], finished.run_dir, Channel())
                holder.kill()


class TestPrunedTrial:
    """What becomes of a trial that its study gives up."""

    @pytest.fixture(scope="class")
    def pruned(
        self, tiny_words: list[str], tmp_path_factory: pytest.TempPathFactory
    ) -> tuple[Path, Channel]:
        run_dir = tmp_path_factory.mktemp("pruned") / "lr-0a1b2c-t0007"
        words = [*tiny_words, "trainer.max_epochs=3", "logger.wandb.mode=offline"]
        return run_dir, _give_up(words, run_dir, 1, r"after epoch 1: val/miou_present 0\.\d{4}$")

    def test_record_says_so_in_a_sentence(self, pruned: tuple[Path, Channel]) -> None:
        run_dir, channel = pruned
        record = RunRecord.open(run_dir)
        content = record.read()
        assert (content["kind"], content["status"]) == ("trial", "pruned")
        assert content["error"]["type"] == "TrialPrunedError"
        assert content["error"]["message"].startswith(
            "given up by its study after epoch 1: val/miou_present"
        )
        assert "File" not in content["error"]["traceback"]
        assert record.history()["epoch"].tolist() == [0, 1]
        assert [step for step, _ in channel.reports] == [0, 1]
        assert _checkpoints(run_dir) == set()
        assert content["wall_time_s"] > 0

    def test_tracker_shows_it_pruned_in_the_group_of_its_study(
        self, pruned: tuple[Path, Channel]
    ) -> None:
        shown = tracked(pruned[0])
        assert '"exit_code":0' in shown.replace(" ", "")
        assert "seglab/status" in shown
        assert "pruned" in shown
        assert '"lr-0a1b2c"' in shown
        assert '"trial"' in shown
        assert "overlays/val" not in shown

    def test_it_stays_given_up(self, tiny: list[str], pruned: tuple[Path, Channel]) -> None:
        run_dir, _ = pruned
        channel = Channel()
        with pytest.raises(TrialPrunedError, match=r"given up by its study after epoch 1"):
            _launch([*tiny, *EPOCHS], run_dir, channel)
        assert channel.reports == []
        assert len(RunRecord.open(run_dir).history()) == 2


@pytest.mark.slow
def test_resumed_by_hand_it_stays_a_trial(tiny: list[str], tmp_path: Path) -> None:
    """Whoever wants to know how it would have ended gets val alone, and no study hears of it."""
    _give_up([*tiny, *EPOCHS], tmp_path / "t", 0, "after epoch 0")
    result = resume_run(tmp_path / "t", QUIET)
    record = RunRecord.open(tmp_path / "t")
    assert (record.read()["kind"], record.status) == ("trial", "finished")
    assert record.history()["epoch"].tolist() == [0, 1, 2]
    assert not [key for key in result.metrics if key.startswith("test/")]


@pytest.mark.slow
def test_after_the_last_epoch_nothing_is_given_up(tiny: list[str], tmp_path: Path) -> None:
    channel = Channel(stop_at=1)
    result = _launch([*tiny, "trainer.max_epochs=2", "logger=none"], tmp_path / "t", channel)
    assert result.status == "finished"
    assert [step for step, _ in channel.reports] == [0, 1]


def test_failure_is_the_trials_own(tiny: list[str], tmp_path: Path) -> None:
    words = [*tiny, *EPOCHS, "optimizer=sgd", "optimizer.lr=1e20"]
    with pytest.raises(TrainingError, match=r"the loss became (nan|inf)"):
        _launch(words, tmp_path / "t", Channel())
    assert RunRecord.open(tmp_path / "t").status == "failed"


def test_training_in_the_process_of_a_trial_is_one(tiny: list[str], tmp_path: Path) -> None:
    channel = Channel()
    with as_trial(channel):
        launch(compose([*tiny, "trainer.max_epochs=1", "logger=none"]), tmp_path / "t", QUIET)
    assert current_trial() is None
    assert RunRecord.open(tmp_path / "t").read()["parent"] == channel.study
    assert len(channel.reports) == 1


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["cv=nested"], "cv: nested folds score each model on images held out"),
        (["cv=grouped", "cv.leak_report=true"], "cv.leak_report: trains as many folds again"),
    ],
    ids=str,
)
def test_what_suits_no_trial_is_refused_before_it_starts(
    tiny: list[str], tmp_path: Path, words: list[str], text: str
) -> None:
    with pytest.raises(ConfigError, match=text):
        _launch([*tiny, *words], tmp_path / "t", Channel())
    assert not (tmp_path / "t").exists()
    assert trial_problems(compose([*tiny, "cv=grouped"])) == []
