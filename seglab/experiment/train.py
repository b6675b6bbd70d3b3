"""One training from configuration to record: start, resume, finish, and what happens in between."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from filelock import FileLock, Timeout
from omegaconf import DictConfig
from rich.console import Console

from seglab.config.validate import require_valid
from seglab.core.errors import ConfigError
from seglab.core.text.terminal import open_console, say
from seglab.core.trial import TrialChannel, TrialPrunedError
from seglab.data.description.describe import repeated_images
from seglab.engine.device.facts import Device
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.device.ranks import other_ranks
from seglab.engine.loop.checkpoint import LAST, read_checkpoint
from seglab.engine.loop.trainer import apply_threads
from seglab.engine.tracking.tracking import WandbView
from seglab.experiment.fit import Fit, prepare_fit
from seglab.experiment.parts import (
    Dataset,
    build_model,
    make_plan,
    open_dataset_of,
    open_manifest_of,
    part_of,
    with_absolute_paths,
)
from seglab.experiment.prepare.bands import fit_bands_of, recorded_bands
from seglab.experiment.prepare.batch_size import begin_with_what_fits, learning_rates
from seglab.experiment.prepare.folds import fold_name, is_fold
from seglab.experiment.prepare.initial_weights import forget_sources
from seglab.experiment.prepare.origins import changed_code
from seglab.experiment.prepare.records import (
    extend,
    finishing,
    require_longer,
    saved_config,
    start_record,
)
from seglab.experiment.prepare.same_data import require_same_data, require_same_data_as_other_trials
from seglab.experiment.scoring.summary import conclude
from seglab.experiment.scoring.views import make_view, start_view
from seglab.models import Segmenter
from seglab.runs import RunRecord

# A process that was asked to stop finishes its step and saves; one that was killed is gone at once.
LOCK_WAIT_S = 60.0
_LOCK_POLL_S = 0.2


@dataclass(frozen=True)
class TrainResult:
    """How a training ended.

    Attributes:
        run_dir: Folder of the record.
        status: `finished`; other endings raise.
        metrics: Flat dict of final scores of the best checkpoint.
    """

    run_dir: Path
    status: str
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    cfg: DictConfig,
    run_dir: Path | None = None,
    console: Console | None = None,
    parent: str | None = None,
    trial: TrialChannel | None = None,
    *,
    is_valid: bool = False,
) -> TrainResult:
    """Train, validate and test one model, and leave its record.

    Args:
        cfg: Composed configuration; validated here, unless it is known to be valid.
        run_dir: Folder for the record; a new one under `paths.runs_dir` when None.
        console: Where progress and tables go.
        parent: Run id of the cross-validation this training is a fold of.
        trial: The study this training is a trial of, or a fold of one; a trial is not tested.
        is_valid: Whether it is.

    Raises:
        ConfigError: The configuration has mistakes; all are listed.
        TrialPrunedError: The study gives the trial up.
        SeglabError: The training failed or was interrupted; the record says so too.
    """
    if not is_valid:
        require_valid(cfg)
    require_own_process()
    cfg = with_absolute_paths(cfg)
    kind = "fold" if is_fold(cfg) else "train"
    if trial is not None and parent is None:
        kind, parent = "trial", trial.study
    record = start_record(cfg, run_dir, kind, parent=parent, fold=fold_name(cfg))
    with only_writer(record):
        return _run(cfg, record, console or open_console(), trial=trial)


def require_own_process() -> None:
    """Refuse launchers that start the ranks of a training themselves.

    Raises:
        ConfigError: torchrun or srun started this process as a rank.
    """
    if "LOCAL_RANK" in os.environ:
        raise ConfigError(
            "seglab starts the processes of a training itself; run it without torchrun or srun and "
            "say trainer.devices=N"
        )


def resume(
    run_dir: Path,
    console: Console | None = None,
    trial: TrialChannel | None = None,
    max_epochs: int | None = None,
) -> TrainResult:
    """Go on with a stopped run from its last checkpoint, as if it had never stopped.

    On a CPU the final weights are the same bits as those of an uninterrupted run.

    With more epochs than the run was to have, a finished one goes on too. A schedule that depends on
    the run's length is then the one of the longer run, taken up at the step reached: the rate rises
    again where it had already come down. The patience of early stopping begins anew.

    Args:
        run_dir: Folder of the record.
        console: Where progress and tables go.
        trial: As for `train`.
        max_epochs: New length of the run, in epochs from its start; None keeps it.

    Raises:
        RunNotFoundError: There is no run record.
        ConfigError: The run is finished, another process is training it, or `max_epochs` is
            fewer than the run has.
        DataError: The data changed since the run began.
    """
    record = RunRecord.open(run_dir)
    console = console or open_console()
    # The lock first: nothing of a run that another process trains is touched.
    with only_writer(record):
        cfg = saved_config(record)
        max_epochs = _new_length(record, cfg, max_epochs)
        checkpoint = record.checkpoints_dir / LAST
        step = 0
        if checkpoint.exists():
            step = int(read_checkpoint(checkpoint, ["global_step"])["global_step"])
        history = record.history()
        # Epochs after the checkpoint are trained again; within the first epoch there is none yet.
        record.truncate_history(0 if history.empty else int((history["step"] <= step).sum()))
        if max_epochs is not None:
            say(console, extend(record, cfg, max_epochs, step))
        record.resume()
        say(console, f"going on from step {step}")
        if not step:
            return _run(cfg, record, console, resume_step=0, trial=trial)
        forget_sources(cfg)
        return _run(cfg, record, console, checkpoint, step, trial)


def _new_length(record: RunRecord, cfg: DictConfig, max_epochs: int | None) -> int | None:
    """Return the length a run is given, None for its own; refuse what cannot go on."""
    content = record.read()
    if content["kind"] not in ("train", "fold", "trial"):
        raise ConfigError(f"resume: {record.run_dir} is not a training but '{content['kind']}'")
    finished = content["status"] == "finished"
    if finished and max_epochs is None:
        raise ConfigError(
            f"resume: {record.run_dir} is finished; nothing is left to train. With "
            "trainer.max_epochs=N it goes on up to N epochs"
        )
    if max_epochs is None or (max_epochs == cfg.trainer.max_epochs and not finished):
        # The words that made it longer, typed again after it was stopped.
        return None
    require_longer(record, cfg, max_epochs)
    # Before anything changes: a finished run stays what it is where this is refused.
    require_same_data(record, part_of(cfg, open_manifest_of(cfg)), "start a new run")
    return max_epochs


def fit_rank(run_dir: Path) -> None:
    """Take part in a training on several devices as a rank that writes nothing."""
    record = RunRecord.open(run_dir)
    cfg = saved_config(record)
    plan, _ = _plan(cfg, record)
    apply_threads(plan)
    # Rank 0 has recorded the bands.
    dataset = replace(open_dataset_of(cfg), bands=recorded_bands(record.read()))
    require_same_data(record, dataset.manifest, "start a new run")
    checkpoint = record.checkpoints_dir / LAST if record.read()["resumed"] else None
    resume_from = checkpoint if checkpoint and checkpoint.is_file() else None
    if resume_from is not None:
        forget_sources(cfg)
    model = build_model(cfg, dataset.labels.num_classes, dataset.bands)
    fit = prepare_fit(cfg, dataset, model, plan, record, None, Console(quiet=True))
    # Rank 0 says so to the user.
    with suppress(TrialPrunedError):
        fit.train(resume_from)


def _run(
    cfg: DictConfig,
    record: RunRecord,
    console: Console,
    checkpoint: Path | None = None,
    resume_step: int | None = None,
    trial: TrialChannel | None = None,
) -> TrainResult:
    with recorded(cfg, record, resume_step) as view:
        plan, device = _plan(cfg, record)
        apply_threads(plan)
        dataset = _with_bands(open_dataset_of(cfg, trains=True), cfg, record)
        model = build_model(cfg, dataset.labels.num_classes, dataset.bands)
        plan, _ = _plan(cfg, record, model, dataset.manifest.splits()["train"])
        if checkpoint is None:
            plan = begin_with_what_fits(cfg, dataset.manifest, plan)
        _announce(record, dataset, plan, device, console)
        view.describe(
            {
                "fingerprint": dataset.manifest.fingerprint,
                "device": device.name,
                "precision": plan.precision,
                "num_devices": plan.num_devices,
                "bands": dataset.bands.to_dict() if dataset.bands else None,
            }
        )
        _note_learning_rates(cfg, record, view, console)
        fit = prepare_fit(cfg, dataset, model, plan, record, view, console, trial)
        if resume_step is not None and (changed := changed_code(record, cfg)):
            say(console, changed)
        try:
            with other_ranks(record.run_dir, plan.num_devices):
                fit.train(checkpoint)
        finally:
            _note_micro_batch(record, fit)
        metrics = conclude(cfg, record, dataset, fit, view, console)
    return TrainResult(record.run_dir, "finished", metrics)


@contextmanager
def only_writer(record: RunRecord, wait_s: float = 0.0) -> Iterator[None]:
    """Keep other processes from running the same record.

    Args:
        record: The run.
        wait_s: How long another process may take to leave it.

    Raises:
        ConfigError: One runs it, and did not leave in that time.
    """
    lock = FileLock(record.run_dir / ".lock")
    try:
        held = lock.acquire(timeout=wait_s, poll_interval=_LOCK_POLL_S)
    except Timeout:
        content = record.read()
        waited = f" on {content['host']}, which did not end in {wait_s:.0f} s" if wait_s else ""
        raise ConfigError(
            f"resume: {record.run_dir} is being trained by process {content['pid']}{waited}"
        ) from None
    with held:
        yield


@contextmanager
def recorded(cfg: DictConfig, record: RunRecord, resume_step: int | None) -> Iterator[WandbView]:
    """Open the view, and close record and view with the right status, whatever happens inside."""
    view = make_view(cfg, record)
    try:
        with finishing(record):
            start_view(view, cfg, record, resume_step)
            yield view
    finally:
        view.finish(record.status)


def _plan(
    cfg: DictConfig,
    record: RunRecord,
    model: Segmenter | None = None,
    train_images: int | None = None,
) -> tuple[ExecutionPlan, Device]:
    """Choose a plan; a resumed run keeps its own, or its numbers would change on the way."""
    plan, device = make_plan(cfg, model, train_images)
    recorded = record.read()["execution_plan"]
    if recorded and recorded["accelerator"] == plan.accelerator:
        plan = ExecutionPlan.from_dict(recorded)
    return plan, device


def _with_bands(dataset: Dataset, cfg: DictConfig, record: RunRecord) -> Dataset:
    """Add what is known of the bands: from the training part, or as a resumed run has it recorded."""
    bands = recorded_bands(record.read())
    if bands is None:
        bands = fit_bands_of(cfg, dataset.manifest, dataset.cache)
        record.update(bands=bands.to_dict() if bands else None)
    return replace(dataset, bands=bands)


def _announce(
    record: RunRecord, dataset: Dataset, plan: ExecutionPlan, device: Device, console: Console
) -> None:
    require_same_data(record, dataset.manifest, "start a new run")
    require_same_data_as_other_trials(record, dataset.manifest)
    dataset.manifest.write(record.run_dir / "manifest")
    record.update(
        **dataset.manifest.recorded_fingerprints(),
        execution_plan=plan.to_dict(),
        device=device.name,
    )
    counts = ", ".join(f"{count} {split}" for split, count in dataset.manifest.splits().items())
    say(console, f"run {record.run_dir}")
    say(console, f"data {dataset.manifest.name} ({counts}; {dataset.labels.num_classes} classes)")
    if dataset.bands is not None:
        say(console, dataset.bands.sentence())
    repeated = repeated_images(dataset.manifest)
    if repeated is not None:
        say(console, f"warning: {repeated}")
    say(console, plan.sentence())


def _note_learning_rates(
    cfg: DictConfig, record: RunRecord, view: WandbView, console: Console
) -> None:
    rates = learning_rates(cfg)
    record.set_metrics(rates.metrics())
    view.describe({"effective_lr": rates.lr, "lr_factor": rates.factor})
    if rates.message:
        say(console, rates.message)


def _note_micro_batch(record: RunRecord, fit: Fit) -> None:
    size = fit.module.micro_batcher.size
    if size != fit.plan.micro_batch_size:
        record.update(execution_plan=fit.plan.to_dict() | {"micro_batch_size": size})
