"""A trial that is a cross-validation: reported and given up fold by fold."""

from __future__ import annotations

from pathlib import Path

import pytest
from rich.console import Console

from seglab.analysis.comparison.contenders import choose_runs
from seglab.config.compose import compose
from seglab.core.trial import TrialPrunedError
from seglab.engine.device.slots import Slot
from seglab.experiment import cross_validate as cv_module
from seglab.experiment.launch import launch_trial
from seglab.experiment.train import TrainResult
from seglab.runs import RunRecord, find_runs, load_runs
from tests.listening import Channel, tracked

pytestmark = pytest.mark.slow

QUIET = Console(quiet=True)
FOLDS = [
    "cv=grouped",
    "cv.folds=3",
    "trainer.max_epochs=1",
    "logger=none",
    "metrics.train_images=0",
]


def _launch(words: list[str], run_dir: Path, channel: Channel) -> TrainResult:
    return launch_trial(compose(words), run_dir, channel, QUIET)


def _checkpoints(run_dir: Path) -> set[str]:
    return {path.name for path in (run_dir / "checkpoints").iterdir()}


class TestCrossValidation:
    """A trial that trains a model a fold."""

    @pytest.fixture(scope="class")
    def heard(self) -> Channel:
        return Channel()

    @pytest.fixture(scope="class")
    def folded(
        self, tiny_words: list[str], heard: Channel, tmp_path_factory: pytest.TempPathFactory
    ) -> RunRecord:
        run_dir = tmp_path_factory.mktemp("folded") / "lr-0a1b2c-t0007"
        return RunRecord(_launch([*tiny_words, *FOLDS], run_dir, heard).run_dir)

    def test_finished_folds_are_what_is_reported(self, folded: RunRecord, heard: Channel) -> None:
        folds = [RunRecord(path) for path in find_runs(folded.run_dir / "folds")]
        assert heard.reports == [
            (number, fold.metrics["val/miou_present"]) for number, fold in enumerate(folds)
        ]
        assert [fact["fold"] for fact in heard.facts if "finished" in fact] == [0, 1, 2]
        assert {fact["folds"] for fact in heard.facts} == {3}
        assert [fact["fold"] for fact in heard.facts if "first_step" in fact] == [0]
        scored = [fact for fact in heard.facts if "epoch" in fact and "value" in fact]
        assert [(fact["fold"], fact["epoch"]) for fact in scored] == [(0, 0), (1, 0), (2, 0)]

    def test_records_say_what_they_are(self, folded: RunRecord) -> None:
        content = folded.read()
        assert (content["kind"], content["status"]) == ("cv", "finished")
        assert (content["parent"], content["name"]) == ("lr-0a1b2c", "lr-0a1b2c trial 7")
        table = load_runs(folded.run_dir)
        assert table["kind"].tolist() == ["cv", "fold", "fold", "fold"]
        assert set(table["parent"][1:]) == {folded.run_id}
        assert set(table["config.logger.wandb.group"]) == {"lr-0a1b2c"}
        assert not [key for key in table if key.startswith("metrics.test/")]
        for path in find_runs(folded.run_dir / "folds"):
            assert _checkpoints(path) == {"best.ckpt"}

    def test_monitored_score_and_cost_are_means_over_folds(self, folded: RunRecord) -> None:
        folds = [RunRecord(path).metrics for path in find_runs(folded.run_dir / "folds")]
        for key in ("val/miou", "val/miou_present", "cost/params_m", "cost/latency_ms"):
            assert folded.metrics[key] == pytest.approx(sum(one[key] for one in folds) / 3)

    def test_it_meets_others_in_a_comparison(self, folded: RunRecord) -> None:
        runs, notes = choose_runs([str(folded.run_dir.parent)], folded.run_dir.parent)
        assert folded.run_dir in [getattr(run, "run_dir", run) for run in runs]
        assert notes == []

    def test_one_worker_on_a_processor(self, tiny: list[str]) -> None:
        assert len(cv_module._slots(compose([*tiny, *FOLDS]))) == 1

    @pytest.mark.slow
    def test_taken_up_it_reports_finished_folds_again(
        self,
        tiny: list[str],
        folded: RunRecord,
        heard: Channel,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        real, calls = cv_module.train, []

        def stops_at_the_third(*args: object, **more: object) -> object:
            calls.append(args)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(*args, **more)  # type: ignore[arg-type]

        monkeypatch.setattr(cv_module, "train", stops_at_the_third)
        first, second = Channel(), Channel()
        with pytest.raises(Exception, match="stopped by a signal"):
            _launch([*tiny, *FOLDS], tmp_path / "t", first)
        assert RunRecord(tmp_path / "t").status == "interrupted"
        result = _launch([*tiny, *FOLDS], tmp_path / "t", second)
        assert len(calls) == 4
        assert first.reports == heard.reports[:2]
        assert second.reports == heard.reports
        assert result.metrics["val/miou"] == folded.metrics["val/miou"]

    def test_pruned_between_folds_it_starts_no_other(self, tiny: list[str], tmp_path: Path) -> None:
        words = [word for word in [*tiny, *FOLDS] if word != "logger=none"]
        words.append("logger.wandb.mode=offline")
        with pytest.raises(
            TrialPrunedError, match=r"fold r0-f0, 1 of 3 finished: val/miou_present"
        ):
            _launch(words, tmp_path / "t", Channel(stop_at=0))
        record = RunRecord(tmp_path / "t")
        assert (record.read()["kind"], record.status) == ("cv", "pruned")
        assert "File" not in record.read()["error"]["traceback"]
        (fold,) = [RunRecord(path) for path in find_runs(tmp_path / "t" / "folds")]
        assert fold.status == "finished"
        assert _checkpoints(fold.run_dir) == set()
        shown = tracked(record.run_dir)
        assert '"exit_code":0' in shown.replace(" ", "")
        assert '"pruned"' in shown.replace("\\", "")
        assert '"lr-0a1b2c"' in shown
        assert '"lr-0a1b2c"' in tracked(fold.run_dir)
        with pytest.raises(TrialPrunedError, match="after fold r0-f0"):
            _launch(words, tmp_path / "t", Channel())

    @pytest.mark.slow
    def test_folds_side_by_side_are_reported_as_they_finish(
        self,
        tiny: list[str],
        folded: RunRecord,
        heard: Channel,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(cv_module, "_slots", lambda cfg: [Slot("one"), Slot("two")])
        channel = Channel()
        result = _launch([*tiny, *FOLDS], tmp_path / "t", channel)
        assert sorted(channel.reports) == heard.reports
        assert result.metrics["val/miou"] == folded.metrics["val/miou"]

        stopped = Channel()
        stopped.report = lambda value, step: not stopped.reports.append((step, value))  # type: ignore[method-assign,func-returns-value]
        words = [*tiny, *FOLDS, "cv.folds=6"]
        with pytest.raises(TrialPrunedError, match=r"[12] of 6 finished"):
            _launch(words, tmp_path / "pruned", stopped)
        assert len(stopped.reports) == 1
        records = [RunRecord(path) for path in find_runs(tmp_path / "pruned" / "folds")]
        assert len(records) <= 4
        assert {record.effective_status for record in records} <= {"finished", "interrupted"}
