"""The model card: what a bundle is, what it was measured on, and where that ends, from the record."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seglab.analysis.comparison.objectives import judge, markdown_table
from seglab.analysis.tables import format_cell
from seglab.deploy.export.scoring import Counts, Reference, scores_of
from seglab.deploy.export.trained import TrainedRun
from seglab.metrics.jackknife import independent_groups, score_interval

_FEW = 10


def model_card(
    run: TrainedRun, info: Mapping[str, Any], reference: Reference, counts: Counts
) -> str:
    """Return the card as Markdown.

    Args:
        run: The run that was exported.
        info: Content of `bundle.json`.
        reference: The split that was scored.
        counts: How the bundle scores on it.
    """
    record = run.record.read()
    parts = [
        f"# {info['name']}",
        "",
        f"{_architecture(run)}, {len(info['labels']['class_names'])} classes, exported {info['created']} "
        f"from run `{info['run_id']}`. Licence: {info['licence']}.",
        "",
        "## Data",
        "",
        *_data(run, info),
        "",
        "## Scores",
        "",
        *_scores(run, info, reference, counts),
        "",
        "## The bundle against its run",
        "",
        *_fidelity(info),
    ]
    if slices := _slices(run, reference, counts):
        parts += [
            "",
            "## By tag",
            "",
            "| tag | images | mIoU | 95 % interval |",
            "|---|---:|---:|---|",
            *slices,
        ]
    targets = (record["config"].get("objective") or {}).get("targets") or []
    if targets:
        outcomes = judge(targets, run.record.metrics, main_split=record["main_split"])
        parts += ["", "## Objective", "", markdown_table(outcomes).strip()]
    parts += ["", "## Limits", "", *_limits(run, info, reference)]
    return "\n".join(parts) + "\n"


def _architecture(run: TrainedRun) -> str:
    first = run.models[0]
    name = " on ".join(part for part in (first.arch, getattr(first, "encoder_name", "")) if part)
    millions = sum(p.numel() for p in first.parameters()) / 1e6
    many = f", an ensemble of {len(run.models)}" if len(run.models) > 1 else ""
    return f"{name} ({millions:.2f} M parameters{many})"


def _data(run: TrainedRun, info: Mapping[str, Any]) -> list[str]:
    splits = ", ".join(f"{count} {name}" for name, count in run.manifest.splits().items() if count)
    groups = run.manifest.table["group"].nunique()
    return [
        f"- {info['data']['name']}, fingerprint `{info['data']['fingerprint']}`: {splits} images of "
        f"{groups} groups (scenes, patients, videos)",
        f"- classes: {', '.join(info['labels']['class_names'])}; index {info['labels']['ignore_index']} "
        "is left out of every score",
    ]


def _scores(
    run: TrainedRun, info: Mapping[str, Any], reference: Reference, counts: Counts
) -> list[str]:
    scored = info["export"]
    if not scored["is_holdout"]:
        return [
            f"The {scored['images']} images that the export was held against were seen in training, so "
            "their score says nothing of new ones. What the run recorded of images it had not seen:",
            "",
            *(
                f"- {key}: {format_cell(value, 4)}"
                for key, value in info["scores"].items()
                if key.count("/") == 1
                and key.partition("/")[2] in ("miou", "miou_low", "miou_high", "dice")
            ),
        ]
    found = scores_of(counts, info["labels"]["class_names"], reference.groups)
    low, high = found["miou_interval"]
    lines = [
        f"Split `{reference.split}`, {scored['images']} images, through this bundle: mIoU "
        f"**{format_cell(found['miou'], 4)}**, 95 % interval {_range(low, high)}; Dice "
        f"{format_cell(found['dice'], 4)}.",
        "",
        "| class | IoU |",
        "|---|---:|",
    ]
    return lines + [f"| {name} | {format_cell(value, 3)} |" for name, value in found["iou"].items()]


def _fidelity(info: Mapping[str, Any]) -> list[str]:
    lines = [
        "| variant | mIoU minus the run's | 95 % interval | equal pixels | ms an image, p50 / p95 | MB |",
        "|---|---:|---|---:|---:|---:|",
    ]
    for name, one in info["export"]["variants"].items():
        lines.append(
            f"| {name}{'' if name in info['variants'] else ' (not kept)'} "
            f"| {format_cell(one['miou_difference'], 5)} | {_range(*one['miou_difference_interval'])} "
            f"| {one['mask_agreement']:.4%} | {one['latency_ms_p50']} / {one['latency_ms_p95']} "
            f"| {one['megabytes']} |"
        )
    return [*lines, "", f"Measured on {info['export']['machine']}. {info['export']['int8']}"]


def _slices(run: TrainedRun, reference: Reference, counts: Counts) -> list[str]:
    tags = run.manifest.table.set_index("sample_id")["tags"]
    of_image = [
        set(tags[one.sample_id] if tags[one.sample_id] is not None else ())
        for one in reference.sources
    ]
    lines = []
    for tag in sorted(set().union(*of_image)):
        part = Counts([row for row, held in zip(counts.rows, of_image, strict=True) if tag in held])
        units = reference.groups and [
            group for group, held in zip(reference.groups, of_image, strict=True) if tag in held
        ]
        found = score_interval(part, groups=independent_groups(units))
        lines.append(
            f"| {tag} | {len(part.rows)} | {format_cell(found.value, 4)} | {_range(found.low, found.high)} |"
        )
    return lines


def _limits(run: TrainedRun, info: Mapping[str, Any], reference: Reference) -> list[str]:
    accepts = info["input"]
    lines = [
        f"- takes {accepts['channels']} channels"
        + (
            f", bands {accepts['bands']} as arrays"
            if accepts["bands"]
            else " of 8 bits, or 16-bit grey"
        )
        + f", up to {accepts['max_pixels']:,} pixels",
        "- scores hold for images like those of the data above; `reference.npz` is what likeness is "
        "measured against",
    ]
    if reference.split == "val" and info["export"]["is_holdout"]:
        lines.append("- the same split chose the weights, so its scores are a little too good")
    masks = [set(target.ravel().tolist()) for target in reference.targets]
    for index, name in enumerate(info["labels"]["class_names"]):
        seen = sum(index in one for one in masks)
        if seen < _FEW:
            lines.append(f"- the IoU of {name} rests on {seen} image{'' if seen == 1 else 's'}")
    if (
        run.manifest.groups_of([one.sample_id for one in reference.sources])
        and reference.groups is None
    ):
        lines.append("- intervals are over images of few groups, so they may be too narrow")
    return lines


def _range(low: float | None, high: float | None) -> str:
    if low is None or high is None:
        return "too few images to tell"
    return f"{format_cell(low, 4)} to {format_cell(high, 4)}"
