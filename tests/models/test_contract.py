"""What every model must do; an architecture inherits all of it for four lines."""

import copy

import pytest
import torch
from torch import nn

from seglab.core.architectures import ARCHITECTURES, min_size, min_train_batch, size_divisor
from seglab.core.errors import ShapeError
from seglab.models import SegNet, SegNetBasic, build_smp

CLASSES = 3


def seeded_image(batch, height, width, channels=3):
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def set_norms_to_eval(model):
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


class ModelContract:
    arch: str
    encoder = "mobilenetv3_small_100"
    depth: int | None = None
    options: dict = {}  # noqa: RUF012 - read only
    # Root mean square error over the spread of the logits: bfloat16 keeps 8 bits, and fifty layers
    # add up.
    bfloat16_error = 0.1

    @classmethod
    def build(cls, **arguments):
        torch.manual_seed(0)
        merged = {"encoder_depth": cls.depth, "options": cls.options} | arguments
        return build_smp(CLASSES, cls.arch, cls.encoder, **merged)

    @pytest.fixture(scope="class")
    def shared(self):
        torch.set_num_threads(1)
        return self.build()

    @pytest.fixture
    def model(self, shared):
        return copy.deepcopy(shared)

    @staticmethod
    def odd_size(model):
        """A size that is no power of two: odd multiples of the divisor, not square."""
        start = -(-model.min_size // model.size_divisor)
        return (start + 1) * model.size_divisor, (start + 2) * model.size_divisor

    def test_logits_of_one_odd_image_have_its_size(self, model):
        height, width = self.odd_size(model)
        with torch.inference_mode():
            logits = model.eval()(seeded_image(1, height, width))
        assert logits.shape == (1, CLASSES, height, width)
        assert logits.dtype == torch.float32
        assert logits.isfinite().all()

    def test_logits_of_the_smallest_image_have_its_size(self, model):
        with torch.inference_mode():
            logits = model.eval()(seeded_image(1, model.min_size, model.min_size))
        assert logits.shape[-2:] == (model.min_size, model.min_size)

    def test_limits_equal_those_known_without_torch(self, model):
        assert model.size_divisor == size_divisor(self.arch, self.depth, self.options)
        assert model.min_size == min_size(self.arch, self.depth, self.options)
        assert model.min_train_batch == min_train_batch(self.arch)

    def test_wrong_shapes_are_told_with_the_size_to_pad_to(self, model):
        with pytest.raises(ShapeError, match=r"\(B, 3, H, W\), got \(1, 4, 128, 128\)"):
            model(torch.zeros(1, 4, 128, 128))
        step = model.size_divisor
        bad = model.min_size + 1 if step > 1 else model.min_size - 1
        good = -(-max(bad, model.min_size) // step) * step
        with pytest.raises(ShapeError, match=f"pad it to {good}x{good}"):
            model(torch.zeros(1, 3, bad, bad))

    def test_images_of_a_batch_do_not_touch_each_other(self, model):
        model.eval()
        image = seeded_image(2, *self.odd_size(model))
        with torch.inference_mode():
            together, alone = model(image), model(image[1:])
        assert (together[1:] - alone).abs().max() < 1e-3 * alone.std()

    def test_smallest_training_batch_gives_every_trainable_parameter_a_gradient(self, model):
        model.train()
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            side = max(64, model.min_size)
            model(seeded_image(model.min_train_batch, side, side)).square().mean().backward()
        finally:
            torch.use_deterministic_algorithms(deterministic)
        for name, parameter in model.named_parameters():
            assert (parameter.grad is not None) == parameter.requires_grad, name
            assert parameter.grad is None or parameter.grad.isfinite().all(), name

    def test_bfloat16_and_channels_last_stay_near_float32(self, model):
        model.eval()
        image = seeded_image(1, *self.odd_size(model))
        with torch.inference_mode():
            expected = model(image)
            model.to(memory_format=torch.channels_last)
            last = image.contiguous(memory_format=torch.channels_last)
            same = model(last)
            with torch.autocast("cpu", torch.bfloat16):
                low = model(last)
        assert (same - expected).abs().max() < 1e-3 * expected.std()
        error = (low.float() - expected).square().mean().sqrt() / expected.std()
        assert error < self.bfloat16_error

    def test_state_dict_restores_the_same_logits(self, model, tmp_path):
        torch.save(model.state_dict(), tmp_path / "model.pth")
        other = self.build()
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        state = torch.load(tmp_path / "model.pth", weights_only=True)
        other.load_state_dict(state)
        image = seeded_image(1, *self.odd_size(model))
        with torch.inference_mode():
            assert torch.equal(model.eval()(image), other.eval()(image))

    def test_dropout_makes_training_passes_differ_only_if_set(self, model):
        for dropout, one in ((0.0, model), (0.5, self.build(dropout=0.5))):
            set_norms_to_eval(one.train())
            # Some encoders drop whole paths by themselves.
            one.encoder.eval()
            # An untrained decoder gives almost the same value everywhere; spread them.
            image = 10 * seeded_image(2, *self.odd_size(one))
            with torch.no_grad():
                assert torch.equal(one(image), one(image)) == (dropout == 0.0)
                one.eval()
                assert torch.equal(one(image), one(image))

    def test_frozen_encoder_keeps_weights_and_statistics_in_training(self, model):
        model.freeze_encoder()
        model.train()
        assert not model.encoder.training
        assert model.decoder.training
        before = copy.deepcopy(model.encoder.state_dict())
        side = max(64, model.min_size)
        model(seeded_image(2, side, side)).square().mean().backward()
        assert all(p.grad is None for p in model.encoder_parameters())
        assert any(p.grad is not None for p in model.other_parameters())
        for name, value in model.encoder.state_dict().items():
            assert torch.equal(value, before[name]), name
        model.unfreeze_encoder()
        assert model.encoder.training
        frozen = {n for n, p in model.named_parameters() if not p.requires_grad}
        assert frozen == set(model.unused_parameters)

    def test_encoder_and_other_parameters_split_all(self, model):
        inside = [id(p) for p in model.encoder_parameters()]
        outside = [id(p) for p in model.other_parameters()]
        assert inside
        assert outside
        assert sorted(inside + outside) == sorted(id(p) for p in model.parameters())

    def test_normalization_has_one_value_a_channel(self, model):
        assert len(model.mean) == len(model.std) == model.in_channels == 3
        assert all(0 < value < 1 for value in (*model.mean, *model.std))


class ExportContract(ModelContract):
    # A few architectures only: these take seconds each.
    def test_bfloat16_channels_last_training_step_is_finite(self, model):
        model.train().to(memory_format=torch.channels_last)
        side = max(64, model.min_size)
        image = seeded_image(2, side, side).contiguous(memory_format=torch.channels_last)
        with torch.autocast("cpu", torch.bfloat16):
            loss = model(image).float().square().mean()
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients
        assert all(gradient.isfinite().all() for gradient in gradients)

    def test_export_gives_the_same_logits(self, model):
        model.eval()
        image = seeded_image(1, *self.odd_size(model))
        program = torch.export.export(model, (image,))
        with torch.no_grad():
            torch.testing.assert_close(program.module()(image), model(image))


class PairContract(ModelContract):
    def test_single_image_cannot_train_where_two_are_the_minimum(self, model):
        assert model.min_train_batch == 2
        side = max(64, model.min_size)
        with pytest.raises(ValueError, match="more than 1 value per channel"):
            model.train()(seeded_image(1, side, side))


class TestUnet(ExportContract):
    arch = "unet"


@pytest.mark.slow
class TestUnetPlusPlus(ModelContract):
    arch = "unetplusplus"
    options = {"decoder_channels": [64, 48, 32, 16, 16]}  # noqa: RUF012


@pytest.mark.slow
class TestDeepLabV3(PairContract):
    arch = "deeplabv3"
    options = {"decoder_channels": 64}  # noqa: RUF012


class TestDeepLabV3Plus(ExportContract, PairContract):
    arch = "deeplabv3plus"


class TestPSPNet(ModelContract):
    arch = "pspnet"


@pytest.mark.slow
class TestPSPNetDeeper(ModelContract):
    arch = "pspnet"
    depth = 4


@pytest.mark.slow
class TestFPN(ModelContract):
    arch = "fpn"


@pytest.mark.slow
class TestFPNShallower(ModelContract):
    arch = "fpn"
    depth = 4


@pytest.mark.slow
class TestPAN(PairContract):
    arch = "pan"


@pytest.mark.slow
class TestLinknet(ModelContract):
    arch = "linknet"


@pytest.mark.slow
class TestMAnet(ModelContract):
    arch = "manet"
    options = {"decoder_channels": [64, 48, 32, 16, 16]}  # noqa: RUF012


@pytest.mark.slow
class TestUPerNet(PairContract):
    arch = "upernet"
    options = {"decoder_channels": 32}  # noqa: RUF012


class TestSegformer(ExportContract):
    arch = "segformer"
    encoder = "mit_b0"


@pytest.mark.slow
class TestDPT(ModelContract):
    arch = "dpt"
    encoder = "vit_tiny_patch16_224"
    options = {  # noqa: RUF012
        "decoder_fusion_channels": 32,
        "decoder_intermediate_channels": [16, 32, 32, 32],
    }


@pytest.mark.slow
class TestUnetOfSmpEncoder(ModelContract):
    arch = "unet"
    encoder = "mobilenet_v2"
    depth = 4


class TestSegNet(ModelContract):
    arch = "segnet"
    # Rounding moves some maxima to another pixel of their window; see test_segnet.py.
    bfloat16_error = 0.4

    @classmethod
    def build(cls, **arguments):
        torch.manual_seed(0)
        return SegNet(CLASSES, **arguments)


class TestSegNetBasic(ExportContract):
    arch = "segnet_basic"
    bfloat16_error = 0.4

    @classmethod
    def build(cls, **arguments):
        torch.manual_seed(0)
        return SegNetBasic(CLASSES, width=16, **arguments)


def test_every_architecture_is_under_contract():
    contracts = [value for name, value in globals().items() if name.startswith("Test")]
    tested = {contract.arch for contract in contracts}
    assert tested == set(ARCHITECTURES)
