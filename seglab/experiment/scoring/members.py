"""The models of an evaluation: one run, or the several of an ensemble or a cross-validation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from omegaconf import DictConfig

from seglab.core.errors import ConfigError, DataError, RunNotFoundError
from seglab.data.manifest import Manifest
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.loop.checkpoint import BEST, LAST, read_model_state
from seglab.experiment.parts import build_model
from seglab.experiment.prepare.bands import recorded_bands
from seglab.experiment.prepare.initial_weights import forget_sources
from seglab.experiment.train import saved_config
from seglab.models import Segmenter
from seglab.runs import RunRecord
from seglab.runs.folds import fold_dirs


@dataclass(frozen=True)
class Member:
    """One trained model.

    Attributes:
        record: The training it came from.
        weights: Its checkpoint.
    """

    record: RunRecord
    weights: Path

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.record.run_id} ({self.weights.stem})"


def members_of(cfg: DictConfig, source: RunRecord) -> list[Member]:
    """Return the models to score together: those of `run`, then those of `predict.ensemble`.

    Raises:
        ConfigError: A run in the list is no training.
        RunNotFoundError: There is no run, or no such checkpoint.
    """
    records = [source, *(RunRecord.open(run) for run in cfg.predict.ensemble)]
    trainings = [one for record in records for one in _trainings(record)]
    if len(trainings) > 1 and cfg.checkpoint not in ("best", "last"):
        raise ConfigError(
            f"checkpoint: '{cfg.checkpoint}' is one model's file, and {len(trainings)} models are scored "
            "together; expected best or last"
        )
    return [Member(one, _checkpoint_path(one, cfg.checkpoint)) for one in trainings]


def _trainings(record: RunRecord) -> list[RunRecord]:
    kind = record.read()["kind"]
    if kind in ("train", "fold", "trial"):
        return [record]
    if kind == "cv" and (folders := fold_dirs(record.run_dir)):
        return [RunRecord.open(folder) for folder in folders]
    raise ConfigError(
        f"run: {record.run_dir} holds no trained model (it is '{kind}', {record.effective_status}); "
        "give a training, a fold or a finished cross-validation"
    )


def _checkpoint_path(source: RunRecord, checkpoint: str) -> Path:
    named = {"best": BEST, "last": LAST}
    if checkpoint in named:
        return source.checkpoints_dir / named[checkpoint]
    path = Path(checkpoint).expanduser()
    if not path.is_file():
        raise RunNotFoundError(f"checkpoint: expected best, last or a file, got '{checkpoint}'")
    return path


def require_unseen(members: Sequence[Member], scored: Manifest, split: str) -> None:
    """Refuse to score several models together on images that one of them was trained on.

    A single model may be scored on its own training split; it is asked for by name.

    Raises:
        DataError: Members were trained on scored images; all are named.
    """
    if len(members) == 1:
        return
    images = set(scored.split(split)["sha256"])
    seen = {}
    for member in members:
        train = set(Manifest.read(member.record.run_dir / "manifest").split("train")["sha256"])
        if images & train:
            seen[member.record.run_id] = len(images & train)
    if seen:
        found = ", ".join(f"{name} on {count}" for name, count in seen.items())
        raise DataError(
            f"the {len(images)} images of split '{split}' are not new to all models ({found} of them "
            "were trained): score data.split=test or other data. What a cross-validation scores on "
            "images its models have not seen is in its own record"
        )


def load_model(member: Member, num_classes: int, plan: ExecutionPlan) -> Segmenter:
    """Build the network of a run with its trained weights, in evaluation mode.

    Raises:
        RunNotFoundError: There is no such checkpoint.
        ConfigError: It is of a network with other classes.
    """
    cfg = saved_config(member.record)
    forget_sources(cfg)
    model = build_model(cfg, num_classes, recorded_bands(member.record.read()))
    state = read_model_state(member.weights)
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise ConfigError(
            f"predict.ensemble: the weights of {member.name} do not fit a model of {num_classes} "
            f"classes: {str(error).splitlines()[-1].strip()}"
        ) from error
    return model.to(memory_format=plan.torch_memory_format).eval()
