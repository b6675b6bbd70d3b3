"""The page of an audit in a real browser: leafed through by keyboard, it loads and runs nothing else."""

from __future__ import annotations

import base64
import io
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.curation.audit import audit
from seglab.curation.page.findings_page import write_findings_page
from seglab.curation.registry import AuditInputs
from tests.browser import NEEDS_BROWSER, open_browser
from tests.curation.conftest import Make, picture


def test_names_out_of_the_manifest_are_escaped(make: Make, tmp_path: Path) -> None:
    manifest = make({"a": picture(0), "<b>": picture(0)})
    page = tmp_path / "p.html"
    size = write_findings_page(audit(AuditInputs(manifest), ["exact_duplicate"]), page)
    text = page.read_text()
    assert size == len(text.encode())
    assert "&lt;b&gt;" in text
    assert "<b>" not in text
    assert text.count("data:image/jpeg;base64,") == 3
    for name, colour in zip(manifest.labels.class_names, manifest.labels.palette, strict=True):
        assert f'background:#{bytes(colour).hex()}"></span>{name}</li>' in text
    bare = audit(AuditInputs(manifest), ["exact_duplicate"])
    write_findings_page(bare, page, most_pictures=0)
    assert "The last 1 have no picture." in page.read_text()


def test_a_shifted_mask_is_shown_as_drawn_and_where_it_fits(make: Make, tmp_path: Path) -> None:
    image = np.full((64, 80, 3), 60, np.uint8)
    image[20:40, 20:50] = 200
    mask = np.zeros((64, 80), np.uint8)
    mask[23:43, 17:47] = 1
    found = audit(AuditInputs(make({"a": image}, {"a": mask})), ["shifted_mask"])
    assert re.search(
        r"times as well \d pixels up and \d to the right$", found.table["detail"].item()
    )
    page = tmp_path / "p.html"
    write_findings_page(found, page)
    text = page.read_text()
    assert text.count("data:image/jpeg;base64,") == 3
    encoded = text.split("data:image/jpeg;base64,")[3].partition('"')[0]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded)))).astype(int)
    red, green = shown[..., 0], shown[..., 1]
    assert ((red > 200) & (green < 120)).sum() > 300, "magenta where the border is"
    assert ((green > 200) & (red < 120)).sum() > 300, "green where it belongs"


@pytest.mark.slow
@NEEDS_BROWSER
def test_page_is_leafed_through_by_keyboard(make: Make, tmp_path: Path) -> None:
    images = {"a": picture(0), "b": picture(0), "c": picture(2) // 6, "d": picture(3) // 6}
    page = tmp_path / "p.html"
    found = audit(AuditInputs(make(images)), ["exact_duplicate", "dark"])
    write_findings_page(found, page)
    driver = open_browser(tmp_path / "profile")
    try:
        driver.get(page.as_uri())
        body = driver.find_element("css selector", "body")

        def place() -> str:
            return str(driver.find_element("id", "place").text)

        assert place() == "3 findings"
        seen = []
        for key in "jjjjkf":
            body.send_keys(key)
            seen.append(place())
        # The end is an end, not a beginning; `f` shows the first kind alone.
        assert seen == ["1 of 3", "2 of 3", "3 of 3", "3 of 3", "2 of 3", "1 of 1"]
        body.send_keys("f")
        assert place() == "1 of 2"
        assert "dark" in driver.find_element("css selector", "article.current").text
        assert driver.get_log("browser") == []
    finally:
        driver.quit()
