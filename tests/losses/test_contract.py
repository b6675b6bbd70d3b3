"""What every loss promises: one contract, one subclass a loss."""

from __future__ import annotations

import pickle
from collections.abc import Callable

import pytest
import torch

from seglab.core.errors import ConfigError, LabelError, ShapeError
from seglab.losses import (
    BoundaryLoss,
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    JaccardLoss,
    LovaszLoss,
    OhemCrossEntropyLoss,
    SegmentationLoss,
    TverskyLoss,
    WeightedSum,
)

NUM_CLASSES = 4
IGNORE = 255


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def make_batch(
    shape: tuple[int, int, int] = (2, 7, 9), void: float = 0.25, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape[0], NUM_CLASSES, *shape[1:], generator=rng)
    # Class 3 is never a target, as in most batches of most data sets.
    mask = torch.randint(0, NUM_CLASSES - 1, shape, generator=rng)
    mask[torch.rand(shape, generator=rng) < void] = IGNORE
    return logits, mask


def gradient(loss: SegmentationLoss, logits: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    leaf = logits.detach().clone().requires_grad_()
    loss(leaf, mask).backward()
    assert leaf.grad is not None
    return leaf.grad


class LossContract:
    """Subclasses name a loss by `make`; the rest states where it differs."""

    make: Callable[..., SegmentationLoss]
    minimum = 0.0

    def test_scalar_finite_float32(self) -> None:
        value = self.make()(*make_batch())
        assert value.shape == ()
        assert value.dtype == torch.float32
        assert bool(value.isfinite())

    def test_gradient_is_finite_and_zero_at_ignored_pixels(self) -> None:
        logits, mask = make_batch()
        grad = gradient(self.make(), logits, mask)
        assert bool(grad.isfinite().all())
        assert bool((grad.movedim(1, -1)[mask == IGNORE] == 0).all())
        assert float(grad.abs().sum()) > 0
        # The softmax does not see a constant added to all classes of a pixel.
        assert grad.sum(1).abs().max() < 1e-6

    def test_only_ignored_pixels_give_zero_with_gradient(self) -> None:
        logits, mask = make_batch()
        mask = torch.full_like(mask, IGNORE)
        assert float(self.make()(logits, mask)) == 0.0
        assert not gradient(self.make(), logits, mask).any()

    def test_ignored_logits_never_matter(self) -> None:
        logits, mask = make_batch()
        changed = torch.where((mask == IGNORE)[:, None], 50 * torch.randn_like(logits), logits)
        loss = self.make()
        torch.testing.assert_close(loss(changed, mask), loss(logits, mask))
        torch.testing.assert_close(gradient(loss, changed, mask), gradient(loss, logits, mask))

    @pytest.mark.parametrize("dim", [0, 1, 2], ids=["images", "rows", "columns"])
    def test_void_does_not_rescale(self, dim: int) -> None:
        logits, mask = make_batch()
        more_mask = torch.cat((mask, torch.full_like(mask, IGNORE)), dim)
        more_logits = torch.cat((logits, torch.randn_like(logits)), dim if dim == 0 else dim + 1)
        loss = self.make()
        torch.testing.assert_close(loss(more_logits, more_mask), loss(logits, mask))

    def test_class_weights_are_relative(self) -> None:
        logits, mask = make_batch()
        weights = torch.tensor([0.2, 3.0, 1.0, 0.5])
        weighted = self.make(class_weights=weights)(logits, mask)
        torch.testing.assert_close(self.make(class_weights=10 * weights)(logits, mask), weighted)
        equal = self.make(class_weights=[2.0] * NUM_CLASSES)(logits, mask)
        torch.testing.assert_close(equal, self.make()(logits, mask))
        assert not torch.isclose(weighted, equal, rtol=1e-4)

    def test_only_classes_of_weight_zero_give_zero(self) -> None:
        logits, mask = make_batch()
        value = self.make(class_weights=[0.0, 0.0, 0.0, 1.0])(logits, mask)
        assert float(value) == 0.0

    def test_right_is_near_the_minimum_and_below_wrong(self) -> None:
        _, mask = make_batch((1, 8, 8), void=0.1)
        mask[0, :4], mask[0, 4:] = 0, 1
        hot = torch.nn.functional.one_hot(mask, NUM_CLASSES).movedim(-1, 1).float()
        loss = self.make()
        right, unsure, wrong = (float(loss(scale * hot, mask)) for scale in (20, 1, -20))
        assert right < unsure < wrong
        assert right == pytest.approx(self.minimum, abs=1e-5)

    def test_gradient_descent_finds_every_class(self) -> None:
        logits, mask = make_batch((1, 6, 6), void=0.1)
        logits = (0.1 * logits).requires_grad_()
        optimizer = torch.optim.Adam([logits], lr=0.5)
        loss = self.make()
        for _ in range(60):
            optimizer.zero_grad()
            loss(logits, mask).backward()
            optimizer.step()
        valid = mask != IGNORE
        assert torch.equal(logits.argmax(1)[valid], mask[valid])

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_precision_is_widened_first(self, dtype: torch.dtype) -> None:
        logits, mask = make_batch()
        short = logits.to(dtype)
        loss = self.make()
        assert float(loss(short, mask)) == float(loss(short.float(), mask))
        grad = gradient(loss, short, mask)
        assert grad.dtype == dtype
        assert torch.equal(grad, gradient(loss, short.float(), mask).to(dtype))

    def test_autocast_changes_nothing(self) -> None:
        logits, mask = make_batch()
        loss = self.make()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = loss(logits, mask)
        assert float(inside) == float(loss(logits, mask))

    def test_memory_format_and_mask_dtype_change_nothing(self) -> None:
        logits, mask = make_batch()
        loss = self.make()
        last = logits.contiguous(memory_format=torch.channels_last)
        torch.testing.assert_close(loss(last, mask.to(torch.uint8)), loss(logits, mask))
        torch.testing.assert_close(gradient(loss, last, mask), gradient(loss, logits, mask))

    @pytest.mark.parametrize("shape", [(1, 1, 1), (1, 5, 3), (3, 1, 13)])
    def test_odd_sizes(self, shape: tuple[int, int, int]) -> None:
        logits, mask = make_batch(shape, void=0.0)
        assert bool(self.make()(logits, mask).isfinite())
        assert bool(gradient(self.make(), logits, mask).isfinite().all())

    def test_extreme_logits_stay_finite(self) -> None:
        logits, mask = make_batch()
        for scale in (1e4, -1e4):
            assert bool(self.make()(scale * logits, mask).isfinite())
            assert bool(gradient(self.make(), scale * logits, mask).isfinite().all())

    def test_order_of_images_and_classes_is_free(self) -> None:
        logits, mask = make_batch()
        loss = self.make()
        expected = loss(logits, mask)
        torch.testing.assert_close(loss(logits.flip(0), mask.flip(0)), expected)
        order = torch.tensor([2, 0, 3, 1])
        table = torch.arange(256)
        table[order] = torch.arange(NUM_CLASSES)
        torch.testing.assert_close(loss(logits[:, order], table[mask]), expected)

    def test_gradient_in_float64(self) -> None:
        logits, mask = make_batch((1, 3, 4))
        leaf = logits.double().requires_grad_()
        assert torch.autograd.gradcheck(lambda x: self.make()(x, mask), (leaf,))
        weighted = self.make(class_weights=[0.5, 2.0, 1.0, 3.0])
        assert torch.autograd.gradcheck(lambda x: weighted(x, mask), (leaf,))

    def test_value_without_gradient(self) -> None:
        logits, mask = make_batch()
        with torch.inference_mode():
            value = self.make()(logits, mask)
        torch.testing.assert_close(value, self.make()(logits, mask))
        assert not value.requires_grad

    def test_other_ignore_index(self) -> None:
        logits, mask = make_batch()
        other = torch.where(mask == IGNORE, -100, mask)
        value = self.make(ignore_index=-100)(logits, other)
        torch.testing.assert_close(value, self.make()(logits, mask))

    def test_pickles_and_leaves_no_state(self) -> None:
        loss = self.make(class_weights=[1.0, 2.0, 3.0, 4.0])
        assert loss.state_dict() == {}
        copy = pickle.loads(pickle.dumps(loss))  # noqa: S301 (our own bytes)
        assert float(copy(*make_batch())) == float(loss(*make_batch()))

    def test_mistakes_are_named(self) -> None:
        logits, mask = make_batch()
        loss = self.make()
        with pytest.raises(ShapeError, match=r"\(2, 4, 7, 9\) and \(2, 7, 8\)"):
            loss(logits, mask[..., :8])
        with pytest.raises(ShapeError, match="as many masks as logits, got 1 and 2"):
            loss(logits, mask[:1])
        with pytest.raises(ShapeError, match="integer mask"):
            loss(logits, mask.float())
        with pytest.raises(LabelError, match=r"0\.\.3 or ignore_index 255, got .* to 7"):
            loss(logits, torch.where(mask == 1, 7, mask))
        with pytest.raises(LabelError, match=r"ignore_index outside 0\.\.3, got 2"):
            self.make(ignore_index=2)(logits, mask)
        with pytest.raises(ShapeError, match="4 class weights, one a class"):
            self.make(class_weights=[1.0, 2.0])(logits, mask)
        with pytest.raises(ConfigError, match="at least one class weight above 0"):
            self.make(class_weights=[0.0, 0.0])
        with pytest.raises(ConfigError, match="computed from the training fold"):
            self.make(class_weights="enet")


class TestCrossEntropy(LossContract):
    make = CrossEntropyLoss


class TestOhemCrossEntropy(LossContract):
    make = OhemCrossEntropyLoss


class TestFocal(LossContract):
    make = FocalLoss


class TestFocalSlopeBelowOne(LossContract):
    @staticmethod
    def make(**kwargs: object) -> SegmentationLoss:
        return FocalLoss(gamma=0.5, **kwargs)


class TestDice(LossContract):
    make = DiceLoss


class TestDicePerImage(LossContract):
    @staticmethod
    def make(**kwargs: object) -> SegmentationLoss:
        return DiceLoss(per_image=True, smooth=1.0, **kwargs)


class TestJaccard(LossContract):
    make = JaccardLoss


class TestTversky(LossContract):
    make = TverskyLoss


class TestFocalTversky(LossContract):
    @staticmethod
    def make(**kwargs: object) -> SegmentationLoss:
        return TverskyLoss(gamma=1.5, **kwargs)


class TestLovasz(LossContract):
    make = LovaszLoss


class TestLovaszPerImage(LossContract):
    @staticmethod
    def make(**kwargs: object) -> SegmentationLoss:
        return LovaszLoss(per_image=True, **kwargs)


class TestBoundary(LossContract):
    make = BoundaryLoss
    # Two classes of four rows each: -(0 + 1 + 2 + 3) / 4, averaged over the classes.
    minimum = -0.75

    def test_gradient_descent_finds_every_class(self) -> None:
        """Meant as a small part of a sum: alone it must only go the right way."""
        logits, mask = make_batch((1, 6, 6), void=0.1)
        loss = self.make()
        stepped = logits - 0.1 * gradient(loss, logits, mask)
        assert float(loss(stepped, mask)) < float(loss(logits, mask))


class TestWeightedSum(LossContract):
    @staticmethod
    def make(**kwargs: object) -> SegmentationLoss:
        terms = {"ce": CrossEntropyLoss(), "dice": DiceLoss(), "lovasz": LovaszLoss()}
        return WeightedSum(terms, {"ce": 1.0, "dice": 0.5, "lovasz": 0.25}, **kwargs)
