"""The page about a data set: what it says of each class, and that names cannot become markup."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from seglab.core.labels import LabelSpace
from seglab.curation.review.description import write_description
from seglab.data.manifest import Manifest
from tests.data.test_describe import make_row


def test_page_tells_shares_objects_and_warnings(tmp_path: Path) -> None:
    mask = np.zeros((64, 64), dtype=np.uint8)
    mask[8:12, 8:12] = 1
    Image.fromarray(mask).save(tmp_path / "a_m.png")
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    row = make_row("a", "train", [4080, 16, 0, 0], height=64, width=64, tags=["<i>night"])
    labels = LabelSpace(("sky", "<b>road", "car"))
    manifest = Manifest(pd.DataFrame([row]), labels, tmp_path, "tiny", "index", {})
    page = write_description(manifest, tmp_path / "page.html").read_text()
    assert "1 objects, the median of 16 px; 100 % are small." in page
    assert "the val split is empty" in page
    assert "It is in none of these masks." in page
    assert "0.39 %" in page
    assert "&lt;b&gt;road" in page
    assert "<b>road" not in page
    assert "<i>night" not in page
    assert page.index("sky</h2>") < page.index("&lt;b&gt;road</h2>")
