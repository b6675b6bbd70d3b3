"""Where the predictions of a run are kept: one file per image, whatever its id."""

from __future__ import annotations

from pathlib import Path

from seglab.runs.predictions import confidence_path, prediction_path


def test_any_id_is_a_file_of_its_own_in_one_folder(tmp_path: Path) -> None:
    ids = ["a/b", "a%2Fb", "../b", "München/ü 1", "城" * 40, "城" * 40 + "1", "x" * 240, "x" * 241]
    paths = [place(tmp_path, one) for one in ids for place in (prediction_path, confidence_path)]
    assert len(set(paths)) == 2 * len(ids)
    for path in paths:
        assert path.parent == tmp_path / "predictions"
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert prediction_path(tmp_path, "x" * 240).name == f"{'x' * 240}.png"
