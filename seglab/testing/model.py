"""The contract of a model: images in, logits of their size out, alike in every mode training uses."""

from __future__ import annotations

import copy
import io
from collections.abc import Hashable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from seglab.core.errors import ShapeError
from seglab.core.parts.own_parts import OwnPart
from seglab.models import Segmenter
from seglab.models.options import ModelFacts
from seglab.models.wrapped import wrap_model
from seglab.testing.contract import Contract, expect_error, fail


def draw_images(batch: int, height: int, width: int, channels: int = 3) -> Tensor:
    """Return the same normal noise each time, float32 `(B, C, H, W)`."""
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(1))


def relative_error(got: Tensor, expected: Tensor) -> float:
    """Return the root mean square error over the spread of what was expected."""
    return float((got.float() - expected).square().mean().sqrt() / expected.std())


class ModelContract(Contract):
    """What training and inference ask of a model, of ours or a plain module.

    `build` is supplied with `num_classes` and `in_channels`, and returns a `torch.nn.Module` from
    float `(B, in_channels, H, W)` to logits `(B, num_classes, H, W)`; what training wraps around a
    plain one is around it here too.

    Attributes:
        num_classes: Number of classes.
        in_channels: Number of image channels.
        facts: What seglab cannot know of a plain module, as under `model.facts`: `stride`, `min_size`,
            `min_train_batch`, `encoder`, ...
        bfloat16_error: How far logits may be off under autocast, root mean square over their spread:
            bfloat16 keeps 8 bits, and fifty layers add up.
    """

    num_classes = 3
    in_channels = 3
    facts: Mapping[str, Any] = {}
    bfloat16_error = 0.1
    # Which model of this class is under test, where it is several.
    variant: Hashable = None
    _built: ClassVar[dict[tuple[type, Hashable], Segmenter]] = {}

    def make(self) -> Segmenter:
        """Return the model as training uses it, built anew with the same seed."""
        torch.manual_seed(0)
        facts = ModelFacts.read(dict(self.facts), "facts")
        part = OwnPart("model", "model", type(self).__name__, self.build, {})
        size = fitting_size(facts.stride, facts.min_size)
        return wrap_model(part, facts, self.num_classes, self.in_channels, size)

    def model(self) -> Segmenter:
        """Return a copy of the model that a test may change; it is built once for all tests."""
        key = (type(self), self.variant)
        if key not in self._built:
            self._built.clear()
            self._built[key] = self.make()
        return copy.deepcopy(self._built[key])

    def images(self, model: Segmenter, batch: int = 1, side: int | None = None) -> Tensor:
        """Return images of an odd size the model takes, neither square nor a power of two."""
        height, width = fitting_size(model.size_divisor, model.min_size)
        return draw_images(batch, side or height, side or width, self.in_channels)

    def logits_of(self, model: Segmenter, images: Tensor) -> Tensor:
        """Return the logits in evaluation; a failure says for which size."""
        try:
            with torch.inference_mode():
                logits: Tensor = model.eval()(images)
        except Exception as error:
            raise AssertionError(
                f"expected logits of images {tuple(images.shape)}, got {type(error).__name__}: "
                f"{error}; sizes it does not take are stated by facts (stride, min_size)"
            ) from error
        expected = (len(images), self.num_classes, *images.shape[-2:])
        if tuple(logits.shape) != expected:
            fail(f"expected logits {expected}, got {tuple(logits.shape)}")
        return logits

    def test_logits_of_an_odd_image_have_its_size(self) -> None:
        model = self.model()
        logits = self.logits_of(model, self.images(model))
        assert logits.dtype == torch.float32, f"expected float32, got {logits.dtype}"
        assert bool(logits.isfinite().all()), "expected finite logits, got NaN or infinity"
        assert float(logits.std()) > 0, "expected logits that differ, got the same everywhere"

    def test_logits_of_the_smallest_image_have_its_size(self) -> None:
        model = self.model()
        self.logits_of(model, self.images(model, side=smallest_side(model)))

    def test_wrong_shapes_are_told_with_the_size_to_pad_to(self) -> None:
        model = self.model()
        channels = self.in_channels
        shape = (1, channels + 1, 128, 128)
        with expect_error(ShapeError, f"(B, {channels}, H, W), got {shape}"):
            model(torch.zeros(shape))
        step = model.size_divisor
        bad = model.min_size + 1 if step > 1 else model.min_size - 1
        if bad < 1:
            return
        good = -(-max(bad, model.min_size) // step) * step
        with expect_error(ShapeError, f"pad it to {good}x{good}"):
            model(torch.zeros(1, channels, bad, bad))

    def test_evaluation_is_repeatable_and_changes_nothing(self) -> None:
        model = self.model()
        images = self.images(model, side=smallest_side(model))
        before = copy.deepcopy(model.state_dict())
        first, second = self.logits_of(model, images), self.logits_of(model, images)
        assert torch.equal(first, second), "expected the same logits twice in eval mode"
        changed = [
            name for name, value in model.state_dict().items() if (value != before[name]).any()
        ]
        assert not changed, f"expected evaluation to change nothing, got other {', '.join(changed)}"

    def test_images_of_a_batch_do_not_touch_each_other(self) -> None:
        model = self.model()
        images = self.images(model, batch=2)
        together, alone = self.logits_of(model, images), self.logits_of(model, images[1:])
        apart = float((together[1:] - alone).abs().max() / alone.std())
        assert apart < 1e-3, f"expected an image's logits in any batch, got {apart:g} spreads apart"

    def test_smallest_training_batch_gives_every_trainable_parameter_a_gradient(self) -> None:
        model = self.model().train()
        deterministic = torch.are_deterministic_algorithms_enabled()
        torch.use_deterministic_algorithms(True)
        try:
            images = self.images(model, model.min_train_batch, fitting_side(model))
            model(images).square().mean().backward()
        finally:
            torch.use_deterministic_algorithms(deterministic)
        for name, parameter in model.named_parameters():
            wanted, grad = parameter.requires_grad, parameter.grad
            assert (grad is not None) == wanted, (
                f"expected {'a' if wanted else 'no'} gradient of {name}"
            )
            assert grad is None or bool(grad.isfinite().all()), (
                f"expected a finite gradient of {name}, got NaN or infinity"
            )

    def test_bfloat16_and_channels_last_stay_near_float32(self) -> None:
        model = self.model()
        images = self.images(model)
        expected = self.logits_of(model, images)
        model.to(memory_format=torch.channels_last)
        last = images.contiguous(memory_format=torch.channels_last)
        apart = float((self.logits_of(model, last) - expected).abs().max() / expected.std())
        assert apart < 1e-3, f"expected the same in channels last, got {apart:g} spreads apart"
        with torch.autocast("cpu", torch.bfloat16):
            error = relative_error(self.logits_of(model, last), expected)
        assert error < self.bfloat16_error, (
            f"expected an error below {self.bfloat16_error:g} in bfloat16, got {error:g}"
        )

    def test_state_dict_restores_the_same_logits(self) -> None:
        model, other = self.model(), self.make()
        for name, value in other.state_dict().items():
            same = torch.equal(value, model.state_dict()[name])
            assert same, f"expected the same {name} of the same seed; draw from torch's generator"
        file = io.BytesIO()
        torch.save(model.state_dict(), file)
        with torch.no_grad():
            for parameter in other.parameters():
                parameter.zero_()
        file.seek(0)
        other.load_state_dict(torch.load(file, weights_only=True))
        images = self.images(model)
        same = torch.equal(self.logits_of(model, images), self.logits_of(other, images))
        assert same, "expected the same logits from the state dict: something is not saved in it"

    def test_normalization_has_one_value_a_channel(self) -> None:
        model = self.model()
        assert len(model.mean) == len(model.std) == self.in_channels, (
            f"expected {self.in_channels} means and deviations, got {model.mean} and {model.std}"
        )
        assert all(value > 0 for value in model.std), f"expected deviations > 0, got {model.std}"


def fitting_size(divisor: int, least: int) -> tuple[int, int]:
    """Return a size of odd multiples of a divisor: neither square nor a power of two."""
    start = -(-max(least, 32) // divisor)
    return (start + 1) * divisor, (start + 2) * divisor


def smallest_side(model: Segmenter) -> int:
    """Return the edge of the smallest square image that a model takes."""
    return -(-model.min_size // model.size_divisor) * model.size_divisor


def fitting_side(model: Segmenter) -> int:
    """Return the edge of a square image of about 64 pixels that a model takes."""
    return -(-max(64, model.min_size) // model.size_divisor) * model.size_divisor


class ExportContract(ModelContract):
    """A model that can be exported, too; takes some seconds more."""

    def test_bfloat16_channels_last_training_step_is_finite(self) -> None:
        model = self.model().train().to(memory_format=torch.channels_last)
        images = self.images(model, 2, fitting_side(model))
        with torch.autocast("cpu", torch.bfloat16):
            loss = (
                model(images.contiguous(memory_format=torch.channels_last)).float().square().mean()
            )
        loss.backward()
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        assert gradients, "expected gradients, got none"
        finite = all(bool(one.isfinite().all()) for one in gradients)
        assert finite, "expected finite gradients in bfloat16, got NaN or infinity"

    def test_export_gives_the_same_logits(self) -> None:
        model = self.model().eval()
        images = self.images(model)
        program = torch.export.export(model, (images,))
        with torch.no_grad():
            torch.testing.assert_close(program.module()(images), model(images))
