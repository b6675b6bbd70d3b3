"""Every registered architecture keeps the contract that users' models are held to, and what ours promise."""

import copy
from pathlib import Path

import pytest
import torch
import yaml
from torch import nn

from seglab.core.architectures import ARCHITECTURES, min_size, min_train_batch, size_divisor
from seglab.core.parts.components import load_component
from seglab.testing import ExportContract, ModelContract
from seglab.testing.model import draw_images, fitting_side

CONF = Path(__file__).resolve().parents[2] / "conf" / "model"

LIGHT = {
    "encoder_name": "mobilenetv3_small_100",
    "encoder_weights": None,
    "dropout": 0.0,
    "freeze_encoder": False,
}
# Options that make a model smaller, or that it cannot do without; the rest is as its YAML has it.
OPTIONS = {
    "unetplusplus": {"options": {"decoder_channels": [64, 48, 32, 16, 16]}},
    "deeplabv3": {"options": {"decoder_channels": 64}},
    "manet": {"options": {"decoder_channels": [64, 48, 32, 16, 16]}},
    "upernet": {"options": {"decoder_channels": 32}},
    "segformer": {"encoder_name": "mit_b0"},
    "dpt": {
        "encoder_name": "vit_tiny_patch16_224",
        "options": {
            "decoder_fusion_channels": 32,
            "decoder_intermediate_channels": [16, 32, 32, 32],
        },
    },
    "segnet_basic": {"width": 16},
}
# Beside each architecture as its YAML has it.
VARIANTS = [
    ("pspnet", {"encoder_depth": 4}),
    ("fpn", {"encoder_depth": 4}),
    ("unet", {"encoder_name": "mobilenet_v2", "encoder_depth": 4}),
]
# Rounding moves some maxima to another pixel of their window; see test_segnet.py.
BFLOAT16_ERROR = {"segnet": 0.4, "segnet_basic": 0.4}
# These stand for the others where only the fast tests run. Export takes seconds each, too.
FAST = ("pspnet", "segnet")
EXPORTED = ("unet", "segnet_basic")


def read_options(arch):
    file = CONF / f"{arch}.yaml"
    assert file.is_file(), f"architecture '{arch}' has no configuration: add conf/model/{arch}.yaml"
    return yaml.safe_load(file.read_text(encoding="utf-8"))


def cases(archs, variants=()):
    chosen = [(arch, {}) for arch in archs] + list(variants)
    return [
        pytest.param(
            (arch, options),
            id="-".join([arch, *map(str, options.values())]),
            marks=() if arch in (*FAST, *EXPORTED) and not options else pytest.mark.slow,
        )
        for arch, options in chosen
    ]


class OurModelContract(ModelContract):
    """What ours promise beside; a subclass says by `params` of `_case` which they are."""

    def choose(self, case):
        torch.set_num_threads(1)
        self.arch, self.changes = case
        self.variant = str(case)
        self.bfloat16_error = BFLOAT16_ERROR.get(self.arch, ModelContract.bfloat16_error)

    def build(self, num_classes, in_channels, **changes):
        options = read_options(self.arch)
        given = LIGHT | OPTIONS.get(self.arch, {}) | self.changes
        # What only some of them take.
        options |= {key: value for key, value in given.items() if key in options} | changes
        built = load_component("model", options.pop("_target_"))
        return built(num_classes, **options | {"in_channels": in_channels})

    def test_limits_equal_those_known_without_torch(self):
        model, options = self.model(), read_options(self.arch)
        depth = self.changes.get("encoder_depth", options.get("encoder_depth"))
        assert model.arch == self.arch
        assert model.size_divisor == size_divisor(self.arch, depth, options.get("options"))
        assert model.min_size == min_size(self.arch, depth, options.get("options"))
        assert model.min_train_batch == min_train_batch(self.arch)

    def test_single_image_cannot_train_where_two_are_the_minimum(self):
        model = self.model()
        if model.min_train_batch == 2:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                model.train()(self.images(model, 1, fitting_side(model)))

    def test_dropout_makes_training_passes_differ_only_if_set(self):
        torch.manual_seed(0)
        dropped = self.build(self.num_classes, self.in_channels, dropout=0.5)
        for dropout, model in ((0.0, self.model()), (0.5, dropped)):
            set_norms_to_eval(model.train())
            # Some encoders drop whole paths by themselves.
            model.encoder.eval()
            # An untrained decoder gives almost the same value everywhere; spread them.
            image = 10 * self.images(model, 2)
            with torch.no_grad():
                assert torch.equal(model(image), model(image)) == (dropout == 0.0)
                model.eval()
                assert torch.equal(model(image), model(image))

    def test_frozen_encoder_keeps_weights_and_statistics_in_training(self):
        model = self.model()
        model.freeze_encoder()
        model.train()
        assert not model.encoder.training
        assert model.decoder.training
        before = copy.deepcopy(model.encoder.state_dict())
        side = fitting_side(model)
        model(draw_images(2, side, side)).square().mean().backward()
        assert all(p.grad is None for p in model.encoder.parameters())
        assert any(p.grad is not None for p in model.parameters())
        for name, value in model.encoder.state_dict().items():
            assert torch.equal(value, before[name]), name


def set_norms_to_eval(model):
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.eval()


class TestModels(OurModelContract):
    @pytest.fixture(
        autouse=True,
        scope="class",
        params=cases([one for one in ARCHITECTURES if one not in EXPORTED], VARIANTS),
    )
    def case(self, request):
        return request.param

    @pytest.fixture(autouse=True)
    def _chosen(self, case):
        self.choose(case)


class TestExportedModels(OurModelContract, ExportContract):
    @pytest.fixture(autouse=True, scope="class", params=cases(EXPORTED))
    def case(self, request):
        return request.param

    @pytest.fixture(autouse=True)
    def _chosen(self, case):
        self.choose(case)
