"""What should be known about folds before they are trained, though no scheme forbids it.

Scores look better than they are where the two sides of a fold look alike, and say nothing of a
class that is not there.
"""

from __future__ import annotations

import numpy as np

from seglab.core.text.wording import joined
from seglab.data.folds.groups import column_groups, pooled_rows
from seglab.data.folds.leaks import (
    Sides,
    count_alike,
    cut_values,
    enumerate_words,
    find_leaks,
    read_sides,
)
from seglab.data.folds.plan import FoldPlan
from seglab.data.manifest import Manifest

_LISTED = 8


def fold_warnings(plan: FoldPlan, manifest: Manifest) -> list[str]:
    """Return all that should be known about a plan before it is trained, one sentence each.

    The warnings of `leak_warnings`; classes without a pixel in a training or held-out part; held-out
    parts of very different size; repeats that are the same.

    Raises:
        DataError: The plan is of another manifest.
    """
    return [
        *leak_warnings(plan, manifest),
        *_class_warnings(plan, manifest),
        *_size_warnings(plan),
        *_repeat_warnings(plan),
    ]


def leak_warnings(plan: FoldPlan, manifest: Manifest) -> list[str]:
    """Return what the scheme allows on both sides of a fold, though it makes scores look better.

    Counted are groups of the manifest that are cut, held-out images that look like a training image
    (hashes within `max_hash_distance`), neighbouring frames, and leaks that `allow_leaks` lets be.

    Raises:
        DataError: The plan is of another manifest.
    """
    sides, settings = read_sides(plan, manifest), plan.settings
    leaks = find_leaks(plan, manifest)
    warnings = [f"allowed by allow_leaks: {leak}" for leak in leaks[:_LISTED]]
    if len(leaks) > _LISTED:
        warnings.append(f"allowed by allow_leaks: {len(leaks) - _LISTED} more leaks")
    groups = column_groups(sides.rows)
    # Blocks cut sequences on purpose.
    if groups is not None and settings.cut_scheme != "block":
        cut = len({group for _, group, _ in cut_values(sides, groups)})
        if cut:
            warnings.append(
                f"{cut} of {len(set(groups))} groups are on both sides of a fold: scores will be "
                "better than on new groups; scheme=grouped or stratified_grouped keeps them whole"
            )
    if settings.cut_scheme == "block" and settings.gap == 0:
        warnings.append("gap is 0: the frames next to a held-out block are trained on")
    return warnings + _alike_warnings(sides, settings.max_hash_distance)


def _alike_warnings(sides: Sides, max_distance: int) -> list[str]:
    warnings = []
    unknown = int(sides.rows["phash"].isna().sum())
    if unknown:
        warnings.append(
            f"{unknown} of {len(sides.rows)} samples have no perceptual hash, so nothing is known "
            "of images that look like them"
        )
    counts = count_alike(sides, max_distance)
    if any(counts):
        held_out = int((sides.side > 0).sum())
        warnings.append(
            f"{sum(counts)} of {held_out} held-out samples (all folds) look like one on another "
            f"side (hashes within {max_distance} bits): scores will be better than on new images; "
            "a grouped scheme with group_by=near_duplicates keeps such images together"
        )
    return warnings


def _class_warnings(plan: FoldPlan, manifest: Manifest) -> list[str]:
    rows = pooled_rows(manifest, plan.settings.splits).set_index("sample_id")["class_pixels"]
    names = manifest.labels.class_names
    pixels = np.array(rows.tolist(), dtype=np.int64)[:, : len(names)]
    place_of = {name: place for place, name in enumerate(rows.index)}
    anywhere = pixels.sum(axis=0) > 0
    warnings = [
        f"no pooled sample has a pixel of {name}"
        for name, present in zip(names, anywhere, strict=True)
        if not present
    ]
    untrained: list[str] = []
    unscored: dict[str, list[str]] = {}
    for fold in plan.folds:
        for role, ids in fold.split_ids.items():
            part = pixels[[place_of[name] for name in ids]].sum(axis=0)
            absent = [names[place] for place in np.flatnonzero(anywhere & (part == 0))]
            if role != "train":
                for name in absent:
                    unscored.setdefault(name, []).append(f"{fold.name} ({role})")
            elif absent:
                listed = enumerate_words(absent)
                untrained.append(f"{fold.name}: the training part has no pixel of {listed}")
    warnings += untrained
    warnings += [
        f"{name}: no held-out pixel in {joined(folds, _LISTED)}; its scores there are undefined"
        for name, folds in unscored.items()
    ]
    return warnings


def _size_warnings(plan: FoldPlan) -> list[str]:
    sizes = [len(fold.val_ids) for fold in plan.folds]
    if max(sizes) <= 2 * min(sizes):
        return []
    advice = "; stratified_grouped balances samples too"
    return [
        f"held-out parts have {min(sizes)} to {max(sizes)} samples, since groups differ in size"
        + (advice if plan.settings.cut_scheme == "grouped" else "")
    ]


def _repeat_warnings(plan: FoldPlan) -> list[str]:
    cuts: dict[frozenset[tuple[frozenset[str], frozenset[str]]], int] = {}
    warnings = []
    for repeat in range(plan.settings.repeats):
        parts = [
            (frozenset(fold.test_ids), frozenset(fold.val_ids))
            for fold in plan.folds
            if fold.repeat == repeat
        ]
        former = cuts.setdefault(frozenset(parts), repeat)
        if former != repeat:
            warnings.append(
                f"repeats {former} and {repeat} hold out the same parts: there are too few samples "
                "or groups to cut them anew, so a further repeat adds little"
            )
    return warnings
