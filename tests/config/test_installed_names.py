from __future__ import annotations

from seglab.config.rules.installed_names import (
    base_name,
    encoder_names,
    has_encoder,
    optimizer_names,
)


def test_every_encoder_of_the_packages_is_found() -> None:
    import segmentation_models_pytorch as smp
    import timm

    known = encoder_names()
    assert set(timm.list_models()) <= known
    assert {name for name in smp.encoders.encoders if not name.startswith("timm-")} <= known
    assert "resnet19" not in known
    assert not has_encoder("resnet19")
    assert all(has_encoder(name) for name in ("resnet18", "tf_efficientnet_lite0", "mit_b0"))


def test_every_optimizer_of_timm_is_found() -> None:
    from timm.optim import list_optimizers

    assert set(list_optimizers()) <= optimizer_names()
    assert "adamm" not in optimizer_names()


def test_tag_and_prefix_are_no_part_of_the_name() -> None:
    assert base_name("tu-vit_small_patch16_224.augreg_in21k") == "vit_small_patch16_224"
    assert base_name("resnet18") == "resnet18"
