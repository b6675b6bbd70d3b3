"""A service of `REGISTRY@champion` follows promotions without a signal, and keeps what works."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from seglab.cli.main import run
from seglab.deploy.registry.registry import Registry
from tests.bundle.tiny import write_tiny_bundle
from tests.serve.conftest import brightest, pixels, png
from tests.serve.processes import server
from tests.waiting import wait_for


@pytest.mark.slow
def test_follows_the_champion(tmp_path: Path, bundle: Path) -> None:
    darkest = write_tiny_bundle(tmp_path / "darkest", np.asarray(-brightest()), name="darkest")
    registry = Registry(tmp_path / "models")
    bright = registry.promote(registry.add(bundle))
    image = tmp_path / "image.png"
    image.write_bytes(png(pixels(16, 16)))
    with server(tmp_path, f"bundle={registry.folder}@champion", "follow=0.1", workers=2) as found:

        def used() -> set[str]:
            answers = [found.http.post("/v1/predict", content=image.read_bytes()) for _ in range(4)]
            return {one.json()["model"]["id"] for one in answers}

        assert used() == {bright}
        dark = registry.promote(registry.add(darkest))
        wait_for(lambda: used() == {dark}, 20)
        (registry.place(bright) / "model.onnx").write_bytes(b"other")
        state = registry.folder / "aliases.json"
        state.write_text(
            state.read_text().replace(f'"champion": "{dark}"', f'"champion": "{bright}"')
        )
        wait_for(lambda: any("is not used" in one["message"] for one in found.log()), 20)
        assert used() == {dark}
        registry.add(bundle)  # mended
        words = ["predict", f"bundle={registry.folder}@previous", f"input={image}"]
        assert run([*words, f"output={tmp_path / 'masks'}"]) == 0
        assert (tmp_path / "masks" / "predict.json").read_text().count(bright) == 1
        assert sum("is not used" in one["message"] for one in found.log()) == 1
