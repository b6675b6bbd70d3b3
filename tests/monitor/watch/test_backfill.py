"""Images that were not logged when they were predicted."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.bundle.input_statistics import input_statistics
from seglab.bundle.loader import load
from seglab.cli.main import run
from seglab.monitor.log.reading import read_log
from tests.bundle.tiny import write_tiny_bundle


def test_a_folder_of_images_with_their_times_and_streams(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    drive = tmp_path / "photos" / "drive-1"
    drive.mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for number in range(3):
        Image.fromarray(pixels + np.uint8(number)).save(drive / f"{number}.png")
        os.utime(drive / f"{number}.png", (1e9 + number, 1e9 + number))
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = "2020:05:01 10:00:00"
    exif.get_ifd(0x8769)[0x9011] = "+02:00"
    Image.fromarray(pixels).save(tmp_path / "photos" / "lone.jpg", exif=exif)
    (drive / "broken.png").write_bytes(b"no image")
    words = ["monitor", "backfill", f"bundle={bundle}", f"input={tmp_path / 'photos'}"]
    words += [f"log={tmp_path / 'log'}", "privacy=images"]

    assert run(words) == 1  # one is broken
    assert "drive-1/broken.png: not an image" in capsys.readouterr().err
    rows = read_log(tmp_path / "log").to_pylist()
    assert [(row["stream"], row["name"], row["time"].timestamp()) for row in rows] == [
        ("drive-1", "0.png", 1e9),
        ("drive-1", "1.png", 1e9 + 1),
        ("drive-1", "2.png", 1e9 + 2),
        (None, "lone.jpg", 1588320000.0),
    ]
    np.testing.assert_allclose(
        rows[0]["channel_mean"], input_statistics(pixels)["channel_mean"], rtol=1e-5
    )
    assert run(words) == 1
    assert "0 rows written, 4 were there before" in capsys.readouterr().out
    exif_alone = [*words[:-2], f"log={tmp_path / 'exif'}", "times=exif"]
    assert run(exif_alone) == 1
    said = capsys.readouterr()
    assert "1 rows written" in said.out
    assert said.err.count("do not say when it was taken") == 4

    other = write_tiny_bundle(tmp_path / "other", temperature=2.0)
    words = ["monitor", "backfill", f"bundle={other}", f"input={tmp_path / 'log'}"]
    assert run([*words, f"log={tmp_path / 'log'}"]) == 0
    again = read_log(tmp_path / "log", bundle=load(other).id).to_pylist()
    assert [(row["request_id"], row["time"]) for row in again] == [
        (row["request_id"], row["time"]) for row in rows
    ]
    assert all(abs(time.time() - row["time"].timestamp()) > 1e6 for row in again)


def test_a_folder_without_images_is_the_users_mistake(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle = write_tiny_bundle(tmp_path / "bundle")
    (tmp_path / "empty").mkdir()
    words = [f"bundle={bundle}", f"input={tmp_path / 'empty'}", f"log={tmp_path / 'log'}"]
    assert run(["monitor", "backfill", *words]) == 2
    assert "expected images (.bmp" in capsys.readouterr().err
    assert not (tmp_path / "log").exists()
