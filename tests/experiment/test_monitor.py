"""What decides has a value: said before training, for every fold, by the manifest's own counts."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
from omegaconf import OmegaConf

from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.folds import FoldSettings, make_folds
from seglab.data.manifest import Manifest
from seglab.experiment.prepare.monitor import (
    chosen_by,
    require_defined,
    require_defined_in_folds,
    scored_ids,
)

NAMES = ("road", "car", "sign")
VOID = [0, 0, 0, 9]


def manifest(**pixels: list[list[int]]) -> Manifest:
    """A data set of images with these pixels of road, car, sign, and ignored ones, by split."""
    rows = [
        {
            "sample_id": f"{split}{number}",
            "image": f"{split}{number}.png",
            "mask": f"{split}{number}-mask.png",
            "height": 3,
            "width": 3,
            "split": split,
            "group": f"{split}{number}",
            "annotator": None,
            "tags": [],
            "sha256": None,
            "phash": None,
            "class_pixels": counts,
            "flags": [],
            "keep": True,
        }
        for split, images in pixels.items()
        for number, counts in enumerate(images)
    ]
    return Manifest(pd.DataFrame(rows), LabelSpace(NAMES), Path("/data"), "toy", "index", {})


FULL = [[3, 3, 3, 0]] * 4
NO_SIGN = manifest(train=FULL, val=[[5, 4, 0, 0], [9, 0, 0, 0]])


def monitoring(metric: str, objectives: list[str] | None = None) -> OmegaConf:
    study = {"objectives": [{"metric": one} for one in objectives]} if objectives else None
    return OmegaConf.create({"monitor": {"metric": metric}, "study": study})


def test_score_of_a_class_that_val_lacks_is_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        require_defined(monitoring("val/iou/sign"), NO_SIGN)
    assert caught.value.problems == [
        "monitor.metric: 'val/iou/sign' cannot decide. val has 2 images and no pixel of 'sign': the score "
        "is undefined, or 0 in epochs that predict the class. Set it to val/miou_present or val/iou/road "
        "or val/iou/car, or bring images with 'sign' into val"
    ]
    # Only part of the split is scored, and the part lacks the class.
    with pytest.raises(ConfigError, match="val has 1 images and no pixel of 'car'"):
        require_defined(monitoring("val/dice/car"), NO_SIGN, ["val1"])
    assert not require_defined(monitoring("val/iou/car"), NO_SIGN)[1:]


def test_objectives_of_a_study_decide_too() -> None:
    cfg = monitoring("val/iou/sgn", ["cost/latency_ms", "val/dice/sign"])
    with pytest.raises(ConfigError) as caught:
        require_defined(cfg, NO_SIGN)
    assert [problem.partition(":")[0] for problem in caught.value.problems] == [
        "monitor.metric",
        "study.objectives[1].metric",
    ]
    assert "names no class of the data (did you mean 'sign'?)" in caught.value.problems[0]


def test_split_without_a_labelled_pixel_is_refused() -> None:
    with pytest.raises(DataError, match="val has 1 images and none of their pixels has a class"):
        require_defined(monitoring("val/miou"), manifest(train=FULL, val=[VOID]))
    with pytest.raises(DataError, match="no pixel of the training split has a class"):
        require_defined(monitoring("val/miou"), manifest(train=[VOID], val=FULL))


def test_mean_that_jumps_is_told_and_the_steady_one_named() -> None:
    assert require_defined(monitoring("val/miou"), manifest(train=FULL, val=FULL)) == []
    (warning,) = require_defined(monitoring("val/miou"), NO_SIGN)
    assert warning.startswith("warning: val has no pixel of sign. val/miou decides")
    assert "val/miou_present is over the 2 classes that occur there, always" in warning
    (note,) = require_defined(monitoring("val/miou_present"), NO_SIGN)
    assert note.startswith("val has no pixel of sign: val/miou_present, over the 2 classes")


def test_every_fold_is_asked_before_any_is_trained() -> None:
    images = [[9, 0, 0, 0]] * 3 + [[6, 0, 3, 0]]
    whole = manifest(train=images)
    plan = make_folds(whole, FoldSettings(scheme="kfold", folds=2, seed=0, allow_leaks=True))
    require_defined_in_folds(monitoring("val/miou_present"), plan, whole)
    lacking = [fold.name for fold in plan.folds if "train3" not in fold.val_ids]
    with pytest.raises(
        ConfigError, match=f"fold {lacking[0]}: val has 2 images and no pixel"
    ) as caught:
        require_defined_in_folds(monitoring("val/iou/sign"), plan, whole)
    assert len(caught.value.problems) == len(lacking) == 1
    void = manifest(train=[VOID, VOID, VOID, [9, 0, 0, 0]])
    plan = make_folds(void, FoldSettings(scheme="kfold", folds=2, seed=0, allow_leaks=True))
    with pytest.raises(DataError, match=r"no validation pixel of fold r0-f\d has a class"):
        require_defined_in_folds(monitoring("val/miou_present"), plan, void)


def test_what_chose_and_what_is_reported_are_told_apart() -> None:
    metrics = {
        "val/miou": 0.5,
        "val/miou_present": 0.75,
        "val/loss": 0.1,
        "val/num_classes_averaged": 3,
        "val/num_classes_present": 2,
    }
    said = chosen_by(monitoring("val/miou_present"), metrics)
    assert said.startswith(
        "best weights: chosen by val/miou_present 0.7500; val/miou_present is over the 2"
    )
    assert "val/miou over 3" in said
    assert "val/miou_present, 0.7500 is over" in chosen_by(monitoring("val/loss"), metrics)
    metrics["val/num_classes_averaged"] = 2
    assert chosen_by(monitoring("val/loss"), metrics) == "best weights: chosen by val/loss 0.1000"


def test_only_the_batches_that_are_scored_count() -> None:
    data = SimpleNamespace(
        sample_ids=lambda split: ["a", "b", "c", "d"],
        eval_dataloader=lambda split: SimpleNamespace(batch_sampler=[[0, 2], [3], [1]]),
    )
    assert scored_ids(data, 2) == ["a", "c", "d"]  # type: ignore[arg-type]
    assert scored_ids(data, None) == ["a", "b", "c", "d"]  # type: ignore[arg-type]
