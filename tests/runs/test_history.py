"""Learning curves survive kills, new columns and resumes without a wrong number."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seglab.core.errors import DataError
from seglab.runs.history import HistoryFile, read_history


def _three_epochs(path: Path) -> HistoryFile:
    history = HistoryFile(path)
    for epoch in range(3):
        history.append({"epoch": epoch, "train/loss": 1.0 / (epoch + 1), "val/miou": 0.1 * epoch})
    return history


def test_append_then_read_returns_the_same_numbers(tmp_path: Path) -> None:
    _three_epochs(tmp_path / "history.csv")
    frame = read_history(tmp_path / "history.csv")
    assert frame["epoch"].tolist() == [0, 1, 2]
    assert frame["train/loss"].tolist() == [1.0, 0.5, 1.0 / 3.0]
    assert list(frame.columns) == ["epoch", "train/loss", "val/miou"]


@settings(max_examples=40, deadline=None)
@given(value=st.floats(allow_nan=False), as_numpy=st.booleans())
def test_any_float_reads_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, value: float, as_numpy: bool
) -> None:
    path = tmp_path_factory.mktemp("history") / "history.csv"
    HistoryFile(path).append({"epoch": 0, "x": np.float64(value) if as_numpy else value})
    assert read_history(path)["x"][0] == value


def test_numpy_float32_and_integers_are_written_as_numbers(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    HistoryFile(path).append({"epoch": np.int64(4), "x": np.float32(0.5), "note": "a, b"})
    assert path.read_text() == 'epoch,x,note\n4,0.5,"a, b"\n'


def test_new_column_leaves_earlier_rows_empty_and_nothing_else_changes(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = _three_epochs(path)
    history.append({"epoch": 3, "train/loss": 0.25, "val/loss": 0.9})
    history.append({"epoch": 4, "train/loss": float("nan"), "val/loss": None})
    frame = read_history(path)
    assert list(frame.columns) == ["epoch", "train/loss", "val/miou", "val/loss"]
    assert frame["val/loss"].isna().tolist() == [True, True, True, False, True]
    assert frame["train/loss"].isna().tolist() == [False, False, False, False, True]
    assert math.isnan(frame["val/miou"][3])


def test_file_cut_at_any_byte_reads_as_whole_rows_only(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    _three_epochs(path)
    whole, content = read_history(path), path.read_bytes()
    for size in range(len(content)):
        path.write_bytes(content[:size])
        frame = read_history(path)
        if len(frame):
            pd.testing.assert_frame_equal(frame, whole.head(len(frame)), check_dtype=False)
        assert len(frame) == max(0, content[:size].count(b"\n") - 1)


def test_row_after_a_torn_one_starts_its_own_line(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    _three_epochs(path)
    path.write_bytes(path.read_bytes()[:-3])
    HistoryFile(path).append({"epoch": 2, "train/loss": 9.0, "val/miou": 0.5})
    assert read_history(path)["train/loss"].tolist() == [1.0, 0.5, 9.0]


def test_blocks_that_were_never_written_are_not_data(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    _three_epochs(path)
    path.write_bytes(path.read_bytes() + b"\0" * 64)
    assert len(read_history(path)) == 3


def test_truncate_drops_the_epoch_and_later_ones(tmp_path: Path) -> None:
    path = tmp_path / "history.csv"
    history = _three_epochs(path)
    history.truncate(1)
    assert read_history(path)["epoch"].tolist() == [0]
    history.append({"epoch": 1, "train/loss": 0.7, "val/miou": 0.2})
    assert read_history(path)["train/loss"].tolist() == [1.0, 0.7]


def test_truncate_to_nothing_keeps_the_columns(tmp_path: Path) -> None:
    history = _three_epochs(tmp_path / "history.csv")
    history.truncate(0)
    assert (tmp_path / "history.csv").read_text() == "epoch,train/loss,val/miou\n"


def test_missing_file_reads_as_no_epochs(tmp_path: Path) -> None:
    HistoryFile(tmp_path / "none.csv").truncate(0)
    frame = read_history(tmp_path / "none.csv")
    assert frame.empty
    assert list(frame.columns) == ["epoch"]


def test_row_without_epoch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"needs the key 'epoch', got \['x'\]"):
        HistoryFile(tmp_path / "history.csv").append({"x": 1.0})
