from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.annotators import careless, scene, write_annotator

TRUTH = {f"s{number}": scene(number) for number in range(8)}
BEN = {name: careless(mask, number) for number, (name, mask) in enumerate(TRUTH.items())}
Run = Callable[..., Any]


def test_command_prints_every_pair_and_counts_what_is_left_out(seglab: Run, tmp_path: Path) -> None:
    for who, masks in (("anna", TRUTH), ("ben", BEN)):
        write_annotator(tmp_path, who, masks)
    words = ("data", "agreement", "anna/manifest", "ben/manifest")
    done = seglab(*words)
    assert done.code == 0, done.err
    assert "anna and ben: 8 images in common, 95% intervals over images" in done.out
    row = next(line for line in done.out.splitlines() if "tree" in line)
    assert row.count("[") == 5
    assert "8 of 8" not in row
    (tmp_path / "ben" / "masks" / "s3.png").unlink()
    again = seglab(*words)
    assert again.code == 1
    assert "1 left out" in again.err
    assert "7 images in common" in again.out
    assert seglab(*words, "--level", "95").code == 2
