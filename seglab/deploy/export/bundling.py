"""`seglab export`: from a run to a bundle that was held against it; nothing is left where that fails."""

from __future__ import annotations

import os
import platform
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from rich.console import Console
from safetensors.torch import save_model

from seglab.bundle.loader import load
from seglab.bundle.sealing import pack, seal
from seglab.core.errors import ConfigError
from seglab.core.text.terminal import say, telling
from seglab.deploy.export.card import model_card
from seglab.deploy.export.draft import FP32, INT8, Draft
from seglab.deploy.export.graph import (
    ExportError,
    Parity,
    RawInput,
    export_program,
    exportable,
    measure_parity,
    save_program,
    write_onnx,
)
from seglab.deploy.export.integers import try_int8
from seglab.deploy.export.scoring import (
    Reference,
    Rescored,
    choose_split,
    fit_run_temperature,
    predict_by_run,
)
from seglab.deploy.export.statistics import write_expected, write_golden, write_reference
from seglab.deploy.export.trained import TrainedRun, open_run, views_of
from seglab.deploy.options import ExportOptions

_VERSIONS = ("seglab", "torch", "onnx", "onnxruntime", "segmentation-models-pytorch", "timm")


def export(options: ExportOptions, console: Console) -> Path:
    """Write the bundle of a run, a folder and beside it a zip, and return the folder.

    Raises:
        ConfigError: The run cannot be a bundle, or something is at the output already.
        ExportError: The network cannot be exported, or the bundle predicts otherwise than the run.
    """
    run = open_run(options)
    target = Path(options.output or run.record.run_dir / "bundle").expanduser().absolute()
    archive = target.with_name(f"{target.name}.zip")
    for place in (target, archive):
        if place.exists() or place.is_symlink():
            raise ConfigError(f"output: {place} is there already; remove it, or name another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        draft = Draft(options, run, folder, _describe(run, options))
        with telling(console, "exporting") as tell:
            _fill(draft, tell)
        packed = pack(folder, Path(temporary) / "bundle.zip")
        packed.replace(archive)
        folder.replace(target)
    _conclude(draft.info, target, archive, console)
    return target


def _fill(draft: Draft, tell: Callable[[str], None]) -> None:
    run, info, options = draft.run, draft.info, draft.options
    parity = _write_networks(draft)
    info["temperature"] = round(_temperature(run), 4)
    split = choose_split(run, options.split)
    reference = predict_by_run(run, split, tell)
    if not reference.sources:
        raise ConfigError(f"split: '{split}' of {run.manifest.name} has no labelled images")
    info["export"] = {
        "split": split,
        "images": len(reference.sources),
        # Of an ensemble of folds, every validation image was seen by some member.
        "is_holdout": split == "test" or (split == "val" and len(run.models) == 1),
        "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
        "largest_logit_difference_random": max(one.largest for one in parity),
        "sizes_tried": parity[0].tried,
        "variants": {},
    }
    kept = draft.score(FP32, reference, tell)
    _require_equal(kept, options)
    info["export"]["int8"], smaller = try_int8(draft, reference, kept, tell)
    if smaller is not None:
        info["variant"], kept = INT8, smaller
    if options.openvino:
        _write_openvino(draft)
    _write_statistics(draft, reference, tell)
    card = model_card(run, info, reference, kept.counts)
    (draft.folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
    seal(draft.folder, info)
    load(draft.folder)


def _describe(run: TrainedRun, options: ExportOptions) -> dict[str, Any]:
    record, first, bands = run.record.read(), run.models[0], run.bands
    labels = run.manifest.labels
    return {
        "name": options.name or record["experiment"],
        "run_id": record["run_id"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "licence": options.licence,
        "labels": {
            "class_names": list(labels.class_names),
            "palette": [list(colour) for colour in labels.palette],
            "ignore_index": labels.ignore_index,
        },
        "input": {
            "channels": first.in_channels,
            "bands": list(bands.numbers) if bands else None,
            "mean": [value * first.full_scale for value in first.mean],
            "std": [value * first.full_scale for value in first.std],
            "size_divisor": max(one.size_divisor for one in run.models),
            "min_size": 1,
            "image_size": list(run.image_size) if run.image_size else None,
            "max_pixels": options.max_pixels,
        },
        "predict": views_of(options),
        "temperature": 1.0,
        "variant": FP32,
        "variants": {FP32: []},
        "scores": {
            key: value
            for key, value in run.record.metrics.items()
            if key.partition("/")[0] in ("val", "test") and value is not None
        },
        "data": {
            "name": run.manifest.name,
            "fingerprint": record["dataset_fingerprint"],
            "images": run.manifest.splits(),
        },
        "versions": {name: version(name) for name in _VERSIONS},
        "golden": [],
    }


def _write_networks(draft: Draft) -> list[Parity]:
    found = []
    for number, model in enumerate(draft.run.models):
        stem = f"model_{number}" if number else "model"
        network = RawInput(model).eval()
        with exportable(model):
            program, smallest = export_program(network)
            write_onnx(program, model, draft.folder / f"{stem}.onnx")
        save_program(program, model, draft.folder / f"{stem}.pt2")
        save_model(model, str(draft.folder / f"{stem}.safetensors"))
        (draft.folder / f"{stem}.safetensors").chmod(0o644)  # it was made for its owner alone
        found.append(measure_parity(network, draft.folder / f"{stem}.onnx"))
        draft.info["variants"][FP32].append(f"{stem}.onnx")
        accepts = draft.info["input"]
        accepts["min_size"] = max(accepts["min_size"], smallest)
    return found


def _temperature(run: TrainedRun) -> float:
    # A cross-validation fits its own on images that its folds had not seen; here all were.
    recorded = run.record.metrics.get("val/temperature")
    if recorded is None and len(run.models) == 1:
        recorded = fit_run_temperature(run)
    return 1.0 if recorded is None else recorded


def _require_equal(scored: Rescored, options: ExportOptions) -> None:
    loss = -scored.difference.value
    if not loss <= options.max_miou_drop:
        raise ExportError(
            f"the bundle loses {loss:.4f} of the run's mIoU, more than max_miou_drop="
            f"{options.max_miou_drop} allows; {scored.agreement:.2%} of the pixels are the same"
        )


def _write_statistics(draft: Draft, reference: Reference, tell: Callable[[str], None]) -> None:
    variants = {name: draft.open(name) for name in draft.info["variants"]}
    kept = variants[draft.info["variant"]]
    some = reference.some(draft.options.reference_images)
    samples = [one.sample_id for one in some.sources]
    streams = draft.run.manifest.groups_of(samples) or samples  # else each is of its own
    write_reference(kept, some, streams, draft.folder / "reference.npz", tell)
    golden = write_golden(kept, reference.sources, draft.folder / "golden")
    draft.info["golden"] = write_expected([*variants.values()], golden, draft.folder)


def _write_openvino(draft: Draft) -> None:
    try:
        import openvino
    except ImportError as error:
        raise ConfigError("openvino: is not installed; pip install 'seglab[openvino]'") from error
    for name in draft.info["variants"][FP32]:
        model = openvino.convert_model(str(draft.folder / name))
        openvino.save_model(
            model, str(draft.folder / f"{Path(name).stem}.xml"), compress_to_fp16=False
        )


def _conclude(info: dict[str, Any], target: Path, archive: Path, console: Console) -> None:
    exported = info["export"]
    one = exported["variants"][FP32]
    low, high = one["miou_difference_interval"]
    say(
        console,
        f"{exported['split']}, {exported['images']} images: mIoU {one['miou']} through the bundle, "
        f"{one['miou_difference']:+.6f} [{low}, {high}] against the run; {one['mask_agreement']:.4%} of "
        f"the pixels equal; {one['latency_ms_p50']} ms an image (p95 {one['latency_ms_p95']}), "
        f"{one['megabytes']} MB; temperature {info['temperature']}",
    )
    say(console, exported["int8"])
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
    say(console, f"bundle  {target}  ({size:.1f} MB, variant {info['variant']})")
    say(console, f"zip     {archive}")
