"""The page in a real browser: keyboard, slider, a phone, an API key, what goes wrong."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seglab.serve.keys import new_key
from tests.browser import NEEDS_BROWSER, By, Keys, open_browser
from tests.serve.conftest import pixels, png
from tests.serve.processes import Server, server
from tests.waiting import wait_for

pytestmark = [pytest.mark.slow, NEEDS_BROWSER]


@pytest.fixture(scope="module")
def key() -> tuple[str, str]:
    return new_key("page")


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, bundle: Path, key: tuple[str, str]
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("page")
    (folder / "keys").write_text(key[1])
    with server(folder, f"bundle={bundle}", f"keys={folder / 'keys'}") as found:
        yield found


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    driver = open_browser(tmp_path_factory.mktemp("profile"))
    yield driver
    driver.quit()


def resize(browser: Any, width: int) -> None:
    metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def text(browser: Any, name: str) -> str:
    return str(
        browser.execute_script("return document.getElementById(arguments[0]).textContent", name)
    )


def overflows(browser: Any) -> bool:
    script = "return document.documentElement.scrollWidth > innerWidth"
    return bool(browser.execute_script(script))


def test_an_image_is_predicted_and_shown(
    browser: Any, served: Server, key: tuple[str, str], tmp_path: Path
) -> None:
    image = pixels(90, 120)
    image[60:] = (0, 200, 0)
    (tmp_path / "<b>street.png").write_bytes(png(image))
    (tmp_path / "broken.png").write_bytes(b"no image")
    resize(browser, 1280)
    browser.get(served.url)
    wait_for(lambda: "asks for an API key" in text(browser, "error"))
    assert browser.switch_to.active_element.get_attribute("id") == "key"
    browser.switch_to.active_element.send_keys("wrong", Keys.ENTER)
    wait_for(
        lambda: text(browser, "error") and browser.find_element(By.ID, "access").is_displayed()
    )
    browser.find_element(By.ID, "key").send_keys(key[0], Keys.ENTER)
    wait_for(lambda: text(browser, "model") == "tiny")
    assert "3 classes" in text(browser, "about")

    # By keyboard: the field of the file is reached with Tab, and seen to be.
    browser.find_element(By.TAG_NAME, "body").send_keys(Keys.TAB)
    focused = browser.switch_to.active_element
    assert focused.get_attribute("id") == "file"
    style = "return getComputedStyle(document.getElementById('drop')).outlineStyle"
    assert browser.execute_script(style) == "solid"

    focused.send_keys(str(tmp_path / "<b>street.png"))
    wait_for(lambda: browser.find_element(By.ID, "result").is_displayed())
    assert text(browser, "status") == "<b>street.png, 120 x 90"
    assert "ms in the service" in text(browser, "latency")
    rows = [row.text.split() for row in browser.find_elements(By.CSS_SELECTOR, "#areas tr")]
    shares = np.bincount(image.argmax(2).ravel(), minlength=3) / image[..., 0].size
    named = zip(shares, ("sky", "road", "car"), strict=True)
    order = sorted(named, reverse=True)
    assert rows == [[name, f"{100 * share:.1f}", "%"] for share, name in order]
    wait_for(
        lambda: browser.execute_script("return document.getElementById('mask').naturalWidth") == 120
    )

    slider = browser.find_element(By.ID, "opacity")
    slider.send_keys(Keys.HOME)
    opacity = "return getComputedStyle(document.getElementById('mask')).opacity"
    assert (browser.execute_script(opacity), text(browser, "percent")) == ("0", "0 %")
    slider.send_keys(Keys.ARROW_RIGHT)
    assert browser.execute_script(opacity) == "0.01"

    assert not overflows(browser)
    resize(browser, 360)
    assert not overflows(browser)
    image_box = browser.find_element(By.ID, "stack").rect
    assert (
        browser.find_element(By.TAG_NAME, "table").rect["y"] > image_box["y"] + image_box["height"]
    )

    browser.find_element(By.ID, "file").send_keys(str(tmp_path / "broken.png"))
    wait_for(lambda: text(browser, "error").startswith("422: expected an image"))
    assert not browser.find_element(By.ID, "result").is_displayed()
    # The browser itself writes down answers of 4xx; nothing else may be in its console.
    wrong = [
        one["message"] for one in browser.get_log("browser") if "status of 4" not in one["message"]
    ]
    assert wrong == []
