from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.bundle.tiny import write_tiny_bundle

Run = Callable[..., Any]


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    write_tiny_bundle(tmp_path / "b")
    # Names that shells, CSV and formats have their own thoughts about.
    for name in ("a b", "=c", "d[1]", "é#"):
        pixels = np.full((6, 7, 3), 90, np.uint8)
        path = tmp_path / "in" / "x,y" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)
    return tmp_path / "in"


def test_says_what_it_did(seglab: Run, photos: Path) -> None:
    words = ("predict", "bundle=b", "input=in", "output=out", "annotations=cvat,labelme,yolo")
    answer = seglab(*words)
    assert (answer.code, answer.out) == (0, f"{photos.parent / 'out'}: 4 predicted\n")
    (photos / "bad.png").write_bytes(b"bad")
    answer = seglab(*words, "areas=parquet")
    assert answer.code == 1
    assert answer.out == f"{photos.parent / 'out'}: 0 predicted, 4 were done before\n"
    assert "1 skipped:" in answer.err
    assert f"{photos / 'bad.png'}: not an image, or damaged" in answer.err


def test_says_that_overlays_alone_were_new(seglab: Run, photos: Path) -> None:
    seglab("predict", "bundle=b", "input=in", "--shard", "1/2")
    answer = seglab("predict", "bundle=b", "input=in", "overlays=true")
    assert answer.out.endswith(": 2 predicted, 2 got overlays of masks that were there\n")


def test_a_share_is_a_flag_too(seglab: Run, photos: Path) -> None:
    assert "2 predicted" in seglab("predict", "bundle=b", "input=in", "--shard", "1/2").out
    assert "2 predicted" in seglab("predict", "bundle=b", "input=in", "--shard=2/2").out


def test_all_wrong_words_at_once(seglab: Run, photos: Path) -> None:
    answer = seglab(
        "predict", "bundel=b", "input=in", "overlays=perhaps", "batch_size=0", "--shard", "0/2"
    )
    assert answer.code == 2
    for says in ("did you mean 'bundle'", "overlays: ", "batch_size: ", "i from 1 to n"):
        assert says in answer.err
    assert not (photos.parent / "predictions").exists()


def test_help_names_every_option(seglab: Run) -> None:
    answer = seglab("predict", "--help")
    assert answer.code == 0
    for name in ("bundle", "input", "output", "annotations", "shards", "launcher", "window"):
        assert f"\n  {name}: " in answer.out


def test_an_output_that_cannot_be_is_said(seglab: Run, photos: Path) -> None:
    (photos.parent / "file").write_text("")
    answer = seglab("predict", "bundle=b", "input=in", "output=file/out")
    assert answer.code == 2
    assert "file is a file, where a folder is needed" in answer.err
