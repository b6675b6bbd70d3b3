"""Splits that keep together what belongs together, and what they say of splits that do not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglab.core.errors import ConfigError, DataError
from seglab.data.folds.groups import join_names
from seglab.data.manifest import Manifest
from seglab.data.splits.drawing import GAP_FLAG, cut_into_runs, draw_split, leave_gaps
from seglab.data.splits.findings import format_split, leaking, leaks_at_random
from seglab.data.splits.options import SplitOptions
from seglab.data.splits.scenes import scenes_in_names
from seglab.data.splits.units import numbered_names, taken_together
from tests.data.test_folds_groups import make_manifest, make_row


def split_of(manifest: Manifest) -> dict[str, str]:
    kept = manifest.table[manifest.table["keep"]]
    return dict(zip(kept["sample_id"], kept["split"], strict=True))


def test_numbered_names_of_one_beginning_belong_together() -> None:
    ids = ["a/0016E5_07959", "a/0016E5_7960", "a/0001TP-1", "a/0001TP-2", "plan", "x_1"]
    assert numbered_names(ids) == ["a/0016E5", "a/0016E5", "a/0001TP", "a/0001TP", None, None]
    assert numbered_names(["IMG_1", "IMG_2", "IMG_3"]) == [None] * 3
    assert numbered_names(["p1/001", "p1/002", "p2/001", "p2/002"]) == ["p1/", "p1/", "p2/", "p2/"]


def test_photographs_taken_shortly_after_each_other_are_a_series(tmp_path: Path) -> None:
    times = ["2026:05:01 10:00:30", None, "2026:05:01 10:00:00", "2026:05:01 10:01:31", "no time"]
    for number, time in enumerate(times):
        exif = Image.Exif()
        if time is not None:
            exif.get_ifd(0x8769)[36867] = time
        Image.new("RGB", (4, 4)).save(tmp_path / f"{number}.jpg", exif=exif)
    (tmp_path / "broken.jpg").write_bytes(b"no image")
    paths = [tmp_path / f"{number}.jpg" for number in range(5)] + [tmp_path / "broken.jpg"]
    series = "2026-05-01 10:00:00"
    assert taken_together(paths, 60) == [series, None, series, "2026-05-01 10:01:31", None, None]
    assert taken_together(paths, 61)[3] == series


def test_samples_that_share_a_name_of_any_list_are_one_group() -> None:
    drives = ["d1", "d1", None, "d2", None]
    looks = [None, "l1", "l1", None, None]
    assert join_names([drives, looks], list("abcde")) == ["d1", "d1", "d1", "d2", "e"]


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.integers(0, 7), min_size=12, max_size=60),
    st.floats(0.05, 0.45),
    st.sampled_from([0.0, 0.02, 0.2, 0.45]),
    st.integers(0, 5),
)
def test_no_unit_is_cut_and_shares_are_met_as_units_allow(
    groups: list[int], val: float, test: float, seed: int
) -> None:
    if len(set(groups)) < 3:
        groups = [*groups, 8, 9, 10]
    rows = [make_row(f"s{place}", group=f"g{one}") for place, one in enumerate(groups)]
    options = SplitOptions(val=val, test=test, seed=seed, by=("column",))
    drawn = draw_split(make_manifest(rows), options)
    placed = split_of(drawn.manifest)
    cut = pd.DataFrame({"group": [f"g{one}" for one in groups], "split": list(placed.values())})
    assert (cut.groupby("group")["split"].nunique() == 1).all()
    assert set(placed.values()) == {"train", "val", *(["test"] if test > 0 else [])}
    assert leaking(drawn.names["column"], drawn.placed) == 0
    assert draw_split(make_manifest(rows), options).placed == drawn.placed


def test_shares_are_met_to_a_sample_and_rare_classes_are_spread() -> None:
    rows = [make_row(f"s{n}", class_pixels=[10 - n % 5, n % 5, 0]) for n in range(100)]
    for number in (3, 17, 40, 61, 90):
        rows[number]["class_pixels"] = [0, 10, 0]
    for row in rows:
        row["group"] = row["sample_id"]
    drawn = draw_split(
        make_manifest(rows), SplitOptions(val=0.2, test=0.2, by=("pattern",), pattern=".+")
    )
    placed = np.array(drawn.placed)
    assert [int((placed == name).sum()) for name in ("train", "val", "test")] == [60, 20, 20]
    pixels = np.array([row["class_pixels"][:2] for row in rows])
    order = drawn.rows["sample_id"].tolist()
    share = {
        name: pixels[
            [int(one[1:]) for one, split in zip(order, placed, strict=True) if split == name]
        ].sum(0)
        for name in ("train", "val", "test")
    }
    whole = pixels.sum(axis=0) / pixels.sum()
    for counts in share.values():
        assert counts / counts.sum() == pytest.approx(whole, abs=0.03)


def test_runs_of_consecutive_samples_leave_a_gap() -> None:
    assert cut_into_runs(["d"] * 7 + ["e"] * 2, 3) == ["d/0"] * 3 + ["d/1"] * 4 + ["e/0"] * 2
    placed = ["train"] * 4 + ["val"] * 2 + ["test"] * 2 + ["train"]
    left = leave_gaps(["d"] * 8 + ["other"], placed, 2)
    assert left == ["train", "train", None, None, None, None, "test", "test", "train"]


def test_a_gap_is_taken_back_by_the_next_split() -> None:
    rows = [make_row(f"d{drive}_{n:02d}", group=f"d{drive}") for drive in (1, 2) for n in range(20)]
    first = draw_split(make_manifest(rows), SplitOptions(block=5, gap=2, by=("column",)))
    dropped = first.manifest.table[~first.manifest.table["keep"]]
    assert len(dropped) > 0
    assert all(flags == [GAP_FLAG] for flags in dropped["flags"])
    assert first.manifest.table["group"].str.fullmatch(r"d[12]/[0-3]").all()
    again = draw_split(first.manifest, SplitOptions(by=("names",), val=0.5))
    assert again.manifest.table["keep"].all()
    assert not any(again.manifest.table["flags"])
    assert [one["block"] for one in again.manifest.provenance["splits_drawn"]] == [5, 0]


def test_exact_copies_stay_together_whatever_is_looked_at() -> None:
    rows = [make_row(f"s{n}", group=f"g{n}") for n in range(10)]
    rows[9]["sha256"] = rows[0]["sha256"]
    for seed in range(5):
        placed = split_of(
            draw_split(make_manifest(rows), SplitOptions(by=("column",), seed=seed)).manifest
        )
        assert placed["s0"] == placed["s9"]


def test_a_split_that_is_not_pooled_stays_and_takes_no_more() -> None:
    rows = [make_row(f"s{n}", split="test" if n < 4 else "train") for n in range(20)]
    pooled = ("train", "val")
    drawn = draw_split(
        make_manifest(rows), SplitOptions(pooled=pooled, by=("pattern",), pattern="s.*")
    )
    placed = split_of(drawn.manifest)
    assert [name for name, split in placed.items() if split == "test"] == ["s0", "s1", "s2", "s3"]
    with pytest.raises(ConfigError, match=r"test: 4 samples are in this split and stay there"):
        draw_split(make_manifest(rows), SplitOptions(pooled=pooled, test=0.1))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"val": 0.6, "test": 0.5}, "val and test leave nothing for training"),
        ({"val": 0.0}, "there is nothing to split"),
        ({"gap": 2}, "gap counts only between blocks, got 2; set block too"),
        ({"by": ("pattern",)}, "pattern and by=pattern go together"),
        ({"by": ("names", "names")}, "each once"),
    ],
)
def test_settings_that_do_not_go_together(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SplitOptions(**options)


def test_what_says_nothing_and_what_cannot_be_cut() -> None:
    rows = [make_row(name) for name in ("red", "green", "blue")]
    for source, reason in (
        ("names", "one beginning"),
        ("column", "repeats"),
        ("near_duplicates", "hash"),
    ):
        with pytest.raises(DataError, match=f"by={source}: .*{reason}"):
            draw_split(make_manifest(rows), SplitOptions(by=(source,)))
    one = [make_row(f"s{n}", group="only") for n in range(5)]
    with pytest.raises(DataError, match=r"1 unit that must stay whole cannot fill 2 splits"):
        draw_split(make_manifest(one), SplitOptions(by=("column",)))


def test_random_splits_leak_as_chance_has_it() -> None:
    names: list[str | None] = [f"pair{n // 2}" for n in range(40)]
    placed = ["train"] * 20 + ["val"] * 20
    assert leaking(names, placed) == 0
    # The partner of a held-out sample is in training with probability 20/39.
    assert leaks_at_random(names, placed, 0) == pytest.approx(20 * 20 / 39, abs=1.5)


def test_findings_name_a_class_without_samples() -> None:
    rows = [make_row(f"s{n}", class_pixels=[10, 0, 0]) for n in range(10)]
    options = SplitOptions(by=("pattern",), pattern=".+")
    text = format_split(draw_split(make_manifest(rows), options), options)
    assert "Warning: val holds no pixel of road; scores of them there are undefined" in text


def _named(ids: list[str], splits: list[str]) -> Manifest:
    rows = [make_row(one, group=one, split=split) for one, split in zip(ids, splits, strict=True)]
    return make_manifest(rows)


@pytest.mark.parametrize(
    ("names", "pattern", "scenes"),
    [
        (["Seq05VD_f{:05}", "0001TP_{:06}"], r"^([^_]+)_", ("Seq05VD", "0001TP")),
        (["drive1-{:04}", "drive2-{:04}"], r"^([^-]+)-", ("drive1", "drive2")),
        (["town_a_{:02}", "town_b_{:02}"], r"^(.+)[_-]", ("town_a", "town_b")),
        (["p1/{:03}", "p2/{:03}"], r"^(.+)/", ("p1", "p2")),
        (["left{:03}", "right{:03}"], r"^(.*?)[\W_]*\d+$", ("left", "right")),
    ],
)
def test_names_that_look_like_scenes_are_told_with_the_pattern_that_keeps_them_together(
    names: list[str], pattern: str, scenes: tuple[str, ...]
) -> None:
    ids = [name.format(number) for name in names for number in range(4)]
    splits = ["train", "val", "train", "train"] * 2
    found = scenes_in_names(_named(ids, splits))
    assert found is not None
    assert (found.pattern, found.names, found.leaking) == (pattern, scenes, 2)
    assert found.sentence("X") == (
        f"names such as {ids[0]} look like frames of 2 scenes ({', '.join(scenes)}), and 2 of 2 held-out "
        "samples share one with training samples, so scores look better than on new scenes; keep them "
        "together with X"
    )
    alone = scenes_in_names(_named(ids, ["train"] * 8))
    assert alone is not None
    assert "folds would cut them" in alone.sentence("X")
    assert scenes_in_names(_named(ids, ["train"] * 4 + ["val"] * 4)) is None, "no split cuts one"
    grouped = _named(ids, splits)
    table = grouped.table.assign(group=["one"] * 8)
    assert scenes_in_names(grouped.with_table(table)) is None, "it is known what belongs together"


@pytest.mark.parametrize(
    "ids", [["a1", "a2", "b1", "b2"], ["IMG_1", "IMG_2", "IMG_3"], ["x", "y", "z1", "z2", "z3"]]
)
def test_names_of_another_kind_are_no_scenes(ids: list[str]) -> None:
    assert scenes_in_names(_named(ids, ["train"] * len(ids))) is None
