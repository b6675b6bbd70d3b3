import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from seglab.core.errors import ConfigError
from seglab.models import SegNet, SegNetBasic
from seglab.models.segnet import unpool, unpool_by_comparison


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_basic_has_the_papers_number_of_parameters():
    # Table 1 says 1.425 M. By hand: 49 * 64 * (3 + 7 * 64) kernels, 16 * 64 of normalisation,
    # 64 * 11 + 11 of the head.
    model = SegNetBasic(11)
    assert count(model) == 49 * 64 * (3 + 7 * 64) + 16 * 64 + 64 * 11 + 11 == 1_416_075
    assert count(model) == pytest.approx(1.425e6, rel=0.01)


def test_segnet_has_the_convolutions_of_vgg16_twice():
    model = SegNet(11)
    # The 13 convolutions of VGG16 with bias have 14 714 688 parameters, normalisation 2 * 4224.
    assert count(model.encoder) == 14_714_688 + 8448
    # Mirrored and without bias: 3x3 kernels, the image's 3 channels left to the head.
    kernels = 9 * (5 * 512 * 512 + 512 * 256 + 2 * 256 * 256)
    kernels += 9 * (256 * 128 + 128 * 128 + 128 * 64 + 64 * 64)
    norms = 2 * (5 * 512 + 256 * 3 + 128 * 2 + 64 * 2)
    assert count(model.decoder) == kernels + norms
    assert count(model.head) == 9 * 64 * 11 + 11


def test_basic_has_no_bias_before_normalisation_and_no_relu_in_the_decoder():
    model = SegNetBasic(3, width=8)
    convs = [
        m for m in (*model.encoder.modules(), *model.decoder.modules()) if isinstance(m, nn.Conv2d)
    ]
    assert len(convs) == 8
    assert all(conv.bias is None and conv.kernel_size == (7, 7) for conv in convs)
    assert any(isinstance(module, nn.ReLU) for module in model.encoder.modules())
    assert not any(isinstance(module, nn.ReLU) for module in model.decoder.modules())


def test_weights_start_after_he():
    torch.manual_seed(0)
    conv = SegNetBasic(3).encoder.stages[1][0]
    # Standard deviation sqrt(2 / fan_in) with fan_in = 64 * 49.
    assert conv.weight.std().item() == pytest.approx((2 / (64 * 49)) ** 0.5, rel=0.02)


def test_unpool_by_hand():
    value = torch.tensor([[[[5.0, 7.0]]]])
    indices = torch.tensor([[[[4, 2]]]])
    expected = torch.tensor([[[[0.0, 0.0, 7.0], [0.0, 5.0, 0.0]]]])
    # A plane of 2 x 3: index 4 is row 1, column 1; index 2 is row 0, column 2.
    assert torch.equal(unpool(value, indices, (2, 3)), expected)


@settings(max_examples=25, deadline=None)
@given(
    height=st.integers(2, 11),
    width=st.integers(2, 11),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    last=st.booleans(),
)
def test_unpool_equals_max_unpool(height, width, dtype, last):
    layout = torch.channels_last if last else torch.contiguous_format
    image = torch.randn(2, 3, height, width).to(dtype).contiguous(memory_format=layout)
    image.requires_grad_()
    pooled, indices = F.max_pool2d(image, 2, return_indices=True)
    theirs = F.max_unpool2d(pooled, indices, 2, output_size=(height, width))
    for form in (unpool, unpool_by_comparison):
        ours = form(pooled, indices, (height, width))
        assert torch.equal(ours, theirs)
        assert ours.dtype == dtype
        (gradient,) = torch.autograd.grad(ours.float().sum(), image, retain_graph=True)
        assert gradient.sum() == pooled.numel()


def test_unpool_keeps_channels_last():
    image = torch.randn(2, 3, 8, 8).contiguous(memory_format=torch.channels_last)
    pooled, indices = F.max_pool2d(image, 2, return_indices=True)
    for form in (unpool, unpool_by_comparison):
        assert form(pooled, indices, (8, 8)).is_contiguous(memory_format=torch.channels_last)


def test_bfloat16_moves_a_few_maxima_and_loses_nothing_else():
    """Near-ties in a window go to the neighbouring pixel; with equal indices 1 % error is left."""
    torch.manual_seed(0)
    model = SegNetBasic(3, width=32).eval()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        feature, pooled = model.encoder(image)
        logits = model.head(model.decoder(feature, pooled))
        with torch.autocast("cpu", torch.bfloat16):
            _, pooled_low = model.encoder(image)
            low = model.head(model.decoder(feature, pooled)).float()
    moved = [(a[0] != b[0]).float().mean() for a, b in zip(pooled, pooled_low, strict=True)]
    assert max(moved) < 0.02
    assert (low - logits).square().mean().sqrt() < 0.02 * logits.std()


@pytest.mark.slow
def test_vgg_file_fills_the_encoder_exactly(tmp_path):
    import torchvision

    torch.manual_seed(5)
    vgg = torchvision.models.vgg16_bn(weights=None).eval()
    with torch.no_grad():
        for module in vgg.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.normal_()
                module.running_var.uniform_(0.5, 2.0)
    torch.save(vgg.features.state_dict(prefix="features."), tmp_path / "vgg.pth")
    model = SegNet(3, encoder_weights=str(tmp_path / "vgg.pth"), freeze_encoder=True)
    assert model.load_report.missing == model.load_report.mismatched == ()
    assert model.load_report.unexpected == ()
    image = torch.randn(1, 3, 64, 64)
    with torch.inference_mode():
        feature, _ = model.encoder(image)
        torch.testing.assert_close(feature, vgg.features(image))
    assert not any(parameter.requires_grad for parameter in model.encoder.parameters())


def test_wrong_numbers_are_refused():
    with pytest.raises(ConfigError, match="kernel_size: expected an odd number, got 4"):
        SegNetBasic(3, kernel_size=4)
    with pytest.raises(ConfigError, match=r"width: expected a whole number \(1 or more\), got 0"):
        SegNetBasic(3, width=0)
    with pytest.raises(ConfigError, match=r"dropout: expected a number \(0 to 1, 1 excluded\)"):
        SegNet(3, dropout=1.0)


def test_odd_sizes_come_back():
    model = SegNetBasic(4, width=4, kernel_size=3).eval()
    with torch.inference_mode():
        assert model(torch.zeros(1, 3, 45, 61)).shape == (1, 4, 45, 61)
