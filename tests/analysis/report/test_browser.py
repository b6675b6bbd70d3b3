"""The page in a real browser: sorting, blending, dark mode, a phone, the keyboard, no errors."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.browser import NEEDS_BROWSER, By, Keys, open_browser
from tests.waiting import wait_for

pytestmark = NEEDS_BROWSER


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


@pytest.fixture
def opened(browser: Any, full_page: Path) -> Iterator[Any]:
    """The page, fresh, on a desktop in light mode; the test fails if the console has an error."""
    resize(browser, 1280)
    browser.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {
            "features": [
                {"name": "prefers-color-scheme", "value": "light"},
                {"name": "prefers-reduced-motion", "value": "reduce"},
            ]
        },
    )
    browser.get(full_page.as_uri())
    browser.execute_script("localStorage.clear()")

    def has_forgotten() -> bool:
        # A fresh page may be drawn by another process, which hears of it a moment later.
        browser.refresh()
        return bool(browser.execute_script("return !document.documentElement.dataset.theme"))

    wait_for(has_forgotten)
    yield browser
    severe = [
        entry for entry in browser.get_log("browser") if entry["level"] in ("SEVERE", "WARNING")
    ]
    assert severe == []


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def names(browser: Any) -> list[str]:
    rows = browser.find_elements(By.CSS_SELECTOR, "#runs-table tbody tr")
    return [row.find_element(By.TAG_NAME, "a").text for row in rows if row.is_displayed()]


def head(browser: Any, title: str) -> Any:
    heads = browser.find_elements(By.CSS_SELECTOR, "#runs-table thead th")
    return next(one for one in heads if one.text.startswith(title))


def test_table_sorts_by_click_and_by_keyboard(opened: Any) -> None:
    before = names(opened)
    run = head(opened, "run")
    run.find_element(By.TAG_NAME, "button").click()
    assert run.get_attribute("aria-sort") == "ascending"
    assert names(opened) == sorted(before, key=lambda name: (name[0].isalpha(), name))
    run.find_element(By.TAG_NAME, "button").send_keys(Keys.ENTER)
    assert run.get_attribute("aria-sort") == "descending"
    assert names(opened)[-1].startswith("<script>")
    params = head(opened, "params")
    params.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert params.get_attribute("aria-sort") == "descending"
    assert run.get_attribute("aria-sort") is None
    assert names(opened)[:2] == ["<script>alert('x')</script>", "a-train"], "undefined ones last"
    params.find_element(By.TAG_NAME, "button").send_keys(Keys.SPACE)
    assert names(opened)[0] == "a-train"
    said = opened.find_element(By.CSS_SELECTOR, '[data-said-of="runs-table"]')
    assert said.get_attribute("textContent").startswith("Sorted by params (M)")


def test_filter_and_columns(opened: Any) -> None:
    box = opened.find_element(By.CSS_SELECTOR, "[data-filter]")
    box.send_keys("eval")
    assert names(opened) == ["d-eval", "c-eval"]
    box.send_keys(" d-")
    assert names(opened) == ["d-eval"]
    cells = opened.find_elements(By.CSS_SELECTOR, "#runs-table .g-iou")
    assert cells
    assert not cells[0].is_displayed()
    opened.find_element(By.CSS_SELECTOR, "#scores [data-group=iou]").click()
    assert cells[0].is_displayed()


def test_slider_blends_the_prediction_over_the_image(opened: Any) -> None:
    slider = opened.find_element(By.CSS_SELECTOR, ".slider input[aria-valuetext], .panel .opacity")
    panel = slider.find_element(By.XPATH, "ancestor::figure")
    opened.execute_script("arguments[0].scrollIntoView({block: 'center'})", panel)

    def opacity() -> float:
        script = "return Number(getComputedStyle(arguments[0].querySelector('.over')).opacity)"
        return float(opened.execute_script(script, panel))

    assert opacity() == pytest.approx(0.6)
    slider.send_keys(Keys.ARROW_RIGHT)
    assert opacity() == pytest.approx(0.65)
    slider.send_keys(Keys.HOME)
    assert opacity() == 0.0
    assert slider.get_attribute("aria-valuetext") == "0 per cent"
    opened.find_element(By.ID, "all-opacity").send_keys(Keys.END)
    assert opacity() == 1.0


def test_pictures_are_drawn(opened: Any, full_report: Any) -> None:
    script = """const done = arguments[1]; const image = new Image();
        image.onload = () => done(image.naturalWidth); image.onerror = () => done(0);
        image.src = document.querySelector(arguments[0]).getAttribute('href');"""
    for key, picture in full_report.pictures.items():
        width = opened.execute_async_script(script, f"#{key} image")
        assert width == picture.width


def test_cases_filter_by_class_error_and_run(opened: Any) -> None:
    def shown() -> list[str]:
        cases = opened.find_elements(By.CSS_SELECTOR, ".case")
        return [one.find_element(By.TAG_NAME, "h3").text for one in cases if one.is_displayed()]

    assert len(shown()) == 4
    choice = opened.find_element(By.CSS_SELECTOR, "[data-case-filter=error_types]")
    choice.find_elements(By.TAG_NAME, "option")[1].click()
    assert shown() == ["s2", "s1"]
    assert opened.find_element(By.ID, "case-count").text == "2 of 4 samples"
    opened.find_element(By.ID, "shared-only").click()
    assert shown() == ["s2"]
    choice = opened.find_element(By.CSS_SELECTOR, "[data-case-filter=class_names]")
    assert [one.text for one in choice.find_elements(By.TAG_NAME, "option")] == [
        "all",
        "car",
        "road",
    ]


def test_dark_mode_is_chosen_and_remembered(opened: Any) -> None:
    def paper() -> str:
        return str(opened.execute_script("return getComputedStyle(document.body).backgroundColor"))

    light = paper()
    button = opened.find_element(By.ID, "theme")
    assert button.get_attribute("aria-pressed") == "false"
    button.click()
    dark = paper()
    assert dark != light
    assert button.get_attribute("aria-pressed") == "true"

    def remembers() -> bool:
        # Another process, as in `opened`.
        opened.refresh()
        return paper() == dark

    wait_for(remembers)
    opened.find_element(By.ID, "theme").click()
    assert paper() == light


def test_system_chooses_dark_mode_first(opened: Any) -> None:
    opened.execute_cdp_cmd(
        "Emulation.setEmulatedMedia",
        {"features": [{"name": "prefers-color-scheme", "value": "dark"}]},
    )
    wait_for(lambda: opened.find_element(By.ID, "theme").get_attribute("aria-pressed") == "true")


@pytest.mark.parametrize("width", [320, 360, 768])
def test_page_never_scrolls_sideways(opened: Any, width: int) -> None:
    resize(opened, width)
    script = "return [document.documentElement.scrollWidth, window.innerWidth]"
    opened.execute_script("for (const one of document.querySelectorAll('details')) one.open = true")
    for box in opened.find_elements(By.CSS_SELECTOR, "[data-group]:not(:checked)"):
        opened.execute_script("arguments[0].click()", box)
    content, window = opened.execute_script(script)
    assert window == width
    assert content <= window


def test_chart_tells_its_values_to_keys_and_pointer(opened: Any) -> None:
    chart = opened.find_element(By.CSS_SELECTOR, "#curves svg[data-chart]")
    opened.execute_script("arguments[0].focus()", chart)
    for _ in range(7):
        chart.send_keys(Keys.ARROW_RIGHT)
    tip = chart.find_element(By.XPATH, "following-sibling::div[@class='tip' or @class='tip left']")
    lines = tip.text.splitlines()
    assert lines[0] == "epoch 6"
    assert lines[1:] == ["0.7000 <script>alert('x')</script>", "0.6000 a-train"]
    chart.send_keys(Keys.ESCAPE)
    assert not tip.is_displayed()


def test_link_to_a_run_opens_its_part(opened: Any) -> None:
    opened.find_element(By.CSS_SELECTOR, "#runs-table tbody a").click()
    opened_part = opened.find_element(By.CSS_SELECTOR, "details.run:target")
    wait_for(lambda: opened_part.get_attribute("open") is not None)


def test_keyboard_meets_the_skip_link_first_and_sees_its_focus(opened: Any) -> None:
    opened.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = opened.switch_to.active_element
    assert focused.text == "Skip to the results"
    assert focused.rect["y"] >= 0
    focused.send_keys(Keys.TAB)
    focused = opened.switch_to.active_element
    assert focused.get_attribute("id") == "theme"
    outline = opened.execute_script("return getComputedStyle(arguments[0]).outlineStyle", focused)
    assert outline == "solid"


def test_content_is_there_without_script(browser: Any, full_page: Path) -> None:
    resize(browser, 1280)
    browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": True})
    try:
        browser.get(full_page.as_uri())
        assert browser.find_element(By.CSS_SELECTOR, "#runs-table").is_displayed()
        assert browser.find_element(By.CSS_SELECTOR, ".case .picture").is_displayed()
        assert not browser.find_element(By.ID, "theme").is_displayed()
    finally:
        browser.execute_cdp_cmd("Emulation.setScriptExecutionDisabled", {"value": False})
