"""The page of a period in a real browser, at the width of a desk and of a phone."""

from __future__ import annotations

import json
from pathlib import Path

from tests.browser import NEEDS_BROWSER, open_browser


@NEEDS_BROWSER
def test_page_in_a_browser(service: Path, tmp_path: Path) -> None:
    """No error, nothing loaded, no sideways scrolling; the charts' data can be read."""
    browser = open_browser(tmp_path / "profile")
    try:
        for width in (1280, 390):
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 600}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get((service / "page.html").as_uri())
            assert browser.get_log("browser") == []
            assert browser.execute_script("return document.documentElement.scrollWidth") <= width
        charts = browser.execute_script(
            "return [...document.querySelectorAll('svg[data-chart]')].map(one => one.dataset.chart)"
        )
        assert len(charts) == 7
        assert all(line["points"] for chart in charts for line in json.loads(chart)["lines"])
    finally:
        browser.quit()
