"""Each rule against the library it speaks of, on real calls with real masks."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from types import SimpleNamespace

import kornia
import numpy as np
import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch
from sklearn.metrics import jaccard_score
from torchmetrics.classification import MulticlassJaccardIndex
from torchmetrics.segmentation import DiceScore, MeanIoU

from seglab.core.errors import DataError, ShapeError
from seglab.metrics.confusion import confusion_matrices
from seglab.metrics.explain import DICE, IOU, Convention, advise, explain
from seglab.metrics.scores import class_counts, mean_dice, miou, per_image_score_dict

C = 5
NAMES = [f"class {index}" for index in range(C)]
Masks = tuple[torch.Tensor, torch.Tensor]


def masks(seed: int) -> Masks:
    """Six images; class 3 only predicted, class 4 never, others missing from some images."""
    random = torch.Generator().manual_seed(seed)
    mask = torch.randint(0, 3, (6, 9, 11), generator=random)
    mask[0] = 0
    mask[1][mask[1] == 2] = 1
    pred = torch.where(
        torch.rand(mask.shape, generator=random) < 0.7,
        mask,
        torch.randint(0, 3, mask.shape, generator=random),
    )
    pred[2, 0, :4] = 3
    pred[0, 0, 0] = 2
    return pred, mask


def two_image_case() -> Masks:
    """A 50-pixel object found, a 1-pixel object missed, classes 2.. never present."""
    mask = torch.zeros(2, 10, 10, dtype=torch.int64)
    mask[0, :5] = 1
    mask[1, 0, 0] = 1
    pred = mask.clone()
    pred[1, 0, 0] = 0
    return pred, mask


def counts_of(pair: Masks, num_classes: int = C) -> SimpleNamespace:
    tp, fp, fn = class_counts(confusion_matrices(*pair, num_classes))
    return SimpleNamespace(tp=tp, fp=fp, fn=fn)


def jaccard(average: str) -> Callable[[Masks], float]:
    return lambda pair: float(MulticlassJaccardIndex(C, average=average)(*pair).mean())


def mean_iou(**options: bool) -> Callable[[Masks], float]:
    return lambda pair: float(MeanIoU(C, input_format="index", **options)(*pair).mean())


def dice(**options: str) -> Callable[[Masks], float]:
    return lambda pair: float(DiceScore(C, input_format="index", **options)(*pair))


def by_smp(score: Callable[..., torch.Tensor], reduction: str) -> Callable[[Masks], float]:
    def call(pair: Masks) -> float:
        stats = smp.metrics.get_stats(*pair, mode="multiclass", num_classes=C)
        return float(score(*stats, reduction=reduction))

    return call


def by_sklearn(**options: object) -> Callable[[Masks], float]:
    return lambda pair: float(
        jaccard_score(pair[1].flatten(), pair[0].flatten(), average="macro", **options)
    )


iou_score, f1_score = smp.metrics.iou_score, smp.metrics.f1_score
CALLS: dict[tuple[str, str], Callable[[Masks], float]] = {
    ("torchmetrics", "MulticlassJaccardIndex(average='macro')"): jaccard("macro"),
    ("torchmetrics", "MulticlassJaccardIndex(average='none').mean()"): jaccard("none"),
    ("torchmetrics", "MulticlassJaccardIndex(average='micro')"): jaccard("micro"),
    ("torchmetrics", "MeanIoU()"): mean_iou(),
    ("torchmetrics", "MeanIoU(per_class=True).mean()"): mean_iou(per_class=True),
    ("torchmetrics", "DiceScore()"): dice(),
    ("torchmetrics", "DiceScore(average='micro')"): dice(average="micro"),
    ("torchmetrics", "DiceScore(aggregation_level='global')"): dice(aggregation_level="global"),
    ("SMP", "iou_score(reduction='micro')"): by_smp(iou_score, "micro"),
    ("SMP", "iou_score(reduction='macro')"): by_smp(iou_score, "macro"),
    ("SMP", "iou_score(reduction='micro-imagewise')"): by_smp(iou_score, "micro-imagewise"),
    ("SMP", "iou_score(reduction='macro-imagewise')"): by_smp(iou_score, "macro-imagewise"),
    ("SMP", "f1_score(reduction='macro')"): by_smp(f1_score, "macro"),
    ("SMP", "f1_score(reduction='micro')"): by_smp(f1_score, "micro"),
    ("kornia", "mean_iou().mean()"): lambda pair: float(kornia.metrics.mean_iou(*pair, C).mean()),
    ("scikit-learn", "jaccard_score(average='macro')"): by_sklearn(),
    ("scikit-learn", "jaccard_score(average='macro', labels=range(C))"): by_sklearn(
        labels=range(C), zero_division=0
    ),
    ("seglab", "miou"): lambda pair: miou(confusion_matrices(*pair, C).sum(0)),
    ("seglab", "dice"): lambda pair: mean_dice(confusion_matrices(*pair, C).sum(0)),
    ("seglab", "miou_per_image"): lambda pair: per_image_score_dict(counts_of(pair), "val")[
        "val/miou_per_image"
    ],
    ("seglab", "dice_per_image"): lambda pair: per_image_score_dict(counts_of(pair), "val")[
        "val/dice_per_image"
    ],
}


def find(rows: list[Convention], library: str, name: str) -> Convention:
    found = [row for row in rows if row.library.startswith(library) and row.name == name]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize(("library", "name"), list(CALLS))
def test_number_is_that_of_the_library(library: str, name: str) -> None:
    for pair in (masks(0), masks(1), two_image_case()):
        row = find(explain(counts_of(pair), NAMES), library, name)
        assert row.checked
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert row.score == pytest.approx(CALLS[library, name](pair), abs=1e-5)


def test_only_what_is_checked_here_is_called_checked() -> None:
    rows = explain(counts_of(masks(0)), NAMES)
    checked = {(row.library.split(" ")[0], row.name) for row in rows if row.checked}
    assert checked == set(CALLS)
    assert {row.library for row in rows if not row.checked} == {
        "MONAI (by definition, not run)",
        "mmsegmentation (by definition, not run)",
        "Ultralytics (by definition, not run)",
    }


def test_the_known_toy_case_with_three_classes() -> None:
    rows = explain(counts_of(two_image_case(), 3), ["ground", "thing", "never"])
    expected = {
        ("torchmetrics", "MeanIoU(per_class=True).mean()"): 0.165,
        ("torchmetrics", "MeanIoU()"): 0.748,
        ("kornia", "mean_iou().mean()"): 0.832,
        ("SMP", "iou_score(reduction='macro-imagewise')"): 0.832,
        ("seglab", "miou"): 0.987,
        ("SMP", "iou_score(reduction='micro')"): 0.990,
        ("SMP", "iou_score(reduction='macro')"): 0.991,
    }
    for (library, name), score in expected.items():
        assert find(rows, library, name).score == pytest.approx(score, abs=5e-4), name


def test_rules_by_definition_by_hand() -> None:
    # Image 0: class 0 4 of 5 found, class 1 predicted once but absent. Image 1: class 1 perfect.
    counts = SimpleNamespace(
        tp=np.array([[4, 0, 0], [0, 5, 0]]),
        fp=np.array([[0, 1, 0], [0, 0, 0]]),
        fn=np.array([[1, 0, 0], [0, 0, 0]]),
    )
    rows = explain(counts, ["a", "b", "c"])
    # MONAI leaves the class that is only predicted out of image 0.
    assert find(rows, "MONAI", "MeanIoU()").score == pytest.approx((4 / 5 + 1) / 2)
    assert find(rows, "MONAI", "DiceMetric()").score == pytest.approx((8 / 9 + 1) / 2)
    assert find(rows, "mmsegmentation", "IoUMetric mIoU").score == pytest.approx(
        (4 / 5 + 5 / 6) / 2
    )
    assert find(rows, "mmsegmentation", "IoUMetric mDice").score == pytest.approx(
        (8 / 9 + 10 / 11) / 2
    )
    assert find(rows, "Ultralytics", "SemanticMetrics.miou").score == pytest.approx(
        (4 / 5 + 5 / 6) / 2
    )
    counts.fp[0, 2] = 1  # class c: only predicted, in the whole split
    rows = explain(counts, ["a", "b", "c"])
    assert find(rows, "Ultralytics", "SemanticMetrics.miou").score == pytest.approx(
        (4 / 5 + 5 / 6) / 2
    )
    assert find(rows, "seglab", "miou").score == pytest.approx((4 / 5 + 5 / 6 + 0) / 3)


def test_rows_are_sorted_and_undefined_ones_come_last() -> None:
    scores = [row.score for row in explain(counts_of(masks(0)), NAMES)]
    assert scores == sorted(scores, reverse=True)
    nothing = SimpleNamespace(**{name: np.zeros((2, 3), dtype=int) for name in ("tp", "fp", "fn")})
    rows = explain(nothing, ["a", "b", "c"])
    assert np.isnan(rows[-1].score)
    assert np.isnan(find(rows, "seglab", "miou").score)
    assert {row.kind for row in rows} == {IOU, DICE}


def test_absent_classes_are_named() -> None:
    row = find(explain(counts_of(masks(0)), NAMES), "SMP", "iou_score(reduction='macro')")
    assert row.why.endswith("an absent class is 1 and averaged. Here 1 of 5: class 4.")
    present = SimpleNamespace(**{name: np.ones((1, 2), dtype=int) for name in ("tp", "fp", "fn")})
    row = find(explain(present, ["a", "b"]), "SMP", "iou_score(reduction='macro')")
    assert row.why.endswith("an absent class is 1 and averaged.")


def test_table_of_a_run_is_read() -> None:
    counts = counts_of(masks(0))
    frame = pd.DataFrame(
        {"sample_id": list("abcdef"), **{key: list(value) for key, value in vars(counts).items()}}
    )
    assert explain(frame, NAMES) == explain(counts, NAMES)


def test_advice_names_the_number_for_a_paper() -> None:
    rows = explain(counts_of(two_image_case()), NAMES)
    advice = advise(rows, "test", 2)
    assert advice.startswith("Report test/miou = 0.9869, the mean over classes of one confusion")
    assert "all 2 images without void" in advice


def test_wrong_input_is_explained() -> None:
    with pytest.raises(ShapeError, match="one name for each of 5 classes, got 2"):
        explain(counts_of(masks(0)), ["a", "b"])
    with pytest.raises(DataError, match="expected per-image counts tp, fp and fn"):
        explain(pd.DataFrame({"sample_id": ["a"], "miou": [0.5]}), ["a"])
    with pytest.raises(DataError, match="at least one image"):
        explain(pd.DataFrame({"tp": [], "fp": [], "fn": []}), ["a"])
