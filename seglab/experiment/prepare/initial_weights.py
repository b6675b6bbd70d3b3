"""The weights a training starts from: those of a run, or of a file.

What is loaded is told tensor by tensor, because the silent alternative is a training from noise.
Class scores are never taken over where they would mean other classes.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from torch import Tensor

from seglab.core.errors import ConfigError, RunNotFoundError
from seglab.data.manifest import Manifest
from seglab.engine.loop.checkpoint import BEST, read_model_state
from seglab.experiment.prepare.bands import recorded_bands
from seglab.experiment.prepare.same_data import training_images_in
from seglab.models import Segmenter
from seglab.models.weights.encoder_weights import LoadReport, copy_weights, read_state_dict
from seglab.runs import RunRecord
from seglab.runs.locate import RECORD_FILE

log = logging.getLogger(__name__)

INIT_FROM = "init_from"
KEY = f"model.{INIT_FROM}"
# Keys of `model` that name files to start from.
SOURCES = ("encoder_weights", INIT_FROM)
_SMP_HEAD = "segmentation_head."


def forget_sources(cfg: DictConfig) -> None:
    """Change a configuration, in place, so that a model is built without the files it started from.

    For a model whose weights come from a checkpoint: the files may be gone.
    """
    for key in SOURCES:
        if key in cfg.model:
            cfg.model[key] = None


def initialise(model: Segmenter, source: str, manifest: Manifest) -> LoadReport:
    """Fill a model, in place, with the weights of a run or file, as far as they fit.

    The head is left as it is where the run had other classes, in number, name or order.

    Args:
        model: The model to fill.
        source: Folder of a run (its best checkpoint), a checkpoint `.ckpt`, or a file of weights, also of
            a segmentation-models-pytorch model.
        manifest: The data to be trained on; warnings tell which of its val and test images the run
            was trained on, and where the run saw other bands.

    Raises:
        ConfigError: There is no such source, or it fits less than half of the model.
        CheckpointError: It cannot be read, or holds no model.
        RunNotFoundError: The run has no such checkpoint.
    """
    path = Path(source).expanduser()
    run_dir, weights = _find(path)
    state = _read(weights)
    kept: dict[str, str] = {}
    if run_dir is not None:
        trained = Manifest.read(run_dir / "manifest")
        if trained.labels.class_names != manifest.labels.class_names:
            head = {f"head.{name}" for name in model.head.state_dict()}
            kept = dict.fromkeys(head & state.keys(), "the run had other classes")
        for split in ("val", "test"):
            known = training_images_in(trained, manifest, split)
            if known is not None:
                log.warning("%s: %s", KEY, known)
        _warn_of_other_bands(run_dir, model)
    named = _as_ours(state, model.state_dict().keys())
    fitting = {name: value for name, value in named.items() if name not in kept}
    report = copy_weights(model, fitting, str(path))
    if not report.fits:
        raise ConfigError(
            f"{KEY}: these are not the weights of such a model ({model.arch}); {report.summary()}"
        )
    _tell(report, kept)
    _tell_adapted(report, fitting, model.state_dict())
    return report


def as_record(report: LoadReport) -> dict[str, Any]:
    """Return every name in a report, as plain content for the record."""
    return {
        key: value if isinstance(value, str) else list(value)
        for key, value in asdict(report).items()
    }


def _find(path: Path) -> tuple[Path | None, Path]:
    """Return the run a source belongs to, if any, and its file of weights."""
    if path.is_file():
        run_dir = path.resolve().parent.parent
        return (run_dir if (run_dir / RECORD_FILE).is_file() else None), path
    if not path.is_dir():
        raise ConfigError(
            f"{KEY}: expected the folder of a run or a file of weights, got '{path}', "
            "which is not there"
        )
    record = RunRecord.open(path)
    kind = record.read()["kind"]
    if kind not in ("train", "fold", "trial"):
        raise ConfigError(
            f"{KEY}: {path} holds no trained model (it is '{kind}'); give a training, or one fold"
        )
    return record.run_dir, record.checkpoints_dir / BEST


def _read(weights: Path) -> Mapping[str, Tensor]:
    if weights.suffix != ".ckpt":
        return read_state_dict(weights, KEY, "the folder of a run, its .ckpt")
    if not weights.is_file():
        raise RunNotFoundError(
            f"{KEY}: no {weights.name} at {weights.parent}; the run was stopped before its first "
            "validation. Give one of its checkpoints, or another run"
        )
    return read_model_state(weights)


def _as_ours(state: Mapping[str, Tensor], own: Collection[str]) -> Mapping[str, Tensor]:
    """Return weights under our names, where they are those of a segmentation-models-pytorch model.

    Its head is called otherwise, and its own encoders lack the level that timm's have here.
    """
    if not any(name.startswith(_SMP_HEAD) for name in state):
        return state
    renamed = {}
    for name, value in state.items():
        ours = f"head.{name.removeprefix(_SMP_HEAD)}" if name.startswith(_SMP_HEAD) else name
        below_timm = ours.replace("encoder.", "encoder.model.", 1)
        renamed[below_timm if below_timm in own else ours] = value
    return renamed


def _warn_of_other_bands(run_dir: Path, model: Segmenter) -> None:
    bands = recorded_bands(RunRecord(run_dir).read())
    before = bands.numbers if bands else None
    if before != model.band_numbers:
        log.warning(
            "%s: %s was trained on %s, this model takes %s",
            KEY,
            run_dir.name,
            _band_words(before),
            _band_words(model.band_numbers),
        )


def _band_words(numbers: tuple[int, ...] | None) -> str:
    return f"bands {', '.join(map(str, numbers))}" if numbers else "RGB or grey of 8 bits"


def _tell_adapted(
    report: LoadReport, state: Mapping[str, Tensor], own: Mapping[str, Tensor]
) -> None:
    for name in report.loaded:
        if name in state and state[name].shape != own[name].shape:
            log.info(
                "%s: %s is adapted from %d to %d channels of the image, as timm does",
                KEY,
                name,
                state[name].shape[1],
                own[name].shape[1],
            )


def _tell(report: LoadReport, kept: Mapping[str, str]) -> None:
    log.info("%s: %s", KEY, report.summary())
    for name in report.missing:
        why = kept.get(name, "not in the file")
        log.info("%s: %s starts at random: %s", KEY, name, why)
    for text in report.mismatched:
        log.info("%s: starts at random: %s", KEY, text)
