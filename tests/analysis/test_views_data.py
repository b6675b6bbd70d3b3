"""What a manifest's views say is what its table holds."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
import yaml

from seglab.analysis import class_shares, data_overview, read_manifest, tag_counts
from seglab.core.errors import DataNotFoundError
from seglab.core.labels import LabelSpace

LABELS = LabelSpace(("road", "car"))


@pytest.fixture
def manifest(tmp_path: Path) -> Path:
    """Three training images, one of them sorted out, and one for validation."""
    rows = [
        ("a", "train", "g1", ["night", "rain"], [60, 0, 4], True),
        ("b", "train", "g1", ["night"], [20, 20, 0], True),
        ("c", "train", "g2", [], [0, 999, 0], False),
        ("d", "val", "g3", ["day"], [10, 30, 0], True),
        ("e", "unlabeled", "g4", [], None, True),
    ]
    columns = ["sample_id", "split", "group", "tags", "class_pixels", "keep"]
    pd.DataFrame(rows, columns=columns).to_parquet(tmp_path / "manifest.parquet")
    content = {"labels": LABELS.to_dict()}
    (tmp_path / "manifest.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def test_shares_by_hand(manifest: Path) -> None:
    table = class_shares(manifest).set_index(["split", "class"])
    assert table.loc[("train", "road")].tolist() == [80, 0.8, 2, 1.0]
    assert table.loc[("train", "car")].tolist() == [20, 0.2, 1, 0.5]
    assert table.loc[("val", "car")].tolist() == [30, 0.75, 1, 1.0]
    assert set(table.index.get_level_values("split")) == {"train", "val"}


def test_tags_are_counted_by_split(manifest: Path) -> None:
    table = tag_counts(manifest / "manifest.parquet")
    assert table.loc["night"].tolist() == [2, 0]
    assert table.index[0] == "night"
    assert table.columns.tolist() == ["train", "val"]


def test_overview_draws_kept_images(manifest: Path) -> None:
    figure = data_overview(manifest, "mine")
    images, pixels, shown, tagged = figure.axes
    assert [bar.get_height() for bar in images.patches] == [2, 1, 1]
    assert pixels.get_xscale() == "log"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["train", "val"]
    assert [text.get_text() for text in tagged.get_yticklabels()] == ["night", "day", "rain"]
    assert figure.get_suptitle() == "mine"
    assert shown.get_xlim() == (0, 1)


def test_data_without_tags_or_masks_is_drawn(manifest: Path) -> None:
    frame = pd.read_parquet(manifest / "manifest.parquet")
    frame.loc[frame["split"] == "val"].assign(tags=[[]]).to_parquet(manifest / "manifest.parquet")
    assert tag_counts(manifest).empty
    texts = [text.get_text() for axes in data_overview(manifest).axes for text in axes.texts]
    assert "no tags" in texts


def test_labels_come_with_the_table(manifest: Path) -> None:
    frame, labels = read_manifest(manifest)
    assert frame["sample_id"].tolist() == ["a", "b", "d", "e"]
    assert labels == LABELS


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataNotFoundError, match=r"lacks manifest.parquet, manifest.yaml"):
        read_manifest(tmp_path)
