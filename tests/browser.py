"""A real browser for tests of pages; who imports this is skipped where selenium is not installed."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

webdriver = pytest.importorskip("selenium.webdriver", reason="selenium is not installed")

from selenium.webdriver.chrome.service import Service  # noqa: E402
from selenium.webdriver.common.action_chains import ActionChains  # noqa: E402
from selenium.webdriver.common.by import By  # noqa: E402
from selenium.webdriver.common.keys import Keys  # noqa: E402

__all__ = ["NEEDS_BROWSER", "ActionChains", "By", "Keys", "open_browser"]

_BROWSER = shutil.which("chromium") or shutil.which("chromium-browser")
_DRIVER = shutil.which("chromedriver")
_FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
)
NEEDS_BROWSER = pytest.mark.skipif(
    not (_BROWSER and _DRIVER), reason="no chromium or chromedriver on PATH"
)


def open_browser(profile: Path, *flags: str, downloads: Path | None = None) -> Any:
    """Start Chromium without a window; whoever asked for it calls `quit`.

    Args:
        profile: Folder of its own.
        *flags: Further flags; none: no graphics hardware is looked for.
        downloads: Where files go that a page saves.
    """
    options = webdriver.ChromeOptions()
    options.binary_location = _BROWSER
    for flag in (*_FLAGS, *(flags or ("--disable-gpu",)), f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    if downloads is not None:
        options.add_experimental_option("prefs", {"download.default_directory": str(downloads)})
    return webdriver.Chrome(options=options, service=Service(_DRIVER))
