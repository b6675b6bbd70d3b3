"""The watch over a log: what is wrong is told, kept between processes, silenced, and shown."""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.cli.main import run
from seglab.core.errors import ConfigError
from seglab.deploy.registry.registry import Registry
from seglab.monitor.watch.gauges import Gauges
from seglab.monitor.watch.loop import Watch
from seglab.monitor.watch.options import WatchOptions
from tests.monitor.rows import camera, known_bundle, write_rows


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    path, name = known_bundle(tmp_path_factory.mktemp("known") / "b")
    return str(path), name


QUICK = ("drift.run_length=500", "drift.simulated_windows=2000")


def words(log: Path, bundle: tuple[str, str], *more: str) -> list[str]:
    return ["monitor", "watch", f"log={log}", f"bundle={bundle[0]}", "once=true", *QUICK, *more]


def test_usual_images_are_no_alert(
    tmp_path: Path, bundle: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    write_rows(tmp_path, camera(120), now - 200, bundle[1])
    metrics = tmp_path / "seglab.prom"
    assert run(words(tmp_path, bundle, f"textfile={metrics}")) == 0
    assert "120 rows judged, 0 alerts last" in capsys.readouterr().err
    shown = dict(line.rsplit(" ", 1) for line in metrics.read_text().splitlines() if line[0] != "#")
    assert float(shown["seglab_watch_rows"]) == 120
    assert now < float(shown["seglab_watch_timestamp_seconds"]) < time.time()
    before = Gauges().registry.get_sample_value("seglab_watch_timestamp_seconds")
    assert np.isnan(before), "it has not stood since 1970"
    score, most = (
        float(shown[f'seglab_drift_{name}{{bundle="{bundle[1]}"}}'])
        for name in ("score", "threshold")
    )
    assert score < most
    miou = float(shown[f'seglab_miou_estimated{{bundle="{bundle[1]}"}}'])
    assert miou == pytest.approx(
        float(shown[f'seglab_miou_known{{bundle="{bundle[1]}"}}']), abs=0.05
    )


def test_night_is_told_silenced_and_over(
    tmp_path: Path, bundle: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    dark = camera(120, channel_mean=np.full(3, 40.0), confidence=0.6)
    write_rows(tmp_path, dark, now - 200, bundle[1])
    assert run(words(tmp_path, bundle)) == 1
    said = capsys.readouterr().out
    assert "[fired] warn: drift" in said
    assert "[fired] warn: confidence (service)" in said
    assert run(words(tmp_path, bundle)) == 1
    assert "[fired]" not in capsys.readouterr().out  # once is enough

    silence = ["monitor", "silence", f"log={tmp_path}", "alert=*", "why=it is night"]
    assert run(silence) == 0
    assert "it is night" in capsys.readouterr().out
    assert run(words(tmp_path, bundle)) == 0
    assert run([*silence, "end=true"]) == 0
    assert run([*silence, "end=true"]) == 2
    assert "no silence of '*'; those that last: none lasts" in capsys.readouterr().err

    write_rows(tmp_path, camera(240), time.time() - 70, bundle[1])  # it may take a while
    usual = words(tmp_path, bundle, "minutes=1.1")
    assert run(usual) == 1  # not found once is not over
    assert run(usual) == 0
    said = capsys.readouterr().out
    assert "[recovered] warn: drift" in said
    assert json.loads((tmp_path / "alerts.json").read_text())["alerts"] == []


def test_what_drifted_and_passed_between_two_evaluations_is_found(
    tmp_path: Path, bundle: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    rows = camera(100) + camera(60, seed=1, channel_mean=np.full(3, 60.0)) + camera(100, seed=2)
    write_rows(tmp_path, rows, now - 260, bundle[1])
    assert run(words(tmp_path, bundle, "interval=30")) == 0
    assert run(words(tmp_path, bundle, "interval=300")) == 1
    assert "[fired] warn: drift" in capsys.readouterr().out


def test_labels_tell_what_the_probabilities_do_not(
    tmp_path: Path, bundle: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    now = time.time()
    log, labels = tmp_path / "log", tmp_path / "labels"
    labels.mkdir()
    (log / "images").mkdir(parents=True)
    rows = camera(40)
    for number, row in enumerate(rows):
        image = np.random.default_rng(number).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(image).save(log / "images" / f"{number}.png")
        row["stored"] = f"images/{number}.png"
        wrong = np.random.default_rng(number).integers(0, 3, (20, 20), dtype=np.uint8)
        Image.fromarray(wrong).save(labels / f"{now - 86400:.0f}-{number}.png")
    write_rows(log, rows, round(now - 86400), bundle[1])
    assert run(words(log, bundle, f"labels={labels}")) == 1
    said = capsys.readouterr().out
    assert "[fired] page: quality_measured" in said
    assert "quality_estimated" not in said


def test_a_rule_that_fails_is_an_alert_and_the_others_go_on(
    tmp_path: Path, bundle: tuple[str, str]
) -> None:
    now = time.time()
    rows = camera(60, class_shares=np.full(4, 0.25))  # of a model with another number of classes
    write_rows(tmp_path, rows, now - 100, bundle[1], latency=9.0)
    options = WatchOptions.read(
        {
            "log": str(tmp_path),
            "bundle": bundle[0],
            "drift": {"run_length": 500, "simulated_windows": 2000},
        }
    )
    watch = Watch(options, lambda text: None)
    watch.step(now)
    assert {"watch_failed", "slow"} <= {one.kind for one in watch.book.alerts.values()}


@pytest.mark.parametrize("promoted", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_another_bundle_at_its_place_is_read(tmp_path: Path, promoted: bool) -> None:
    now, place, registry = time.time(), tmp_path / "model", Registry(tmp_path / "models")
    _, first = known_bundle(place)
    if promoted:
        registry.promote(registry.add(place))
    log = tmp_path / "log"
    write_rows(log, camera(60), now - 100, first)
    options = WatchOptions.read(
        {
            "log": str(log),
            "bundle": f"{registry.folder}@champion" if promoted else str(place),
            "drift": {"run_length": 500, "simulated_windows": 2000},
        }
    )
    watch = Watch(options, lambda text: None)
    assert "miou_estimated" in watch.step(now).figures
    place.rename(tmp_path / "old")
    _, second = known_bundle(place, count=200)
    if promoted:
        registry.promote(registry.add(place))
    assert second != first
    assert "miou_estimated" not in watch.step(now).figures  # the rows are of the former
    write_rows(log, camera(60, seed=3), now - 99.5, second)
    assert "miou_estimated" in watch.step(now).figures


def test_one_log_has_one_watch(
    tmp_path: Path, bundle: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    from filelock import FileLock

    with FileLock(tmp_path / ".watch.lock"):
        assert run(words(tmp_path, bundle)) == 2
    assert "another process watches" in capsys.readouterr().err
    with pytest.raises(ConfigError, match="variable NONE"):
        Watch(
            WatchOptions.read(
                {
                    "log": str(tmp_path),
                    "bundle": bundle[0],
                    "webhook": {"url": "http://a", "token": "NONE"},
                }
            ),
            print,
        )
