"""The contract of a loss: `loss(logits, mask)` is a scalar that void pixels never move."""

from __future__ import annotations

import pickle
from typing import Any

import torch
from torch import Tensor

from seglab.core.errors import LabelError, ShapeError
from seglab.losses import SegmentationLoss
from seglab.losses.loss_inputs import count_targets, safe_divide
from seglab.losses.wrapped import WrappedLoss
from seglab.testing.contract import Contract, assert_close, expect_error

NUM_CLASSES = 4
IGNORE = 255


def draw_batch(
    shape: tuple[int, int, int] = (2, 7, 9), void: float = 0.25, seed: int = 0
) -> tuple[Tensor, Tensor]:
    """Return logits float32 `(B, 4, H, W)` and a mask int64 `(B, H, W)` with some 255.

    The last class is never a target, as in most batches of most data sets.
    """
    rng = torch.Generator().manual_seed(seed)
    logits = 2 * torch.randn(shape[0], NUM_CLASSES, *shape[1:], generator=rng)
    mask = torch.randint(0, NUM_CLASSES - 1, shape, generator=rng)
    mask[torch.rand(shape, generator=rng) < void] = IGNORE
    return logits, mask


def gradient(loss: SegmentationLoss, logits: Tensor, mask: Tensor) -> Tensor:
    """Return the gradient of the loss with respect to the logits, of their shape and dtype."""
    leaf = logits.detach().clone().requires_grad_()
    loss(leaf, mask).backward()
    assert leaf.grad is not None, "expected a gradient of the logits, got none"
    return leaf.grad


class LossContract(Contract):
    """What training asks of a loss, of ours or a plain callable.

    `build` is supplied with `ignore_index` (an int), `class_weights` (float `(C,)` or None) and
    `num_classes`, and returns the loss; what training wraps around a plain one is around it here too.

    Attributes:
        minimum: Its value where every pixel is surely right; None: not known.
    """

    minimum: float | None = None

    def make(self, **supplied: Any) -> SegmentationLoss:
        """Return the loss as training uses it."""
        given = {"class_weights": None, "num_classes": NUM_CLASSES, **supplied}
        ignore_index = given.setdefault("ignore_index", IGNORE)
        loss = self.build_with(**given)
        if isinstance(loss, SegmentationLoss):
            return loss
        return WrappedLoss(loss, type(self).__name__, ignore_index)

    def test_is_a_finite_scalar(self) -> None:
        value = self.make()(*draw_batch())
        assert value.shape == (), f"expected a scalar, got shape {tuple(value.shape)}"
        assert value.dtype == torch.float32, f"expected float32, got {value.dtype}"
        assert bool(value.isfinite()), f"expected a finite value, got {value.item()}"

    def test_gradient_is_finite_and_zero_at_ignored_pixels(self) -> None:
        logits, mask = draw_batch()
        grad = gradient(self.make(), logits, mask)
        assert bool(grad.isfinite().all()), "expected a finite gradient, got NaN or infinity"
        void = grad.movedim(1, -1)[mask == IGNORE].abs().max()
        assert float(void) == 0, f"expected no gradient at ignored pixels, got up to {void:g}"
        assert float(grad.abs().sum()) > 0, "expected a gradient at valid pixels, got zeros"

    def test_only_ignored_pixels_give_zero_with_gradient(self) -> None:
        logits, mask = draw_batch()
        mask = torch.full_like(mask, IGNORE)
        value = float(self.make()(logits, mask))
        assert value == 0.0, f"expected 0 without valid pixels, got {value}"
        grad = gradient(self.make(), logits, mask)
        assert not grad.any(), f"expected a gradient of zeros, got up to {grad.abs().max():g}"

    def test_ignored_logits_never_matter(self) -> None:
        logits, mask = draw_batch()
        changed = torch.where((mask == IGNORE)[:, None], 50 * torch.randn_like(logits), logits)
        loss = self.make()
        what = "with other logits at ignored pixels"
        assert_close(loss(changed, mask), loss(logits, mask), what)
        assert_close(gradient(loss, changed, mask), gradient(loss, logits, mask), what)

    def test_void_does_not_rescale(self) -> None:
        logits, mask = draw_batch()
        loss = self.make()
        expected = loss(logits, mask)
        for dim, name in enumerate(("images", "rows", "columns")):
            more_mask = torch.cat((mask, torch.full_like(mask, IGNORE)), dim)
            place = dim if dim == 0 else dim + 1
            more_logits = torch.cat((logits, torch.randn_like(logits)), place)
            assert_close(loss(more_logits, more_mask), expected, f"with more {name} of void")

    def test_class_weights_are_relative(self) -> None:
        self.skip_unless_taken("class_weights")
        logits, mask = draw_batch()
        weights = torch.tensor([0.2, 3.0, 1.0, 0.5])
        weighted = self.make(class_weights=weights)(logits, mask)
        ten_times = self.make(class_weights=10 * weights)(logits, mask)
        assert_close(ten_times, weighted, "with ten times the class weights")
        equal = self.make(class_weights=torch.full((NUM_CLASSES,), 2.0))(logits, mask)
        assert_close(equal, self.make()(logits, mask), "with equal class weights")
        assert not torch.isclose(weighted, equal, rtol=1e-4), (
            f"expected class weights to change the loss, got {weighted:g} with and without"
        )

    def test_only_classes_of_weight_zero_give_zero(self) -> None:
        self.skip_unless_taken("class_weights")
        value = float(self.make(class_weights=torch.tensor([0.0, 0.0, 0.0, 1.0]))(*draw_batch()))
        assert value == 0.0, f"expected 0 where all targets have weight 0, got {value}"

    def test_right_is_below_wrong(self) -> None:
        _, mask = draw_batch((1, 8, 8), void=0.1)
        mask[0, :4], mask[0, 4:] = 0, 1
        hot = torch.nn.functional.one_hot(mask, NUM_CLASSES).movedim(-1, 1).float()
        loss = self.make()
        right, unsure, wrong = (float(loss(scale * hot, mask)) for scale in (20, 1, -20))
        assert right < unsure < wrong, (
            f"expected right < unsure < wrong, got {right:g}, {unsure:g}, {wrong:g}"
        )
        if self.minimum is not None:
            assert abs(right - self.minimum) < 1e-5, f"expected {self.minimum:g}, got {right:g}"

    def test_step_against_the_gradient_lowers_it(self) -> None:
        logits, mask = draw_batch((1, 6, 6), void=0.1)
        loss = self.make()
        grad = gradient(loss, logits, mask)
        before = float(loss(logits, mask))
        after = float(loss(logits - 0.02 * grad / grad.abs().max(), mask))
        assert after < before, f"expected less than {before:g} after a step, got {after:g}"

    def test_half_precision_is_widened_first(self) -> None:
        logits, mask = draw_batch()
        loss = self.make()
        for dtype in (torch.bfloat16, torch.float16):
            short = logits.to(dtype)
            got, expected = float(loss(short, mask)), float(loss(short.float(), mask))
            assert got == expected, f"expected {expected} of {dtype} as of float32, got {got}"
            grad = gradient(loss, short, mask)
            assert grad.dtype == dtype, f"expected a gradient of {dtype}, got {grad.dtype}"
            same = torch.equal(grad, gradient(loss, short.float(), mask).to(dtype))
            assert same, f"expected the gradient of float32, rounded to {dtype}"

    def test_autocast_changes_nothing(self) -> None:
        logits, mask = draw_batch()
        loss = self.make()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            inside = float(loss(logits, mask))
        outside = float(loss(logits, mask))
        assert inside == outside, f"expected {outside} under autocast too, got {inside}"

    def test_memory_format_and_mask_dtype_change_nothing(self) -> None:
        logits, mask = draw_batch()
        loss = self.make()
        last = logits.contiguous(memory_format=torch.channels_last)
        what = "with channels last and a uint8 mask"
        assert_close(loss(last, mask.to(torch.uint8)), loss(logits, mask), what)
        assert_close(gradient(loss, last, mask), gradient(loss, logits, mask), what)

    def test_odd_sizes(self) -> None:
        for shape in ((1, 1, 1), (1, 5, 3), (3, 1, 13)):
            logits, mask = draw_batch(shape, void=0.0)
            value = self.make()(logits, mask)
            assert bool(value.isfinite()), f"expected a finite value for {shape}, got {value}"
            finite = bool(gradient(self.make(), logits, mask).isfinite().all())
            assert finite, f"expected a finite gradient for (B, H, W) = {shape}"

    def test_extreme_logits_stay_finite(self) -> None:
        logits, mask = draw_batch()
        for scale in (1e4, -1e4):
            value = self.make()(scale * logits, mask)
            assert bool(value.isfinite()), f"expected finite at logits of {scale:g}, got {value}"
            finite = bool(gradient(self.make(), scale * logits, mask).isfinite().all())
            assert finite, f"expected a finite gradient at logits of {scale:g}"

    def test_order_of_images_is_free(self) -> None:
        logits, mask = draw_batch()
        loss = self.make()
        assert_close(loss(logits.flip(0), mask.flip(0)), loss(logits, mask), "images reversed")

    def test_gradient_is_that_of_the_value(self) -> None:
        logits, mask = draw_batch((1, 3, 4))
        leaf = logits.double().requires_grad_()
        loss = self.make()
        assert torch.autograd.gradcheck(lambda x: loss(x, mask), (leaf,))
        if self.takes("class_weights"):
            weighted = self.make(class_weights=torch.tensor([0.5, 2.0, 1.0, 3.0]))
            assert torch.autograd.gradcheck(lambda x: weighted(x, mask), (leaf,))

    def test_value_without_gradient(self) -> None:
        logits, mask = draw_batch()
        with torch.inference_mode():
            value = self.make()(logits, mask)
        assert_close(value, self.make()(logits, mask), "in inference mode")
        assert not value.requires_grad, "expected no graph in inference mode"

    def test_other_ignore_index(self) -> None:
        self.skip_unless_taken("ignore_index")
        logits, mask = draw_batch()
        other = torch.where(mask == IGNORE, -100, mask)
        value = self.make(ignore_index=-100)(logits, other)
        assert_close(value, self.make()(logits, mask), "with ignore_index=-100")

    def test_pickles(self) -> None:
        loss = self.make()
        copy = pickle.loads(pickle.dumps(loss))  # noqa: S301 (our own bytes)
        assert_close(copy(*draw_batch()), loss(*draw_batch()), "after pickling")

    def test_batch_in_parts_is_the_batch_where_it_says_so(self) -> None:
        loss = self.make()
        if not loss.is_mean_over_images:
            return
        logits, mask = draw_batch((3, 7, 9))
        mask[1, 2:] = IGNORE
        weights = loss.image_weights(count_targets(mask, NUM_CLASSES, IGNORE).float())
        shares = safe_divide(weights, weights.sum())
        parts = [loss(logits[i : i + 1], mask[i : i + 1]) * shares[i] for i in range(3)]
        what = "is_mean_over_images: the mean of single images by their image_weights"
        assert_close(torch.stack(parts).sum(), loss(logits, mask), what)

    def test_mistakes_are_named(self) -> None:
        logits, mask = draw_batch()
        loss = self.make()
        with expect_error(ShapeError, "(2, 4, 7, 9) and (2, 7, 8)"):
            loss(logits, mask[..., :8])
        with expect_error(ShapeError, "integer mask"):
            loss(logits, mask.float())
        with expect_error(LabelError, "0..3 or ignore_index 255"):
            loss(logits, torch.where(mask == 1, 7, mask))
