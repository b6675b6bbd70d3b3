"""The site of the documentation: built as `make docs` does, where a broken link or missing page fails."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.mark.slow
def test_site_has_every_command_key_and_name(tmp_path: Path) -> None:
    pytest.importorskip("mkdocs", reason="the documentation's tools are not installed")
    words = [sys.executable, "-m", "mkdocs", "build", "--site-dir", str(tmp_path)]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(words, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr

    def page(place: str) -> str:
        return (tmp_path / place / "index.html").read_text(encoding="utf-8")

    assert 'id="seglab-data-audit"' in page("reference/commands")
    assert "Learning rate." in page("reference/train")
    assert 'id="seglab.losses.region.DiceLoss"' in page("reference/python")
    assert "the 95 % interval" in page("experiments/label-loop")
    assert 'id="two-ways-to-cut"' in page("tutorials/cross_validation")
    assert 'href="cross_validation/"' in page("tutorials")
    assert (tmp_path / "experiments/label-loop/gain.png").is_file()
