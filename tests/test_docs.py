"""The site of the documentation: built as `make docs` does, where a broken link or missing page fails."""

from __future__ import annotations

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from seglab.augment.corruption.corruptions import CORRUPTIONS
from seglab.augment.options import AugmentSpec
from seglab.config.declared.key_help import keys_below

ROOT = Path(__file__).resolve().parents[1]
WIDTHS = (1440, 768, 390)
# Pages with wide tables, many pictures, long words and none of these.
LOOKED_AT = ("", "get-started/", "reference/train/", "gallery/augmentations/", "benchmarks/")
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("mkdocs", reason="the documentation's tools are not installed")
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(folder)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def _page(site: Path, place: str) -> str:
    return (site / place / "index.html").read_text(encoding="utf-8")


def test_site_has_every_command_key_and_name(site: Path) -> None:
    assert 'id="seglab-data-audit"' in _page(site, "reference/commands")
    assert "Learning rate." in _page(site, "reference/train")
    assert 'id="seglab.losses.region.DiceLoss"' in _page(site, "reference/python")
    assert "the 95 % interval" in _page(site, "experiments/label-loop")
    assert 'id="two-ways-to-cut"' in _page(site, "tutorials/cross_validation")
    assert 'href="cross_validation/"' in _page(site, "tutorials")
    assert (site / "experiments/label-loop/gain.png").is_file()


def test_gallery_shows_every_augmentation_corruption_network_and_loss(site: Path) -> None:
    shown = _page(site, "gallery/augmentations")
    keys = [key.name for key in keys_below(AugmentSpec) if "." in key.name and "*" not in key.name]
    assert [key for key in keys if f"augment.{key}=" not in shown] == []
    assert [
        name
        for name in CORRUPTIONS
        if f"drawn/{name}.webp" not in _page(site, "gallery/corruptions")
    ] == []
    for page, group in (("architectures", "model"), ("losses", "loss")):
        there = _page(site, f"gallery/{page}")
        names = [path.stem for path in (ROOT / "conf" / group).glob("*.yaml")]
        assert [name for name in names if f"{page}-{name}.webp" not in there] == []


def test_every_page_is_named_and_described_and_every_picture_said_in_words(site: Path) -> None:
    faults = []
    for path in sorted(site.rglob("*.html")):
        text = path.read_text(encoding="utf-8")
        name = path.relative_to(site).as_posix()
        described = re.search(r'<meta name="description" content="[^"]{20,}"', text)
        if not re.search(r"<title>[^<]+</title>", text) or not (described or name == "404.html"):
            faults.append(f"{name}: no title or description")
        pictures = re.findall(r"<img\b[^>]*>", text)
        faults += [f"{name}: {one}" for one in pictures if not re.search(r'alt="[^"]{10,}"', one)]
        asked = re.findall(r'<(?:img|script|link)\b[^>]*(?:src|href)="(https?:[^"]*)"', text)
        faults += [f"{name}: asks another host for {one}" for one in asked]
    assert faults == []


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    from tests.browser import NEEDS_BROWSER, open_browser

    if NEEDS_BROWSER.args[0]:
        pytest.skip(NEEDS_BROWSER.kwargs["reason"])
    driver = open_browser(tmp_path)
    yield driver
    driver.quit()


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Say nothing."""

    handler = functools.partial(Quiet, directory=str(site))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def test_pages_fit_every_width_and_the_keyboard_reaches_them(browser: Any, address: str) -> None:
    from tests.browser import ActionChains, By, Keys

    for place in LOOKED_AT:
        for width in WIDTHS:
            size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": width < 500}
            browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            browser.get(address + place)
            wide = browser.execute_script("return document.documentElement.scrollWidth")
            assert wide <= width, f"{place or 'home'} is {wide} wide on {width}"
    asked = browser.execute_script(
        "return performance.getEntriesByType('resource').map(r => r.name)"
    )
    assert [one for one in asked if not one.startswith((address, "data:", "blob:"))] == []
    assert browser.get_log("browser") == []

    browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
    browser.get(address + "get-started/")
    ActionChains(browser).send_keys(Keys.TAB, Keys.ENTER).perform()
    assert browser.current_url.endswith("get-started/#get-started"), "first stop: to the content"
    browser.find_element(By.TAG_NAME, "body").send_keys("/")
    focused = browser.switch_to.active_element
    assert focused.get_attribute("aria-label") == "Search"
