"""The worst cases of a split, with what went wrong in each, as pictures and a table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
import pandas as pd

from seglab.analysis.overlays import colour_mask, fit_image
from seglab.core.disk.files import atomic_path
from seglab.core.labels import LabelSpace
from seglab.data.manifest import Manifest
from seglab.engine.loop.samples import spread_evenly
from seglab.engine.loop.scorer import Scorer
from seglab.engine.step.prediction_files import write_png
from seglab.metrics.shape.errors import ErrorBreakdown, classify_errors
from seglab.runs import SamplePrediction

TABLE = "gallery.parquet"
FOLDER = "gallery"
FILLER = "low score"
# Whatever the model: so that two runs always share some cases.
_FIXED = 4
_PER_CLASS = 2
_PER_SLICE = 2
# Fewer pixels of a class say nothing about it.
_MIN_PIXELS = 50


def write_gallery(
    run_dir: Path, scorer: Scorer, per_image: pd.DataFrame, manifest: Manifest, limit: int
) -> pd.DataFrame:
    """Choose, predict and write the cases; return their table.

    Chosen are a few images that are the same for every model, the worst images, and the worst of
    each class and of each slice (tag, group), until there are `limit` different images.

    Args:
        run_dir: Of the evaluation; gets `gallery.parquet` and `gallery/*.png`.
        scorer: Of the scored weights and data.
        per_image: Counts and scores per image.
        manifest: Tags and groups.
        limit: Different images at most; a case is an image and the reason it is shown for.

    Returns:
        One row a case: case_id, sample_id, reason, rank (1 is the worst), score, error_type,
        detail, class_name, and the files image, truth, prediction, confidence relative to the run.
    """
    labels = scorer.labels
    cases, chosen = _within(list(_choose(per_image, manifest, labels)), limit)
    rows: list[dict[str, Any]] = []
    for sample in scorer.predict(chosen):
        files = _write_pictures(run_dir, sample, labels)
        own = [case for case in cases if case["sample_id"] == sample.sample_id]
        rows += [{**case, **_explain(sample, labels, case["class_name"]), **files} for case in own]
    order = {str(case["case_id"]): place for place, case in enumerate(cases)}
    rows.sort(key=lambda row: order[str(row["case_id"])])
    table = pd.DataFrame(rows)
    with atomic_path(run_dir / TABLE) as temporary:
        table.to_parquet(temporary, index=False)
    return table


def _within(cases: list[dict[str, Any]], limit: int) -> tuple[list[dict[str, Any]], list[str]]:
    """Return the cases of the first `limit` different images, and those images."""
    kept: list[dict[str, Any]] = []
    chosen: dict[str, None] = {}
    for case in cases:
        known = case["sample_id"] in chosen
        # What only fills up adds nothing about an image that is shown already.
        if (known and case["reason"] == FILLER) or (not known and len(chosen) >= limit):
            continue
        chosen[case["sample_id"]] = None
        kept.append(case)
    return kept, list(chosen)


def _choose(
    per_image: pd.DataFrame, manifest: Manifest, labels: LabelSpace
) -> Iterator[dict[str, Any]]:
    ids = sorted(per_image["sample_id"])
    score = per_image.set_index("sample_id")["miou"]
    ranked = per_image.dropna(subset="miou").sort_values("miou", kind="stable")
    for rank, sample_id in enumerate(spread_evenly(ids, _FIXED), start=1):
        yield _case(sample_id, "fixed", rank, score[sample_id])
    worst = list(zip(ranked["sample_id"], ranked["miou"], strict=True))
    for rank, (sample_id, miou) in enumerate(worst[:_FIXED], start=1):
        yield _case(sample_id, "worst image", rank, miou)
    tp, fp, fn = (np.array(per_image[name].tolist(), dtype=np.int64) for name in ("tp", "fp", "fn"))
    union = tp + fp + fn
    for index, name in enumerate(labels.class_names):
        iou = np.divide(
            tp[:, index],
            union[:, index],
            out=np.full(len(tp), np.nan),
            where=(tp + fn)[:, index] >= _MIN_PIXELS,
        )
        order = [place for place in np.argsort(iou, kind="stable") if np.isfinite(iou[place])]
        for rank, place in enumerate(order[:_PER_CLASS], start=1):
            sample_id = per_image["sample_id"].iloc[place]
            yield _case(sample_id, f"worst of class {name}", rank, iou[place], name)
    yield from _worst_of_slices(ranked, manifest)
    for rank, (sample_id, miou) in enumerate(worst[_FIXED:], start=_FIXED + 1):
        yield _case(sample_id, FILLER, rank, miou)


def _worst_of_slices(ranked: pd.DataFrame, manifest: Manifest) -> Iterator[dict[str, Any]]:
    ids = ranked["sample_id"].tolist()
    tags_of = manifest.table.set_index("sample_id").loc[ids, "tags"]
    groups = manifest.groups_of(ids)
    slices: dict[str, list[int]] = {}
    for place, tags in enumerate(tags_of):
        own = [f"tag {tag}" for tag in (tags if tags is not None else [])]
        for name in [*own, *([f"group {groups[place]}"] if groups is not None else [])]:
            slices.setdefault(name, []).append(place)
    for name, places in sorted(slices.items()):
        for rank, place in enumerate(places[:_PER_SLICE], start=1):
            row = ranked.iloc[place]
            yield _case(row["sample_id"], f"worst of {name}", rank, row["miou"])


def _case(
    sample_id: str, reason: str, rank: int, score: float, class_name: str | None = None
) -> dict[str, Any]:
    return {
        "case_id": f"{sample_id}: {reason}",
        "sample_id": sample_id,
        "reason": reason,
        "rank": rank,
        "score": float(score),
        "class_name": class_name,
    }


def _explain(
    sample: SamplePrediction, labels: LabelSpace, class_name: str | None
) -> dict[str, str | None]:
    """Return what went wrong in an image, or with one class in it."""
    only = labels.class_names.index(class_name) if class_name else None
    masks = sample.prediction.astype(np.int64), sample.mask.astype(np.int64)
    errors = classify_errors(*masks, labels.ignore_index, only)
    return {"error_type": errors.main_kind, "detail": _describe(errors, labels)}


def _write_pictures(run_dir: Path, sample: SamplePrediction, labels: LabelSpace) -> dict[str, str]:
    confidence = sample.confidence if sample.confidence is not None else np.zeros(sample.mask.shape)
    pictures = {
        "image": fit_image(sample.image, sample.mask.shape),
        "truth": colour_mask(sample.mask, labels),
        "prediction": colour_mask(sample.prediction, labels),
        "confidence": np.round(confidence * 255).astype(np.uint8),
    }
    names = {}
    for kind, picture in pictures.items():
        names[kind] = f"{FOLDER}/{quote(sample.sample_id, safe='')}.{kind}.png"
        write_png(run_dir / names[kind], picture)
    return names


def _describe(errors: ErrorBreakdown, labels: LabelSpace) -> str:
    if errors.main_kind is None:
        return "nothing wrong"
    target, predicted = (labels.class_names[index] for index in errors.pairs[errors.main_kind])
    words = {
        "boundary": f"boundary of {target} and {predicted}",
        "missed": f"{target} missed, taken for {predicted}",
        "hallucination": f"{predicted} invented on {target}",
        "confusion": f"{target} taken for {predicted}",
    }
    share = errors.pixels[errors.main_kind] / max(1, errors.wrong)
    wrong = errors.wrong / max(1, errors.valid)
    return f"{words[errors.main_kind]} ({share:.0%} of the {wrong:.1%} that is wrong)"
