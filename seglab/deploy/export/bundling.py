"""`seglab export`: from a run to a bundle that was held against it; nothing is left where that fails."""

from __future__ import annotations

import json
import os
import platform
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from safetensors.torch import save_model

from seglab.bundle.loader import Bundle, load
from seglab.bundle.sealing import pack, seal
from seglab.core.errors import ConfigError
from seglab.core.text.terminal import say
from seglab.data.decoding import SourceFiles
from seglab.deploy.export import integers
from seglab.deploy.export.card import model_card
from seglab.deploy.export.graph import (
    ExportError,
    Parity,
    RawInput,
    export_program,
    exportable,
    measure_parity,
    write_onnx,
)
from seglab.deploy.export.scoring import (
    Reference,
    Rescored,
    choose_split,
    fit_run_temperature,
    predict_by_run,
    rescore,
)
from seglab.deploy.export.statistics import write_expected, write_golden, write_reference
from seglab.deploy.export.trained import TrainedRun, open_run
from seglab.deploy.options import ExportOptions

_VERSIONS = ("seglab", "torch", "onnx", "onnxruntime", "segmentation-models-pytorch", "timm")
_FP32, _INT8 = "fp32", "int8"


@dataclass
class _Work:
    """An export under way.

    Attributes:
        options: What was asked for.
        run: What is exported.
        folder: Where the bundle grows.
        console: For people.
        info: Content of `bundle.json` so far.
    """

    options: ExportOptions
    run: TrainedRun
    folder: Path
    console: Console
    info: dict[str, Any]

    def bundle(self, variant: str = _FP32) -> Bundle:
        """Open what there is so far."""
        names = self.info["variants"][variant]
        files = {name: (self.folder / name).read_bytes() for name in names}
        return Bundle({"bundle.json": json.dumps(self.info).encode(), **files}, variant, None)


def export(options: ExportOptions, console: Console) -> Path:
    """Write the bundle of a run, a folder and beside it a zip, and return the folder.

    Raises:
        ConfigError: The run cannot be a bundle, or something is at the output already.
        ExportError: The network cannot be exported, or the bundle predicts otherwise than the run.
    """
    run = open_run(options)
    target = Path(options.output or Path(run.record.run_dir) / "bundle").expanduser().absolute()
    archive = target.with_name(f"{target.name}.zip")
    for place in (target, archive):
        if place.exists() or place.is_symlink():
            raise ConfigError(f"output: {place} is there already; remove it, or name another place")
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}-") as temporary:
        folder = Path(temporary) / "bundle"
        folder.mkdir()
        work = _Work(options, run, folder, console, _describe(run, options))
        _fill(work)
        packed = pack(folder, Path(temporary) / "bundle.zip")
        packed.replace(archive)
        folder.replace(target)
    _conclude(work, target, archive)
    return target


def _fill(work: _Work) -> None:
    run, info, options = work.run, work.info, work.options
    with work.console.status("exporting") as status:
        parity = _write_networks(work)
        info["temperature"] = round(_temperature(run), 4)
        split = choose_split(run, options.split)
        reference = predict_by_run(run, split, status.update)
        if not reference.sources:
            raise ConfigError(f"split: '{split}' of {run.manifest.name} has no labelled images")
        scored = {_FP32: rescore(run, work.bundle(), reference, status.update)}
        info["export"] = {
            "split": split,
            "images": len(reference.sources),
            "is_holdout": _is_holdout(run, split),
            "machine": f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores",
            "largest_logit_difference_random": max(one.largest for one in parity),
            "sizes_tried": parity[0].tried,
        }
        _require_equal(scored[_FP32], options)
        info["export"]["int8"] = _try_int8(work, reference, scored, status.update)
        info["variant"] = list(info["variants"])[-1]
        info["export"]["variants"] = {
            name: {**one.to_dict(), "megabytes": _megabytes(work, name)}
            for name, one in scored.items()
        }
        for path in work.folder.glob("*.onnx"):
            if not any(path.name in names for names in info["variants"].values()):
                path.unlink()
        if options.openvino:
            _write_openvino(work)
        _write_statistics(work, reference, status.update)
        card = model_card(run, info, reference, scored[info["variant"]].counts)
        (work.folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
        seal(work.folder, info)
        load(work.folder)


def _describe(run: TrainedRun, options: ExportOptions) -> dict[str, Any]:
    record, first, bands = run.record.read(), run.models[0], run.bands
    labels = run.manifest.labels
    views = {name: options.to_dict()[name] for name in ("window", "overlap", "flips", "scales")}
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
            "min_size": max(one.min_size for one in run.models),
            "image_size": list(run.image_size) if run.image_size else None,
            "max_pixels": options.max_pixels,
        },
        "predict": views,
        "temperature": 1.0,
        "variant": _FP32,
        "variants": {_FP32: []},
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


def _write_networks(work: _Work) -> list[Parity]:
    found = []
    for number, model in enumerate(work.run.models):
        stem = f"model_{number}" if number else "model"
        network = RawInput(model).eval()
        with exportable(model):
            program = export_program(network)
            write_onnx(program, model, work.folder / f"{stem}.onnx")
        torch.export.save(program, work.folder / f"{stem}.pt2")
        save_model(model, str(work.folder / f"{stem}.safetensors"))
        (work.folder / f"{stem}.safetensors").chmod(0o644)  # it was made for its owner alone
        found.append(measure_parity(network, work.folder / f"{stem}.onnx"))
        work.info["variants"][_FP32].append(f"{stem}.onnx")
    return found


def _temperature(run: TrainedRun) -> float:
    # What a cross-validation fitted on images its folds had not seen is better than any fitted here.
    recorded = run.record.metrics.get("val/temperature")
    if len(run.models) > 1 or recorded:
        return recorded or 1.0
    return fit_run_temperature(run) or 1.0


def _is_holdout(run: TrainedRun, split: str) -> bool:
    return split == "test" or (split == "val" and len(run.models) == 1)


def _require_equal(scored: Rescored, options: ExportOptions) -> None:
    loss = -scored.difference.value
    if not loss <= options.max_miou_drop:
        raise ExportError(
            f"the bundle loses {loss:.4f} of the run's mIoU, more than max_miou_drop="
            f"{options.max_miou_drop} allows; {scored.agreement:.2%} of the pixels are the same"
        )


def _try_int8(
    work: _Work, reference: Reference, scored: dict[str, Rescored], tell: Callable[[str], None]
) -> str:
    """Add the variant int8 where it is good and fast enough; return what came of it in words."""
    options = work.options
    if not options.int8:
        return "int8 was not asked for."
    batches = _network_inputs(work, work.run.sources("train")[: options.calibration_images])
    if not batches:
        return "int8: no labelled training images to calibrate on."
    said = ""
    for share in integers.FLOAT_SHARES:
        tell(f"int8, {share:.0%} of the layers in float")
        names = []
        for number, name in enumerate(work.info["variants"][_FP32]):
            names.append(f"{Path(name).stem}.int8.onnx")
            own = [batch for net, batch in batches if net == number]
            integers.quantise(work.folder / name, work.folder / names[-1], own, share)
        work.info["variants"][_INT8] = names
        found = rescore(work.run, work.bundle(_INT8), reference, tell)
        scored[_INT8] = found
        fast, slow = (float(np.median(one.latency_ms)) for one in (found, scored[_FP32]))
        loss = -found.difference.value
        said = (
            f"int8 with {share:.0%} of the layers in float: mIoU {-loss:+.4f}, "
            f"{slow / fast:.2f} times as fast as fp32 here"
        )
        if fast >= slow:
            del work.info["variants"][_INT8]
            return f"{said}: not faster, so it was not kept."
        if loss <= options.max_miou_drop:
            return f"{said}: kept."
        del work.info["variants"][_INT8]
    return f"{said}: loses too much, so it was not kept."


class _Recording(Bundle):
    """Keeps what goes into the networks."""

    seen: list[tuple[int, np.ndarray]]

    def run(self, batch: np.ndarray, net: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
        """As of `Bundle`."""
        self.seen.append((net, batch))
        return super().run(batch, net)


def _network_inputs(work: _Work, sources: Sequence[SourceFiles]) -> list[tuple[int, np.ndarray]]:
    """Return what the networks get of these images, padded and in windows as in service."""
    names = work.info["variants"][_FP32]
    files = {name: (work.folder / name).read_bytes() for name in names}
    one = _Recording({"bundle.json": json.dumps(work.info).encode(), **files}, _FP32, None)
    one.seen = []
    for source in sources:
        one.predict(one.decode(source.image.read_bytes()))
    most = work.options.calibration_images * len(names)
    step = max(1, len(one.seen) // most)
    return one.seen[::step][:most]


def _write_statistics(work: _Work, reference: Reference, tell: Callable[[str], None]) -> None:
    variants = [work.bundle(name) for name in work.info["variants"]]
    kept = next(one for one in variants if one.variant == work.info["variant"])
    sources = reference.sources
    step = max(1, len(sources) // work.options.reference_images)
    write_reference(
        kept, sources[::step][: work.options.reference_images], work.folder / "reference.npz", tell
    )
    golden = write_golden(kept, sources, work.folder / "golden")
    work.info["golden"] = write_expected(variants, golden, work.folder)


def _write_openvino(work: _Work) -> None:
    try:
        import openvino
    except ImportError as error:
        raise ConfigError("openvino: is not installed; pip install 'seglab[openvino]'") from error
    for name in work.info["variants"][_FP32]:
        model = openvino.convert_model(str(work.folder / name))
        openvino.save_model(
            model, str(work.folder / f"{Path(name).stem}.xml"), compress_to_fp16=False
        )


def _megabytes(work: _Work, variant: str) -> float:
    parts = [work.folder / name.replace(".int8", "") for name in work.info["variants"][_FP32]]
    if variant == _INT8:
        parts = [one.with_suffix(".int8.onnx") for one in parts]
    return round(sum(one.stat().st_size for one in parts) / 1e6, 2)


def _conclude(work: _Work, target: Path, archive: Path) -> None:
    exported = work.info["export"]
    one = exported["variants"][_FP32]
    low, high = one["miou_difference_interval"]
    say(
        work.console,
        f"{exported['split']}, {exported['images']} images: mIoU {one['miou']} through the bundle, "
        f"{one['miou_difference']:+.6f} [{low}, {high}] against the run; {one['mask_agreement']:.4%} of "
        f"the pixels equal; {one['latency_ms_p50']} ms an image (p95 {one['latency_ms_p95']}), "
        f"{one['megabytes']} MB",
    )
    say(work.console, exported["int8"])
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 1e6
    say(work.console, f"bundle  {target}  ({size:.1f} MB, variant {work.info['variant']})")
    say(work.console, f"zip     {archive}")
