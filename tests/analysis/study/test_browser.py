"""The pages in a real browser: figures are drawn without a network and without errors."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from seglab.analysis.report.study_page import write_study_page
from seglab.analysis.study import write_figures
from seglab.runs.studies.study import StudyFolder
from tests.browser import NEEDS_BROWSER, By, open_browser
from tests.waiting import wait_for

# Parallel coordinates are drawn by WebGL, here in software.
_WEBGL = ("--use-angle=swiftshader", "--enable-unsafe-swiftshader")
NAMES = ("history", "importance", "parallel", "contour", "slice", "intermediate", "timeline")

pytestmark = [NEEDS_BROWSER, pytest.mark.slow]


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("profile"), *_WEBGL)
    # Whatever a page would ask the network for, fails and is seen in the log.
    driver.execute_cdp_cmd("Network.enable", {})
    offline = {"offline": True, "latency": 0, "downloadThroughput": 0, "uploadThroughput": 0}
    driver.execute_cdp_cmd("Network.emulateNetworkConditions", offline)
    yield driver
    driver.quit()


@pytest.fixture(scope="module")
def figures(swept: StudyFolder, tmp_path_factory: pytest.TempPathFactory) -> Path:
    copy = tmp_path_factory.mktemp("copy") / "lr_batch"
    shutil.copytree(swept.path, copy)
    write_figures(copy)
    return copy / "figures"


def open_page(browser: Any, path: Path, width: int = 1200) -> None:
    size = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
    browser.get_log("browser")
    browser.get(path.as_uri())


def severe(browser: Any) -> list[Any]:
    return [entry for entry in browser.get_log("browser") if entry["level"] == "SEVERE"]


@pytest.mark.parametrize("name", NAMES)
def test_figure_is_drawn(browser: Any, figures: Path, name: str) -> None:
    open_page(browser, figures / f"{name}.html")
    wait_for(lambda: browser.find_elements(By.CSS_SELECTOR, ".gtitle"))
    title = browser.find_element(By.CSS_SELECTOR, ".gtitle").text
    assert title.startswith("lr_batch: ")
    assert not browser.find_elements(By.CSS_SELECTOR, ".no-webgl")
    drawn = browser.find_elements(By.CSS_SELECTOR, ".trace, .parcoords .y-axis")
    assert drawn
    assert severe(browser) == []


def test_marks_tell_their_trial(browser: Any, figures: Path) -> None:
    open_page(browser, figures / "history.html")
    texts = browser.execute_script(
        "return document.querySelector('.js-plotly-plot').data.flatMap((trace) => trace.hovertext || [])"
    )
    assert any(text.startswith("<b>trial 17</b>, failed<br>") for text in texts)
    assert any("optimizer.lr: " in text and "gpu0" in text for text in texts)


@pytest.mark.parametrize("width", [360, 1280])
def test_page_of_the_study(browser: Any, swept: StudyFolder, tmp_path: Path, width: int) -> None:
    write_study_page(swept.path, tmp_path / "study.html")
    open_page(browser, tmp_path / "study.html", width)
    content = browser.execute_script("return document.documentElement.scrollWidth")
    assert content <= width, "no scrolling sideways"
    pictures = browser.find_elements(By.CSS_SELECTOR, "#figures img")
    assert len(pictures) == 7
    for picture in pictures:
        browser.execute_script("arguments[0].scrollIntoView()", picture)
        wait_for(partial(browser.execute_script, "return arguments[0].naturalWidth", picture))
    box = browser.find_element(By.CSS_SELECTOR, "[data-filter=trials-table]")
    box.send_keys("failed")
    rows = browser.find_elements(By.CSS_SELECTOR, "#trials-table tbody tr")
    shown = [row for row in rows if row.is_displayed()]
    assert [row.find_element(By.TAG_NAME, "th").text for row in shown] == ["17"]
    assert severe(browser) == []
