from __future__ import annotations

import json
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


def test_consensus_gold_and_numbers_are_written(seglab: Run, tmp_path: Path) -> None:
    anna = {name: careless(mask, n, 0.002) for n, (name, mask) in enumerate(TRUTH.items())}
    for who, masks in (("anna", anna), ("ben", BEN), ("gold", TRUTH)):
        write_annotator(tmp_path, who, masks)
    done = seglab(
        *("data", "agreement", "anna/manifest", "ben/manifest", "--names", "Anna [1]", "Ben"),
        *("--gold", "gold/manifest", "--bar", "0.95", "--json", "all.json"),
        *("--consensus", "staple", "-o", "agreed"),
    )
    assert done.code == 0, done.err
    content = json.loads((tmp_path / "all.json").read_text())
    assert {one["annotator"]: one["verdict"] for one in content["gold"]} == {
        "Anna [1]": "pass",
        "Ben": "fail",
    }
    assert "agreed: consensus of 8 images" in done.out
    assert "Anna [1]" in done.out
    assert len(list((tmp_path / "agreed" / "masks").iterdir())) == 8
    described = seglab("data", "describe", "agreed")
    assert described.code == 0, described.err

    alone = seglab(
        "data", "agreement", "anna/manifest", "--names", "Anna", "--gold", "gold/manifest"
    )
    assert alone.code == 0, alone.err
    assert "no image of anna was drawn twice" in alone.out
    wrong = seglab("data", "agreement", "anna/manifest", "--scope", "image", "-o", "x")
    assert wrong.code == 2
    assert "--scope: only --consensus staple" in wrong.err
    assert "needs both --consensus" in wrong.err
