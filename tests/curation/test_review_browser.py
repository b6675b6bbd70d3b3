"""The review sheet in a real browser: keyboard, notes, a phone, and the file that is saved."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.core.labels import LabelSpace
from seglab.curation.cleaning.decisions import Decision
from seglab.curation.review.conclude import conclude, for_cleaning, read_key
from seglab.curation.review.decisions import read_saved
from seglab.curation.review.sheet import Review, ReviewPlan, write_review
from seglab.data.manifest import Manifest
from tests.annotators import scene, write_annotator
from tests.browser import NEEDS_BROWSER, ActionChains, By, Keys, open_browser
from tests.waiting import wait_for

# A name that would be a tag and end the script, were it not escaped.
_NASTY = LabelSpace(("ground", "</script><img src=x onerror=alert(1)>", "car & 'bus'"))

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def downloads(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("downloads")


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    masks = {f"s{number}": scene(number, 48, 64) for number in range(12)}
    return write_annotator(tmp_path_factory.mktemp("data"), "anna", masks, labels=_NASTY)


@pytest.fixture
def review(manifest: Manifest, tmp_path: Path, request: pytest.FixtureRequest) -> Review:
    """A sheet of the test's own: the browser remembers nothing of it."""
    seed = zlib.crc32(request.node.name.encode())
    return write_review(manifest, tmp_path / "review", ReviewPlan(number=6, planted=2, seed=seed))


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory, downloads: Path) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("profile"), downloads=downloads)
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, review: Review) -> Iterator[Any]:
    """The sheet, on a desktop; the test fails if the console has an error."""
    resize(browser, 1280)
    browser.get(review.page.as_uri())
    expect(browser, "place", "1 of 8")
    yield browser
    bad = [one for one in browser.get_log("browser") if one["level"] in ("SEVERE", "WARNING")]
    assert bad == []


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def expect(browser: Any, name: str, text: str) -> None:
    wait_for(lambda: browser.find_element(By.ID, name).text, 10.0, equals=text)


def press(browser: Any, *keys: str) -> None:
    for key in keys:
        ActionChains(browser).send_keys(key).perform()


def test_keyboard_from_first_to_last_and_the_file_read_back(
    opened: Any, review: Review, downloads: Path
) -> None:
    expect(opened, "place", "1 of 8")
    # The reviewer notices one of two planted errors, and takes one good mask for a wrong one.
    planted = [place for place, one in enumerate(review.items) if one.planted]
    real = [place for place, one in enumerate(review.items) if not one.planted]
    for place in range(8):
        if place == real[0]:
            press(opened, "n", 'the tree, "half" <b> missing', Keys.ESCAPE, "r")
        elif place == real[1]:
            press(opened, "d")
        else:
            press(opened, "r" if place == planted[0] else "a")
    expect(opened, "said", "All 8 decided: save them.")
    press(opened, "k")
    expect(opened, "place", "7 of 8")
    pressed = opened.find_elements(By.CSS_SELECTOR, '[aria-pressed="true"]')
    assert [one.get_attribute("data-decision") for one in pressed] == [
        "relabel" if planted[0] == 6 else "drop" if real[1] == 6 else "keep"
    ]
    opened.refresh()  # what was decided is still there
    expect(opened, "said", "All 8 decided: save them.")
    opened.find_element(By.ID, "save").click()
    saved = downloads / f"decisions-{review.items[0].id.split('-')[1]}.json"
    # The browser reserves the name by an empty file until the download is whole.
    wait_for(lambda: saved.is_file() and saved.stat().st_size, 10.0)
    decisions = read_saved(saved)
    assert [one.sample_id for one in decisions] == [one.id for one in review.items]
    assert decisions[real[0]].note == 'the tree, "half" <b> missing'

    key = read_key(review.page.parent)
    shown = conclude(key, [decisions])
    assert (shown.errors.count, shown.errors.of) == (2, 6)
    assert shown.caught is not None
    assert (shown.caught.count, shown.caught.of) == (1, 2)
    assert shown.undecided == 0
    cleaned = for_cleaning(key, decisions)
    assert len(cleaned) == 6, "planted errors are none of the data set's"
    first = review.items[real[0]].sample_id
    assert Decision(first, "relabel", note='the tree, "half" <b> missing') in cleaned


def test_opacity_legend_and_names_as_they_are(opened: Any, review: Review) -> None:
    mask = opened.find_element(By.ID, "mask")
    assert mask.value_of_css_property("opacity") == "0.5"
    press(opened, "m")
    assert mask.value_of_css_property("opacity") == "0"
    press(opened, "m")
    assert mask.value_of_css_property("opacity") == "0.5"
    slider = opened.find_element(By.ID, "opacity")
    slider.send_keys(Keys.END)
    assert mask.value_of_css_property("opacity") == "1"
    slider.send_keys("j")  # the slider has the focus; keys of the sheet still work
    expect(opened, "place", "2 of 8")
    legend = [one.text for one in opened.find_elements(By.CSS_SELECTOR, "#legend li")]
    assert set(legend) & {"</script><img src=x onerror=alert(1)>", "car & 'bus'"}
    assert len(opened.find_elements(By.TAG_NAME, "img")) == 2
    for name in ("image", "mask"):
        shape = opened.execute_script(
            f"const one = document.getElementById('{name}');"
            "return [one.complete, one.naturalWidth, one.naturalHeight, one.clientWidth, one.clientHeight]"
        )
        assert shape[:3] == [True, 64, 48]
        assert shape[3] / shape[4] == pytest.approx(64 / 48, abs=0.01)
    press(opened, "u")
    expect(opened, "place", "3 of 8")
    assert not any(
        one.sample_id in opened.page_source for one in review.items if len(one.sample_id) > 2
    )


def test_phone(opened: Any) -> None:
    resize(opened, 390)
    opened.refresh()
    expect(opened, "place", "1 of 8")
    width = opened.execute_script("return document.documentElement.scrollWidth")
    assert width == 390, "nothing reaches beyond the screen"
    for button in opened.find_elements(By.CSS_SELECTOR, "[data-decision]"):
        box = button.rect
        assert box["height"] >= 44, "large enough for a thumb"
        shown = opened.execute_script(
            "const box = arguments[0].getBoundingClientRect();"
            "return box.bottom <= window.innerHeight && box.top >= 0",
            button,
        )
        assert shown, "in reach without scrolling"
    reject = opened.find_element(By.CSS_SELECTOR, '[data-decision="relabel"]')
    reject.click()
    expect(opened, "place", "2 of 8")
    expect(opened, "said", "1 of 8 decided.")
    free = opened.execute_script(
        "const save = document.getElementById('save');"
        "save.focus();"
        "return document.querySelector('.choices').getBoundingClientRect().top"
        " - save.getBoundingClientRect().bottom"
    )
    assert free > 0, "what has the focus is not under the bar of buttons"


def test_screenshots_show_image_and_mask(opened: Any, tmp_path: Path) -> None:
    """Set SEGLAB_SCREENSHOTS to a folder to look at them."""
    folder = Path(os.environ.get("SEGLAB_SCREENSHOTS", str(tmp_path)))
    for width in (1280, 390):
        resize(opened, width)
        path = folder / f"review-{width}.png"
        assert opened.save_screenshot(str(path))
        from PIL import Image

        with Image.open(path) as picture:
            assert picture.width == width
            assert np.asarray(picture.convert("RGB")).std() > 20, "not an empty page"


def test_sheet_keeps_saying_that_the_browser_forbids_storage(browser: Any, review: Review) -> None:
    refuse = (
        "Object.defineProperty(window, 'indexedDB',"
        " {get() { throw new DOMException('not from a disk', 'SecurityError'); }})"
    )
    added = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": refuse})
    resize(browser, 1280)
    try:
        browser.get(review.page.as_uri())
        keeps_nothing = "This browser keeps nothing: save before you close the page."
        expect(browser, "said", f"0 of 8 decided. {keeps_nothing}")
        assert not asks_before_it_closes(browser)
        press(browser, "a")
        expect(browser, "said", f"1 of 8 decided. {keeps_nothing}")
        assert asks_before_it_closes(browser)
        browser.find_element(By.ID, "save").click()
        expect(browser, "said", "1 of 8 decisions saved.")
        assert not asks_before_it_closes(browser)
    finally:
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", added)


def test_decisions_come_back_however_often_the_page_is_loaded_anew(opened: Any) -> None:
    for number in range(1, 8):
        press(opened, "r")
        opened.refresh()
        expect(opened, "said", f"{number} of 8 decided.")
        expect(opened, "place", f"{number + 1} of 8")
    assert not asks_before_it_closes(opened)


def asks_before_it_closes(browser: Any) -> bool:
    return bool(
        browser.execute_script(
            "const leaving = new Event('beforeunload', {cancelable: true});"
            "dispatchEvent(leaving);"
            "return leaving.defaultPrevented"
        )
    )
