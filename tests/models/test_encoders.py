import pytest

from seglab.core.errors import ConfigError
from seglab.models.encoders import resolve_encoder


def test_timm_names_come_first():
    choice = resolve_encoder("resnet18")
    assert (choice.smp_name, choice.timm_name) == ("tu-resnet18", "resnet18")
    assert resolve_encoder("tu-resnet18").timm_name == "resnet18"


def test_names_only_the_library_has():
    choice = resolve_encoder("mit_b0")
    assert (choice.smp_name, choice.timm_name) == ("mit_b0", None)
    assert choice.normalization.mean == (0.485, 0.456, 0.406)
    assert resolve_encoder("inceptionv4").normalization.std == (0.5, 0.5, 0.5)


def test_tag_decides_the_normalization():
    plain = resolve_encoder("vit_small_patch16_224.augreg_in21k")
    assert plain.normalization.mean == (0.5, 0.5, 0.5)
    dino = resolve_encoder("vit_small_patch16_224.dino")
    assert dino.normalization.mean == (0.485, 0.456, 0.406)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("restnet18", r"knows 'restnet18' \(did you mean 'resnet18'\?\)"),
        ("mit_b9", r"did you mean 'mit_b\d'"),
        ("zzzzqqqq", "knows 'zzzzqqqq'; "),
        ("resnet18.a1_in2k", r"no weights 'resnet18.a1_in2k' \(did you mean 'resnet18.a\d_in1k'"),
        ("timm-efficientnet-b0", "timm-efficientnet-b0"),
    ],
)
def test_unknown_names(name, message):
    with pytest.raises(ConfigError, match=message):
        resolve_encoder(name)
