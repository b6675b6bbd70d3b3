"""Words `key=value` of commands that run where Hydra is not installed."""

from __future__ import annotations

import pytest

from seglab.cli.base.option_words import print_word_help, read_words
from seglab.core.errors import ConfigError
from seglab.deploy.options import ExportOptions
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.registry.options import PromoteOptions
from seglab.monitor.report.options import ReportOptions


def test_reads_every_type() -> None:
    words = ["run=runs/a b=c", "window=512,384", "flips=[h]", "scales=0.5,1", "int8=false"]
    found = read_words([*words, "max_miou_drop=0.01", "output=null"], ExportOptions, "export")
    assert found.run == "runs/a b=c"
    assert (found.window, found.flips, found.scales) == ((512, 384), ("h",), (0.5, 1.0))
    assert (found.int8, found.max_miou_drop, found.output) == (False, 0.01, None)


def test_text_stays_text() -> None:
    found = read_words(["run=007", "name=no", "licence=1.0"], ExportOptions, "export")
    assert (found.run, found.name, found.licence) == ("007", "no", "1.0")
    words = ["log=1e3", "start=2026-11-27", "title=null"]
    period = read_words(words, ReportOptions, "monitor report")
    assert (period.log, period.start, period.title) == ("1e3", "2026-11-27", None)
    words = ["bundle=1e3", "why=true"]  # text with a rule
    asked = read_words(words, PromoteOptions, "registry promote")
    assert (asked.bundle, asked.why) == ("1e3", "true")


def test_tells_all_mistakes_together() -> None:
    words = ["windw=3", "int8", "max_miou_drop=2", "split=tset", "name=a", "name=b"]
    with pytest.raises(ConfigError) as caught:
        read_words(words, ExportOptions, "export")
    text = str(caught.value)
    for said in (
        "windw: no such key (did you mean 'window'?)",
        "'int8': expected key=value",
        "name: given twice",
        "max_miou_drop: ",
        "split: expected one of auto, train, val, test",
        "run: missing; give run=VALUE",
    ):
        assert said in text, text


def test_a_run_where_a_bundle_is_asked_for() -> None:
    with pytest.raises(
        ConfigError, match=r"run: no such key: a run becomes a bundle by `seglab export"
    ):
        read_words(["run=runs/a", "input=b"], PredictFilesOptions, "predict")


def test_help_lists_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        print_word_help("export", "Says what.", ExportOptions, [("seglab export run=A", "a")]) == 0
    )
    text = capsys.readouterr().out
    assert "usage: seglab export key=value" in text
    assert all(f"  {name}: " in text for name in ExportOptions.model_fields)
