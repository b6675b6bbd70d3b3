import pytest
import segmentation_models_pytorch as smp
import torch
from omegaconf import OmegaConf
from torch import nn

from seglab.core.errors import ConfigError
from seglab.models import allowed_options, build_smp

LIGHT = "mobilenetv3_small_100"


@pytest.mark.parametrize(
    ("arch", "library_class", "library_arguments"),
    [
        ("unet", smp.Unet, {}),
        ("fpn", smp.FPN, {"decoder_dropout": 0.0}),
        ("deeplabv3plus", smp.DeepLabV3Plus, {"decoder_aspp_dropout": 0.0}),
        ("segformer", smp.Segformer, {}),
    ],
)
def test_logits_equal_those_of_the_library(arch, library_class, library_arguments):
    torch.manual_seed(3)
    ours = build_smp(5, arch, LIGHT).eval()
    torch.manual_seed(3)
    theirs = library_class(
        "tu-" + LIGHT, encoder_weights=None, classes=5, **library_arguments
    ).eval()
    image = torch.randn(1, 3, 64, 96)
    with torch.inference_mode():
        assert torch.equal(ours(image), theirs(image))


def test_all_mistakes_come_in_one_message():
    with pytest.raises(ConfigError) as caught:
        build_smp(
            3, "unet", "resnet81", encoder_depth=9, dropout=1.5, options={"decoder_chanels": [1]}
        )
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "model.encoder_depth: unet takes (3, 4, 5), got 9" in text
    assert "model.dropout: expected a number (0 to 1, 1 excluded), got 1.5" in text
    assert "decoder_chanels: unet has no such option (did you mean 'decoder_channels'?)" in text
    assert "knows 'resnet81' (did you mean 'resnet18'?)" in text


def test_options_that_arguments_set_are_refused():
    with pytest.raises(ConfigError, match=r"decoder_aspp_dropout: set model\.dropout instead"):
        build_smp(3, "deeplabv3", LIGHT, options={"decoder_aspp_dropout": 0.1})
    for name in ("activation", "upsampling", "aux_params", "classes"):
        assert name not in allowed_options("fpn")
        with pytest.raises(ConfigError, match=f"{name}: fpn has no such option"):
            build_smp(3, "fpn", LIGHT, options={name: 1})


def test_options_reach_decoder_and_encoder():
    options = OmegaConf.create(
        {"decoder_channels": [32, 24, 16, 16, 8], "encoder": {"drop_path_rate": 0.25}}
    )
    model = build_smp(3, "unet", "resnet18", options=options)
    widths = [block.conv1[0].out_channels for block in model.decoder.blocks]
    assert widths == [32, 24, 16, 16, 8]
    drops = [m.drop_prob for m in model.encoder.modules() if type(m).__name__ == "DropPath"]
    assert max(drops) == pytest.approx(0.25)


def test_encoder_options_of_a_library_encoder_are_refused_not_ignored():
    with pytest.raises(ConfigError, match=r"options\.encoder: 'mit_b0' is not of timm"):
        build_smp(3, "unet", "mit_b0", options={"encoder": {"drop_path_rate": 0.1}})


def test_unknown_encoder_option_is_refused():
    with pytest.raises(ConfigError, match=r"cannot be built over the encoder 'resnet18'.*nonsense"):
        build_smp(3, "unet", "resnet18", options={"encoder": {"nonsense": 1}})


def test_wrong_number_of_decoder_channels_is_told():
    with pytest.raises(ConfigError, match="decoder_channels"):
        build_smp(3, "unet", LIGHT, options={"decoder_channels": [16, 16]})


def test_depth_shortens_the_decoder_and_drops_unused_stages():
    deep = build_smp(3, "unet", "resnet18")
    shallow = build_smp(3, "unet", "resnet18", encoder_depth=3)
    assert len(deep.decoder.blocks) == 5
    assert len(shallow.decoder.blocks) == 3
    names = {name for name, _ in shallow.encoder.named_parameters()}
    assert not any("layer3" in name or "layer4" in name for name in names)


def test_stages_a_library_encoder_keeps_beyond_its_depth_are_frozen():
    model = build_smp(3, "unet", "efficientnet-b0", encoder_depth=3)
    assert "encoder._conv_head.weight" in model.unused_parameters
    for name, parameter in model.named_parameters():
        assert parameter.requires_grad == (name not in model.unused_parameters)


@pytest.mark.parametrize(
    ("arch", "layer_class"),
    [
        ("deeplabv3", nn.Dropout),
        ("pspnet", nn.Dropout2d),
        ("fpn", nn.Dropout2d),
        ("unet", nn.Dropout2d),
    ],
)
def test_dropout_sits_in_one_place_only(arch, layer_class):
    model = build_smp(3, arch, "resnet18", dropout=0.3)
    rates = [m.p for m in model.modules() if isinstance(m, layer_class) and m.p > 0]
    assert rates == [0.3]
    assert isinstance(model.dropout, nn.Dropout2d) == (arch == "unet")


def test_mean_and_std_are_the_encoders_own():
    lite = build_smp(3, "unet", "tf_efficientnet_lite0")
    assert lite.mean == lite.std == (0.5, 0.5, 0.5)
    resnet = build_smp(3, "unet", "resnet18")
    assert resnet.mean == (0.485, 0.456, 0.406)
    assert resnet.std == (0.229, 0.224, 0.225)


@pytest.mark.parametrize("in_channels", [1, 4])
def test_other_numbers_of_channels(in_channels):
    model = build_smp(3, "unet", LIGHT, in_channels=in_channels).eval()
    assert len(model.mean) == len(model.std) == in_channels
    with torch.inference_mode():
        assert model(torch.zeros(1, in_channels, 32, 64)).shape == (1, 3, 32, 64)


def test_freeze_encoder_argument():
    model = build_smp(3, "unet", LIGHT, freeze_encoder=True)
    frozen = {name for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {name for name, _ in model.named_parameters() if name.startswith("encoder.")}
    assert not model.train().encoder.training


def test_encoder_that_needs_whole_strides_raises_the_divisor():
    model = build_smp(3, "unet", "dla34").eval()
    assert model.size_divisor == 32
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 96, 64)).shape[-2:] == (96, 64)


def test_vit_under_a_convolutional_decoder_is_refused():
    with pytest.raises(ConfigError, match="unet cannot be built over the encoder 'vit_tiny"):
        build_smp(3, "unet", "vit_tiny_patch16_224")


def test_dpt_takes_only_vits_of_timm():
    with pytest.raises(ConfigError, match="dpt needs a ViT of timm, got 'mit_b0'"):
        build_smp(3, "dpt", "mit_b0")
    with pytest.raises(ConfigError, match="dpt cannot be built over the encoder 'resnet18'"):
        build_smp(3, "dpt", "resnet18")


def test_segnet_is_not_built_here():
    with pytest.raises(ConfigError, match="'segnet' is a class of its own"):
        build_smp(3, "segnet", "resnet18")


def test_numbers_below_one_are_refused_together():
    with pytest.raises(ConfigError) as caught:
        build_smp(0, "unet", LIGHT, in_channels=0)
    assert "num_classes of at least 1, got 0" in str(caught.value)
