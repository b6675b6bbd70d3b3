"""Calibration: hand-computed bins, torchmetrics as reference, temperatures that are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torchmetrics.classification import BinaryCalibrationError, MulticlassCalibrationError

from seglab.core.errors import DataError, LabelError, ShapeError
from seglab.metrics.confidence.calibration import CalibrationCounts, PixelSample, fit_temperature

C = 4


def batch(seed: int, size: int = 2, scale: float = 2.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits and a target that follows them loosely, a tenth void."""
    random = torch.Generator().manual_seed(seed)
    logits = scale * torch.randn(size, C, 12, 17, generator=random)
    noise = 1.5 * torch.randn(size, C, 12, 17, generator=random)
    mask = (logits + noise).argmax(1)
    mask[torch.rand(mask.shape, generator=random) < 0.1] = 255
    return logits, mask


def flat(logits: torch.Tensor, mask: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    valid = mask != 255
    return logits.movedim(1, -1)[valid], mask[valid]


def pixels(rows: list[list[float]]) -> torch.Tensor:
    return torch.tensor(rows).T[None, :, None]


def test_four_pixels_by_hand() -> None:
    metric = CalibrationCounts(num_classes=2, num_bins=5)
    metric.update(
        pixels([[0.9, 0.1], [0.7, 0.3], [0.3, 0.7], [0.5, 0.5]]), torch.tensor([[[0, 1, 1, 255]]])
    )
    # Top class: 0.9 right in the last bin; 0.7 wrong and 0.7 right in the bin 0.6 .. 0.8.
    assert metric.ece() == pytest.approx((1 * 0.1 + 2 * 0.2) / 3)
    # Class 0: 0.9 true; 0.7 false; 0.3 false. Class 1 mirrors it.
    assert metric.ece_per_class() == pytest.approx([(0.1 + 0.7 + 0.3) / 3] * 2)
    assert metric.classwise_ece() == pytest.approx(1.1 / 3)
    assert metric.brier() == pytest.approx(2 * (0.01 + 0.49 + 0.09) / 3)

    rows = metric.reliability_table(["a", "b"])
    assert [row["class_name"] for row in rows] == ["all"] * 5 + ["a"] * 5 + ["b"] * 5
    assert [row["count"] for row in rows] == [0, 0, 0, 2, 1, 0, 1, 0, 1, 1, 1, 1, 0, 1, 0]
    assert rows[3] == {
        "class_name": "all",
        "bin": 3,
        "low": 0.6,
        "high": 0.8,
        "count": 2,
        "confidence": pytest.approx(0.7),
        "accuracy": 0.5,
    }
    assert np.isnan([rows[0]["confidence"], rows[0]["accuracy"]]).all()
    assert (rows[6]["confidence"], rows[6]["accuracy"]) == (pytest.approx(0.3), 0)


@pytest.mark.parametrize("num_bins", [10, 15])
def test_agrees_with_torchmetrics(num_bins: int) -> None:
    ours = CalibrationCounts(C, num_bins=num_bins, from_logits=True)
    top = MulticlassCalibrationError(C, n_bins=num_bins, norm="l1")
    per_class = [BinaryCalibrationError(n_bins=num_bins, norm="l1") for _ in range(C)]
    squares = []
    for seed in range(3):
        logits, mask = batch(seed)
        ours.update(logits, mask)
        values, targets = flat(logits, mask)
        probs = values.softmax(1)
        top.update(probs, targets)
        for index, metric in enumerate(per_class):
            metric.update(probs[:, index], (targets == index).long())
        squares.append((probs - torch.nn.functional.one_hot(targets, C)).square().sum(1))
    assert ours.ece() == pytest.approx(float(top.compute()), abs=1e-5)
    expected = [float(metric.compute()) for metric in per_class]
    assert ours.ece_per_class() == pytest.approx(expected, abs=1e-5)
    assert ours.classwise_ece() == pytest.approx(np.mean(expected), abs=1e-5)
    assert ours.brier() == pytest.approx(float(torch.cat(squares).mean()), abs=1e-5)


def test_a_probability_of_one_is_in_the_last_bin() -> None:
    """torchmetrics gives it a bin of its own, so errors there cannot cancel."""
    probs, target = pixels([[1.0, 0.0], [0.95, 0.05]]), torch.tensor([[[1, 0]]])
    metric = CalibrationCounts(2, num_bins=10)
    metric.update(probs, target)
    assert metric.reliability_table("ab")[9]["count"] == 2
    assert metric.ece() == pytest.approx(abs(1.95 - 1) / 2)
    reference = MulticlassCalibrationError(2, n_bins=10)
    assert float(reference(probs[0, :, 0].T, target.flatten())) == pytest.approx((1 + 0.05) / 2)


def test_counts_do_not_depend_on_batches_or_order() -> None:
    logits, mask = batch(0, size=6)
    # Softmaxes of other shapes may differ in their last bit; the counts of one must not.
    probs = logits.softmax(1)
    whole, parts = (CalibrationCounts(C) for _ in range(2))
    whole.update(probs, mask)
    for index in (3, 1, 0, 5, 4, 2):
        parts.update(probs[index : index + 1], mask[index : index + 1])
    for one, other in zip(whole.compute(), parts.compute(), strict=True):
        np.testing.assert_array_equal(one, other)
    assert int(whole.compute().pixels[0].sum()) == int((mask != 255).sum())
    assert int(whole.compute().hits[1:].sum()) == int((mask != 255).sum())


def test_states_of_two_processes_add_up() -> None:
    logits, mask = batch(0, size=2)
    probs = logits.softmax(1)
    whole, one, other = (CalibrationCounts(C) for _ in range(3))
    whole.update(probs, mask)
    one.update(probs[:1], mask[:1])
    other.update(probs[1:], mask[1:])
    one.merge_state(other)
    assert one.ece() == whole.ece()
    assert one.brier() == whole.brier()


def test_without_valid_pixels_everything_is_undefined() -> None:
    metric = CalibrationCounts(C)
    metric.update(torch.full((1, C, 2, 2), 0.25), torch.full((1, 2, 2), 255))
    assert np.isnan([metric.ece(), metric.classwise_ece(), metric.brier()]).all()


def test_memory_does_not_grow() -> None:
    metric = CalibrationCounts(C, from_logits=True)
    sizes = []
    for seed in range(3):
        metric.update(*batch(seed))
        sizes.append(sum(state.numel() for state in metric.metric_state.values()))
    assert sizes[0] == sizes[-1] == 3 * (C + 1) * 15 + 2


def test_wrong_input_is_explained() -> None:
    logits, mask = batch(0)
    with pytest.raises(ShapeError, match=r"float scores \(2, 5, 12, 17\)"):
        CalibrationCounts(5).update(logits, mask)
    with pytest.raises(LabelError, match=r"outside 0\.\.3"):
        CalibrationCounts(C, ignore_index=2)
    metric = CalibrationCounts(C)
    metric.update(10 * logits, mask)
    with pytest.raises(LabelError, match="Logits need from_logits=True"):
        metric.compute()
    metric = CalibrationCounts(C, from_logits=True)
    metric.update(logits, torch.where(mask == 255, 9, mask))
    with pytest.raises(LabelError, match=rf"{int((mask == 255).sum())} pixels are unsound"):
        metric.ece()
    metric = CalibrationCounts(C, from_logits=True)
    metric.update(torch.full((1, C, 1, 1), float("nan")), torch.zeros(1, 1, 1, dtype=torch.int64))
    with pytest.raises(LabelError, match="1 pixels are unsound"):
        metric.ece()
    with pytest.raises(ShapeError, match="expected 4 class names, got 2"):
        CalibrationCounts(C).reliability_table(["a", "b"])


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_temperature_of_a_model_with_a_known_one(temperature: float) -> None:
    random = torch.Generator().manual_seed(0)
    honest = 2 * torch.randn(40_000, C, generator=random)
    targets = torch.multinomial(honest.softmax(1), 1, generator=random)[:, 0]
    assert fit_temperature(honest * temperature, targets) == pytest.approx(temperature, rel=0.03)


def test_temperature_is_the_optimum_that_another_optimiser_finds() -> None:
    values, targets = flat(*batch(1, size=4, scale=6))

    def loss(point: np.ndarray) -> float:
        return float(torch.nn.functional.cross_entropy(values.double() / point[0], targets))

    found = minimize(loss, x0=[1.0], bounds=[(0.05, 20)], method="L-BFGS-B").x[0]
    assert fit_temperature(values, targets) == pytest.approx(found, rel=1e-3)


def test_temperature_mends_an_over_confident_model() -> None:
    random = torch.Generator().manual_seed(2)
    honest = 2 * torch.randn(1, C, 60, 80, generator=random)
    probs = honest.softmax(1).movedim(1, -1).reshape(-1, C)
    mask = torch.multinomial(probs, 1, generator=random).reshape(1, 60, 80)
    before, after = (CalibrationCounts(C, from_logits=True) for _ in range(2))
    before.update(3 * honest, mask)
    after.update(3 * honest / fit_temperature(*flat(3 * honest, mask)), mask)
    assert before.ece() > 0.1
    assert after.ece() < 0.02


def test_temperature_of_a_perfect_model_is_the_least_allowed() -> None:
    logits = torch.eye(C).repeat(5, 1)
    assert fit_temperature(logits, logits.argmax(1)) == pytest.approx(0.05, rel=0.01)
    with pytest.raises(ShapeError, match="at least one pixel"):
        fit_temperature(torch.zeros(0, C), torch.zeros(0, dtype=torch.int64))


def test_sample_takes_valid_pixels_with_their_logits() -> None:
    logits, mask = batch(0)
    sample = PixelSample(pixels_per_image=50)
    sample.add(logits, mask, ["a", "b"])
    values, targets = sample.pixels()
    assert values.shape == (100, C)
    assert int(targets.max()) < C
    known = {
        tuple(row): int(target)
        for row, target in zip(*map(torch.Tensor.tolist, flat(logits, mask)), strict=True)
    }
    assert all(
        known[tuple(row)] == target
        for row, target in zip(values.tolist(), targets.tolist(), strict=True)
    )


def test_sample_depends_on_seed_and_names_only() -> None:
    logits, mask = batch(0, size=3)

    def drawn(order: list[int], seed: int = 0, max_pixels: int = 60) -> list[list[float]]:
        sample = PixelSample(pixels_per_image=40, max_pixels=max_pixels, seed=seed)
        for index in order:
            sample.add(logits[index : index + 1], mask[index : index + 1], [f"image {index}"])
        return sample.pixels()[0].tolist()

    assert drawn([0, 1, 2]) == drawn([2, 0, 1])
    assert len(drawn([0, 1, 2])) == 60
    assert drawn([0, 1, 2]) != drawn([0, 1, 2], seed=1)


def test_sample_stays_bounded() -> None:
    logits, mask = batch(0, size=1)
    sample = PixelSample(pixels_per_image=40, max_pixels=50)
    for index in range(20):
        sample.add(logits, mask, [str(index)])
        assert sum(len(part[0]) for part in sample._parts) <= 100 + 40
    assert sample.pixels()[1].shape == (50,)


def test_sample_of_void_images_is_refused_only_in_the_end() -> None:
    logits, _ = batch(0)
    sample = PixelSample()
    sample.add(logits, torch.full((2, 12, 17), 255), ["a", "b"])
    with pytest.raises(DataError, match="no labelled pixel"):
        sample.pixels()
    with pytest.raises(ShapeError, match="of the same size"):
        sample.add(logits, torch.zeros(2, 6, 6), ["a", "b"])
