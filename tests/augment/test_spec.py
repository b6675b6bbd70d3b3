from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from omegaconf import OmegaConf

from seglab.augment.spec import AugmentSpec, GeometrySpec, MixingSpec
from seglab.core.errors import ConfigError


def test_from_dict_of_nothing_is_the_identity() -> None:
    assert AugmentSpec.from_dict({}) == AugmentSpec()
    assert AugmentSpec().mixing.total == 0


def test_from_dict_lists_every_mistake_with_its_path() -> None:
    content = {
        "backend": "korina",
        "geometry": {"rotat": 5, "hflip": 1.5, "scale": [2.0, 0.5], "aspect": 1.0},
        "color": {"p": 1},
        "blur": 3,
        "noise": {"p": True, "std": [1, float("nan")]},
    }
    with pytest.raises(ConfigError) as caught:
        AugmentSpec.from_dict(content)
    text = "\n".join(caught.value.problems)
    assert len(caught.value.problems) == 9
    assert "augment.backend: expected one of auto, uint8, kornia; got 'korina'" in text
    assert "did you mean 'kornia'?" in text
    assert "augment.geometry.rotat: unknown key (did you mean 'rotate'?)" in text
    assert "augment.geometry.hflip: expected a number in 0..1, got 1.5" in text
    assert "augment.geometry.scale: expected [low, high] with" in text
    assert "augment.geometry.aspect: expected two numbers [low, high], got 1.0" in text
    assert "augment.color: unknown key (did you mean 'colour'?)" in text
    assert "augment.blur: expected a mapping, got 3" in text
    assert "augment.noise.p: expected a number in 0..1, got True" in text


def test_from_dict_checks_the_sum_of_mixing() -> None:
    with pytest.raises(ConfigError, match=r"augment\.mixing: .* sum to at most 1, got 1\.2"):
        AugmentSpec.from_dict({"mixing": {"cutmix": 0.6, "mosaic": 0.6}})
    with pytest.raises(ConfigError, match="MixingSpec"):
        MixingSpec(cutmix=0.6, mosaic=0.6)


def test_constructor_checks_too() -> None:
    with pytest.raises(ConfigError, match=r"GeometrySpec\.rotate: expected a number in 0\.\.180"):
        GeometrySpec(rotate=-1)


@pytest.mark.parametrize("name", ["none", "light", "standard", "strong"])
def test_preset_spells_out_every_key_and_survives_a_round_trip(
    preset_paths: dict[str, Path], name: str
) -> None:
    text = preset_paths[name].read_text(encoding="utf-8")
    content = yaml.safe_load(text)
    spec = AugmentSpec.from_dict(content)
    written = spec.to_dict()
    assert text.startswith("# ")
    assert content.keys() == written.keys()
    for section in ("geometry", "colour", "blur", "noise", "jpeg", "erasing", "mixing"):
        assert content[section].keys() == written[section].keys(), section
    assert AugmentSpec.from_dict(written) == spec
    assert hash(AugmentSpec.from_dict(OmegaConf.create(written))) == hash(spec)


def test_presets_are_what_they_say(preset_paths: dict[str, Path]) -> None:
    specs = {
        name: AugmentSpec.from_dict(yaml.safe_load(path.read_text(encoding="utf-8")))
        for name, path in preset_paths.items()
    }
    assert set(specs) == {"none", "light", "standard", "strong"}
    assert specs["none"] == AugmentSpec()
    zooms = [specs[name].geometry.scale[1] for name in ("none", "light", "standard", "strong")]
    assert zooms == sorted(zooms)
    assert specs["standard"].mixing.total == 0 < specs["strong"].mixing.total


def test_resolve_backend() -> None:
    assert AugmentSpec().resolve_backend("cpu") == "uint8"
    assert AugmentSpec().resolve_backend("cuda") == "kornia"
    assert AugmentSpec(backend="kornia").resolve_backend("cpu") == "kornia"
    assert AugmentSpec(backend="uint8").resolve_backend("cuda") == "uint8"


def test_reading_a_spec_imports_neither_torch_nor_opencv() -> None:
    code = (
        "import sys; import seglab.augment as a; a.AugmentSpec.from_dict({}); "
        "print([m for m in ('torch', 'cv2', 'kornia') if m in sys.modules])"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
