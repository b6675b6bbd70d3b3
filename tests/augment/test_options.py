from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from seglab.augment.options import AugmentSpec, GeometrySpec, MixingSpec
from seglab.core.errors import ConfigError
from tests.augment.conftest import PRESETS


def test_nothing_read_is_the_identity() -> None:
    assert AugmentSpec.read({}) == AugmentSpec()
    assert AugmentSpec().mixing.total == 0


def test_reading_lists_every_mistake_with_its_path() -> None:
    content = {
        "backend": "korina",
        "geometry": {"rotat": 5, "hflip": 1.5, "scale": [2.0, 0.5], "aspect": 1.0},
        "color": {"p": 1},
        "blur": 3,
        "noise": {"p": True, "std": [1, float("nan")]},
    }
    with pytest.raises(ConfigError) as caught:
        AugmentSpec.read(content, "augment")
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 9
    assert "augment.backend: expected one of auto, uint8, kornia, got 'korina'" in text
    assert "did you mean 'kornia'?" in text
    assert (
        "augment.geometry.rotat: no such key (did you mean 'augment.geometry.rotate'?), got 5"
        in text
    )
    assert "augment.geometry.hflip: expected a number (0 to 1), got 1.5" in text
    assert "augment.geometry.scale: expected [low, high] with" in text
    assert (
        "augment.geometry.aspect: expected [low, high] with 0.2 <= low <= high <= 5, got 1.0"
        in text
    )
    assert "augment.color.p: no such key" in text
    assert "augment.blur: expected a group of keys, got 3" in text
    assert "augment.noise.p: expected a number (0 to 1), got true" in text


def test_reading_checks_the_sum_of_mixing() -> None:
    with pytest.raises(ConfigError, match=r"augment\.mixing: .* sum to 1 at most, got 1\.2"):
        AugmentSpec.read({"mixing": {"cutmix": 0.6, "mosaic": 0.6}}, "augment")
    with pytest.raises(ConfigError, match="MixingSpec"):
        MixingSpec(cutmix=0.6, mosaic=0.6)


def test_constructor_checks_too() -> None:
    with pytest.raises(ConfigError, match=r"GeometrySpec\.rotate: expected a number \(0 to 180\)"):
        GeometrySpec(rotate=-1)


def test_preset_spells_out_every_key_and_survives_a_round_trip(preset: Path) -> None:
    text = preset.read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    spec = AugmentSpec.read(content)
    written = spec.to_dict()
    assert text.startswith("# ")
    # Steps of one's own have no place in ours.
    assert content.keys() == written.keys() - {"steps"}
    for section, values in written.items():
        if isinstance(values, dict) and section != "steps":
            assert content[section].keys() == values.keys(), section
    assert AugmentSpec.read(written) == spec
    assert hash(AugmentSpec.read(OmegaConf.to_container(OmegaConf.create(written)))) == hash(spec)


def test_presets_are_what_they_say() -> None:
    by_strength = [
        AugmentSpec.read(yaml.safe_load((PRESETS / f"{name}.yaml").read_text(encoding="utf-8")))
        for name in ("none", "light", "standard", "strong")
    ]
    assert by_strength[0] == AugmentSpec()
    zooms = [spec.geometry.scale[1] for spec in by_strength]
    assert zooms == sorted(zooms)
    assert by_strength[2].mixing.total == 0 < by_strength[3].mixing.total


def test_resolve_backend() -> None:
    assert AugmentSpec().resolve_backend("cpu") == "uint8"
    assert AugmentSpec().resolve_backend("cuda", 8) == "kornia"
    assert AugmentSpec().resolve_backend("cuda", 14) == "uint8"
    assert AugmentSpec(backend="kornia").resolve_backend("cpu") == "kornia"
    assert AugmentSpec(backend="uint8").resolve_backend("cuda") == "uint8"


def test_reading_a_spec_imports_neither_torch_nor_opencv() -> None:
    code = (
        "import sys; import seglab.augment as a; a.AugmentSpec.read({}); "
        "print([m for m in ('torch', 'cv2', 'kornia') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
