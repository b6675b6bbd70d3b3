"""Quality without labels against labels drawn from the probabilities, and with labels that arrive later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from seglab.bundle.input_statistics import input_statistics, output_statistics
from seglab.bundle.loader import ImageError, load
from seglab.core.errors import DataError, DataNotFoundError
from seglab.monitor.log.schema import table_of
from seglab.monitor.quality.estimate import QualityReference, estimate_quality
from seglab.monitor.quality.labels import folder_labels
from seglab.monitor.quality.measured import Measured, agreement, measured_quality
from seglab.monitor.quality.scores import scores_of
from seglab.monitor.samples import Sample, joined_samples
from tests.bundle.tiny import write_tiny_bundle

K, PIXELS = 3, 900


def scene(count: int, seed: int, sharp: float = 3.0, far: float = 0.0, over: float = 1.0) -> Sample:
    """Return images pixel by pixel: labels are drawn from the probabilities, so these are calibrated.

    Args:
        count: Images.
        seed: Of what is drawn.
        sharp: How sure the probabilities are.
        far: Added to the features.
        over: Probabilities are told to this power: above 1 the model believes itself more than it may.
    """
    rng = np.random.default_rng(seed)
    expected, true = np.zeros((count, K, K)), np.zeros((count, K, K))
    for number in range(count):
        logits = rng.standard_normal((PIXELS, K)) * sharp * rng.uniform(0.5, 1.5)
        chance = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        labels = (chance.cumsum(1) < rng.random((PIXELS, 1))).sum(1)
        given = chance.argmax(1)
        told = chance**over / (chance**over).sum(1, keepdims=True)
        np.add.at(expected[number].T, given, told)
        np.add.at(true[number], (labels, given), 1)
    features = rng.standard_normal((count, 6)) + far
    statistics = {
        "confusion": expected,
        "true_confusion": true,
        "confidence": expected.max(1).sum(1) / PIXELS,
    }
    names = np.array([f"s{number}" for number in range(count)])
    return Sample(statistics, features, names, np.arange(count, dtype=float))


def truth(sample: Sample) -> float:
    return float(scores_of(sample.statistics["true_confusion"].sum(0)).miou)


def test_scores_by_hand() -> None:
    """IoU 2/4, 1/2; the third class is nowhere, and a trace of probability does not bring it back."""
    confusion = np.array([[2.0, 1, 0], [0, 1, 0], [0, 0, 0]])
    found = scores_of(confusion)
    assert found.iou[:2].tolist() == [2 / 3, 1 / 2]
    assert np.isnan(found.iou[2])
    assert found.miou == pytest.approx(7 / 12)
    confusion[2, 0] = 1e-4
    assert np.isnan(scores_of(confusion).iou[2])
    confusion[2, 0] = 1.0
    assert scores_of(confusion).iou[2] == 0.0
    assert np.isnan(scores_of(np.zeros((3, 3))).miou)


@pytest.mark.parametrize("sharp", [1.0, 2.0, 5.0])
def test_calibrated_probabilities_tell_the_quality(sharp: float) -> None:
    """Covariate shift: images are harder or easier than the reference's, labels follow the probabilities."""
    reference = QualityReference.fit(scene(20, 0))
    assert reference is not None
    assert abs(reference.bias) < 0.01
    window = scene(30, 1, sharp=sharp)
    found = estimate_quality(window, reference)
    assert found.miou == pytest.approx(truth(window), abs=0.02)
    assert found.interval.low - 0.01 < truth(window) < found.interval.high + 0.01
    assert (found.iou_low <= found.iou).all()
    assert (found.iou <= found.iou_high).all()
    assert found.assumption.kind == "holds"


def test_what_the_reference_was_off_by_is_corrected() -> None:
    reference = scene(30, 0, over=2.0)
    known = QualityReference.fit(reference)
    assert known is not None
    assert known.bias > 0.05
    window = scene(30, 1, over=2.0)
    raw, found = estimate_quality(window), estimate_quality(window, known)
    assert raw.miou - truth(window) > 0.05
    assert found.miou == pytest.approx(truth(window), abs=0.02)
    assert raw.assumption.kind == "unchecked"


def test_images_outside_of_the_reference_are_flagged() -> None:
    known = QualityReference.fit(scene(30, 0))
    found = estimate_quality(scene(20, 1, far=6.0, over=3.0), known).assumption
    assert (found.ok, found.kind) == (False, "outside")
    assert "times as far from the reference" in found.why
    few = estimate_quality(scene(3, 1), known).assumption
    assert (few.ok, few.kind) == (False, "unchecked")


def test_concept_shift_is_seen_with_labels_only() -> None:
    """The images are the same; two classes have changed places in a third of the pixels."""
    known, window = QualityReference.fit(scene(30, 0)), scene(30, 1)
    expected = estimate_quality(window, known)
    true = window.statistics["true_confusion"]
    assert expected.assumption.ok

    def against(labels: np.ndarray) -> str:
        return agreement(window, labels, expected, known).kind

    assert against(true) == "holds"
    assert against(true * (2 / 3) + true[:, [1, 0, 2]] / 3) == "concept"
    assert against(true * np.eye(K)) == "careful"


def test_images_outside_are_not_taken_for_a_concept() -> None:
    """Half of the images are unlike the reference's, and the model believes itself too much there."""
    known = QualityReference.fit(scene(30, 0))
    window = joined_samples([scene(20, 1), scene(20, 2, far=6.0, over=4.0, sharp=1.0)])
    expected = estimate_quality(window, known)
    assert expected.assumption.kind == "outside"
    assert "50% of them more than 2 times" in expected.assumption.why
    found = agreement(window, window.statistics["true_confusion"], expected, known)
    assert found.kind == "outside"
    assert "50% of them are unlike the reference's" in found.why


@settings(max_examples=6, deadline=None)
@given(st.integers(1, 8), st.integers(0, 1000), st.floats(0.5, 100))
def test_estimates_are_scores(count: int, seed: int, size: float) -> None:
    """Between 0 and 1, inside the interval, the same for images of any size."""
    rng = np.random.default_rng(seed)
    confusions = rng.random((count, K, K)) * rng.integers(0, 2, (K, K))
    confusions[:, 0, 0] += 0.1
    window = Sample({"confusion": confusions}, None, np.full(count, "s"), np.arange(count))
    larger = window._replace(statistics={"confusion": confusions * size})
    found, other = estimate_quality(window), estimate_quality(larger)
    assert 0 <= found.interval.low <= found.interval.high <= 1
    assert found.iou == pytest.approx(other.iou, nan_ok=True)
    assert found.miou == pytest.approx(other.miou)


@pytest.mark.parametrize("lack", ["confusion", "true_confusion"])
def test_older_bundles_are_told(lack: str) -> None:
    older = scene(5, 0)
    del older.statistics[lack]
    assert QualityReference.fit(older) is None
    if lack == "confusion":
        with pytest.raises(DataError, match="an older bundle or log has none"):
            estimate_quality(older)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_bundle(tmp_path_factory.mktemp("bundle") / "b")


def test_labels_are_joined_by_request(bundle: Path, tmp_path: Path) -> None:
    net = load(bundle)
    rng, rows, both = np.random.default_rng(0), [], []
    (tmp_path / "day").mkdir()
    (tmp_path / "labels").mkdir()
    for number in range(14):
        image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8).repeat(4, 0).repeat(4, 1)
        found = net.predict(image)
        stored = f"day/r{number}-1.png" if number < 12 else None
        if stored:
            Image.fromarray(image).save(tmp_path / stored)
        row = {"time": float(number), "request_id": f"r{number}", "image": 1, "bundle": net.id}
        row |= {"variant": "fp32", "status": "ok", "latency": 0.1, "stored": stored}
        rows.append(row | input_statistics(image) | output_statistics(found))
        mask = found.mask.copy()
        mask[:8] = 255
        mask[8:16] = (mask[8:16] + 1) % 3
        both.append((mask[8:], found.mask[8:]))
        Image.fromarray(mask).save(tmp_path / "labels" / f"r{number}-1.png")
    Image.fromarray(mask).save(tmp_path / "labels" / "nobody.png")
    rows[0]["bundle"] = "another"
    labels = folder_labels(tmp_path / "labels")
    before: dict[str, np.ndarray] = {}
    found_quality = measured_quality(table_of(rows), tmp_path, labels, net, before=before)
    assert isinstance(found_quality, Measured)
    measured, expected, times, notes = found_quality
    assert (measured.images, expected.images, times.tolist()) == (11, 11, list(range(1, 12)))
    true, given = (np.stack(one[1:12]) for one in zip(*both, strict=True))
    union = [((true == k) | (given == k)).sum() for k in range(3)]
    expected_iou = [((true == k) & (given == k)).sum() / union[k] for k in range(3)]
    assert measured.iou.tolist() == pytest.approx(expected_iou)
    assert (true == given).mean() == 2 / 3
    assert measured.interval.low <= measured.miou <= measured.interval.high
    assert [note.partition(":")[0] for note in notes] == [
        "1 labels belong to no logged image",
        f"1 labelled images were answered by another bundle than {net.id}.",
        "2 labelled images are not stored",
    ]
    assert len(before) == 11
    (tmp_path / "day" / "r2-1.png").write_bytes(b"no image any more")
    again = measured_quality(table_of(rows), tmp_path, labels, net, before=before)
    assert again is not None
    assert again.measured.miou == measured.miou, "nothing was predicted again"
    with pytest.raises(ImageError):
        measured_quality(table_of(rows), tmp_path, labels, net)
    Image.fromarray(np.full((32, 32), 2, np.uint8)).save(tmp_path / "labels" / "r4-1.png")
    other = measured_quality(table_of(rows), tmp_path, labels, net, before=before)
    assert other is not None
    assert other.measured.miou != measured.miou, "a corrected label counts"
    Image.fromarray(image).save(tmp_path / "day" / "r2-1.png")
    Image.fromarray(mask[:5]).save(tmp_path / "labels" / "r3-1.png")
    with pytest.raises(DataError, match=r"r3-1: expected a mask of \(32, 32\), as the image"):
        measured_quality(table_of(rows), tmp_path, folder_labels(tmp_path / "labels"), net)
    Image.fromarray(np.full((32, 32), 9, np.uint8)).save(tmp_path / "labels" / "r3-1.png")
    with pytest.raises(DataError, match="expected class indices below 3 and 255"):
        measured_quality(table_of(rows), tmp_path, folder_labels(tmp_path / "labels"), net)
    with pytest.raises(DataNotFoundError, match="expected a folder of masks named by request id"):
        folder_labels(tmp_path / "day" / "none")
