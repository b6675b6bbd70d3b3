"""Scores a trained run on a split, through the same step as the evaluation inside training."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from omegaconf import DictConfig, OmegaConf, open_dict
from rich.console import Console

from seglab.analysis.tables import Row, format_cell, frame_rows, interval_cell, rich_table
from seglab.augment.corruption.corruptions import require_corruptions
from seglab.config.own_parts import own_targets
from seglab.config.validate import require_valid
from seglab.core.errors import ConfigError
from seglab.core.parts.plugins import require_named
from seglab.core.text.terminal import open_console, say, show
from seglab.data.manifest import Manifest
from seglab.engine.device.facts import inspect_device
from seglab.engine.loop.scorer import Scorer
from seglab.engine.loop.trainer import apply_threads, build_trainer
from seglab.engine.options import TrainerOptions
from seglab.engine.step.evaluation import Evaluation
from seglab.engine.step.prediction_files import PredictionFiles
from seglab.engine.tracking.tracking import WandbView
from seglab.experiment.parts import (
    Dataset,
    build_datamodule,
    build_model,
    build_module,
    make_plan,
    open_dataset_of,
)
from seglab.experiment.prepare.bands import recorded_bands, require_same_bands
from seglab.experiment.prepare.initial_weights import forget_sources
from seglab.experiment.prepare.origins import changed_code
from seglab.experiment.prepare.records import start_record, tell_record
from seglab.experiment.prepare.resolved import resolved
from seglab.experiment.prepare.same_data import require_same_data, training_images_in
from seglab.experiment.scoring.gallery import write_gallery
from seglab.experiment.scoring.intervals import cost_of, score_sentence
from seglab.experiment.scoring.members import Member, load_model, members_of, require_unseen
from seglab.experiment.scoring.predictors import build_predictor, take_same_images
from seglab.experiment.scoring.suite import (
    SuiteResult,
    draw_suite,
    run_corruptions,
    run_suite,
    write_suite_tables,
)
from seglab.experiment.scoring.summary import (
    draw_figures,
    targets_of,
    tell_objective,
    write_results,
    write_tables,
)
from seglab.experiment.scoring.views import show_evaluation
from seglab.experiment.train import recorded
from seglab.metrics.names import (
    COST,
    HD95_MISSED,
    HD95_PENALTY,
    declared_scores,
    metric_key,
    shown_scores,
)
from seglab.metrics.targets import parse_targets, require_classes
from seglab.runs import RunRecord
from seglab.runs.predictions import PREDICTIONS

# What an evaluation may choose anew; everything else is as the run was trained.
_PLAN_KEYS = ("accelerator", "precision", "memory_format", "num_threads", "num_workers")


@dataclass(frozen=True)
class EvaluateResult:
    """What an evaluation left.

    Attributes:
        run_dir: Folder of its record.
        metrics: Flat dict of scores.
    """

    run_dir: Path
    metrics: dict[str, float]


def evaluate(
    cfg: DictConfig,
    run_dir: Path | None = None,
    console: Console | None = None,
    *,
    is_valid: bool = False,
) -> EvaluateResult:
    """Score the weights of a run on a split of its own data, or of other data of the same classes.

    A cross-validation is scored as the ensemble of its folds, on images none of them was trained on.

    Args:
        cfg: Composed from `evaluate.yaml`; validated here, unless it is known to be valid.
        run_dir: Folder for the record of this evaluation; a new one beside the run when None.
        console: Where the table goes.
        is_valid: Whether it is.

    Raises:
        ConfigError: The configuration is wrong, or the data has other classes than the run.
        DataError: The split has no samples, or the run's own data changed since the training.
        RunNotFoundError: There is no run, or no such checkpoint.
    """
    if not is_valid:
        require_valid(cfg, "evaluate")
    console = console or open_console()
    source = RunRecord.open(cfg.run)
    members = members_of(cfg, source)
    run_cfg = _configuration(cfg, source, members)
    require_named(own_targets(resolved(run_cfg)))
    as_scored = cfg.copy()
    with open_dict(as_scored):
        as_scored.data, as_scored.split = resolved(run_cfg.data), cfg.data.split
    record = start_record(
        as_scored,
        run_dir,
        "eval",
        parent=source.run_id,
        seed=run_cfg.seed,
        main_split=cfg.data.split,
        plugins=source.read()["plugins"],
    )
    with recorded(cfg, record, None) as view:
        metrics = _Scoring(cfg, run_cfg, source, members, record, view, console).run()
    return EvaluateResult(record.run_dir, metrics)


def _configuration(cfg: DictConfig, source: RunRecord, members: list[Member]) -> DictConfig:
    """Return the run's configuration with what the evaluation says put in its place."""
    run_cfg = OmegaConf.load(source.config_path)
    if not isinstance(run_cfg, DictConfig) or "model" not in run_cfg:
        raise ConfigError(f"run: {source.run_dir} holds no trained model; give a training")
    content = {key: value for key, value in resolved(cfg.data).items() if key != "split"}
    if source.read()["kind"] == "cv":
        # A share of the training is each fold's own affair; scored is the whole.
        run_cfg.data.train_fraction = 1.0
    if content["importer"] == "run":
        changes = {key: value for key, value in content.items() if value is not None}
        changes.pop("importer")
        run_cfg.data = OmegaConf.merge(run_cfg.data, changes)
    else:
        own = resolved(run_cfg.data)
        # The size a run works at belongs to the model, not to the data it is scored on; bands do too.
        kept = {} if content.get("image_size") else {"image_size": own["image_size"]}
        bands = recorded_bands(members[0].record.read())
        if bands is not None and not content.get("bands"):
            kept["bands"] = list(bands.numbers)
        run_cfg.data = OmegaConf.create({**own, **content, **kept})
        # The folds are of the run's own data.
        run_cfg.cv = {"scheme": "none"}
    trained_with = members[0].record.read()["execution_plan"] or {}
    same_kind = inspect_device(cfg.trainer.accelerator).accelerator == trained_with.get(
        "accelerator"
    )
    for key in _PLAN_KEYS:
        run_cfg.trainer[key] = cfg.trainer[key]
        # Numbers come out as in the training, where the device is of the same kind.
        if same_kind and cfg.trainer[key] == "auto" and key in ("precision", "memory_format"):
            run_cfg.trainer[key] = trained_with[key]
    run_cfg.trainer.devices = 1
    run_cfg.trainer.limit_val_batches = cfg.trainer.limit_batches
    run_cfg.paths = cfg.paths
    forget_sources(run_cfg)
    return run_cfg


@dataclass(frozen=True)
class _Scoring:
    """One evaluation at work.

    Attributes:
        cfg: Of the evaluation.
        run_cfg: Of the run, with what the evaluation says put in its place.
        source: The run.
        members: Its models.
        record: Of the evaluation.
        view: W&B.
        console: For people.
    """

    cfg: DictConfig
    run_cfg: DictConfig
    source: RunRecord
    members: list[Member]
    record: RunRecord
    view: WandbView
    console: Console

    def run(self) -> dict[str, float]:
        """Score, write and show; return the scores."""
        cfg, record, split = self.cfg, self.record, self.cfg.data.split
        dataset = self._open_dataset()
        scorer = self._build_scorer(dataset)
        saved = cfg.save_predictions or cfg.save_probabilities
        files = PredictionFiles(record.run_dir, dataset.labels, cfg.save_probabilities)
        found = run_suite(cfg, scorer, split, [files] if saved else [])
        metrics = dict(found.result.scores)
        if list(cfg.suite.corruptions):
            table = run_corruptions(cfg, scorer, found.result, self.console)
            found.tables["corruptions"] = table
            stressed = table[table["severity"] > 0]
            metrics[f"{split}/relative_miou"] = float(stressed["relative"].mean())
        record.set_metrics(metrics)
        if cfg.suite.cost:
            metrics |= cost_of(scorer)
            record.set_metrics(metrics)
        rows = self._write(dataset, scorer, found)
        names = " + ".join(member.name for member in self.members)
        show(self.console, rich_table(rows, f"{names}, {dataset.manifest.name}"))
        self._tell(found, metrics)
        tell_objective(targets_of(cfg) or targets_of(self.run_cfg), record, metrics, self.console)
        if saved:
            say(self.console, f"predictions {record.run_dir / PREDICTIONS}")
        tell_record(record, self.console)
        return metrics

    def _open_dataset(self) -> Dataset:
        """Open what is scored, and refuse or warn where that says little of the run."""
        first, split = self.members[0].record, self.cfg.data.split
        trained_on = Manifest.read(self.source.run_dir / "manifest")
        opened = open_dataset_of(self.run_cfg)
        self._require_comparable(trained_on, opened)
        require_unseen(self.members, opened.manifest, split)
        bands = recorded_bands(first.read())
        require_same_bands(bands, opened.cache, opened.manifest.name)
        require_corruptions(list(self.cfg.suite.corruptions), bands)
        known = training_images_in(trained_on, opened.manifest, split)
        if known is not None:
            say(self.console, f"warning: {known}")
        if changed := changed_code(first, self.run_cfg):
            say(self.console, changed)
        return replace(opened, trained_on=trained_on, bands=bands)

    def _require_comparable(self, trained_on: Manifest, dataset: Dataset) -> None:
        names, own = dataset.labels.class_names, trained_on.labels.class_names
        now = dataset.manifest
        require_classes(parse_targets(targets_of(self.cfg)), names)
        if names != own:
            raise ConfigError(
                f"data: the run knows the classes {', '.join(own)}; {now.name} has "
                f"{', '.join(names)}. Only data with the same classes in the same order can be scored"
            )
        if self.cfg.data.importer == "run":
            choice = f"data={now.provenance.get('importer', 'folder')} "
            if self.cfg.data.manifest is None:
                choice += f"data.root='{now.root}', with the options of the import"
            else:
                choice += f"data.manifest='{self.cfg.data.manifest}'"
            remedy = f"score the run on them as on other data ({choice})"
            require_same_data(self.source, now, remedy)

    def _build_scorer(self, dataset: Dataset) -> Scorer:
        """Load the models and put them to work as asked for; note it in the record."""
        run_cfg, num_classes = self.run_cfg, dataset.labels.num_classes
        plan, device = make_plan(run_cfg)
        apply_threads(plan)
        model = build_model(run_cfg, num_classes, dataset.bands)
        plan, _ = make_plan(run_cfg, model)
        module = build_module(run_cfg, dataset, model, plan, steps_per_epoch=1)
        models = [load_model(member, num_classes, plan) for member in self.members]
        module.model.load_state_dict(models[0].state_dict())
        nets = take_same_images([module.model, *models[1:]])
        loop = TrainerOptions(limit_val_batches=run_cfg.trainer.limit_val_batches)
        self.record.update(
            **dataset.manifest.recorded_fingerprints(),
            execution_plan=plan.to_dict(),
            device=device.name,
            bands=dataset.bands.to_dict() if dataset.bands else None,
        )
        return Scorer(
            build_trainer(plan, loop, [], self.record.run_dir),
            module,
            build_datamodule(run_cfg, dataset, plan),
            Evaluation(predictor=build_predictor(self.cfg, nets), companions=nets[1:]),
        )

    def _write(self, dataset: Dataset, scorer: Scorer, found: SuiteResult) -> list[Row]:
        """Write and show tables, figures and gallery; return the table of classes."""
        record, results = self.record, {self.cfg.data.split: found.result}
        write_results(record, results)
        write_suite_tables(record.run_dir, found.tables)
        rows = write_tables(record, dataset.labels, results)
        figures = draw_figures(record, scorer, results) | draw_suite(record, found.tables)
        if limit := self.cfg.suite.gallery:
            found.tables["gallery"] = write_gallery(
                record.run_dir, scorer, found.result.per_image, dataset.manifest, limit
            )
        show_evaluation(self.view, record, dataset.labels, found, rows, figures)
        return rows

    def _tell(self, found: SuiteResult, metrics: dict[str, float]) -> None:
        split = self.cfg.data.split
        say(self.console, score_sentence(metrics, split))
        for label in ("boundary", "confidence"):
            keys = {one.name: metric_key(split, one.name) for one in declared_scores(label)}
            parts = [
                f"{name} {format_cell(metrics[key], 4)}"
                for name, key in keys.items()
                if key in metrics
            ]
            if parts:
                say(self.console, f"{label}: {', '.join(parts)}")
        missed = metrics.get(f"{split}/{HD95_MISSED}")
        if missed:
            say(
                self.console,
                f"hd95: {missed:.0f} times only target or prediction had a class; each counts the "
                f"diagonal of the image, {metrics[f'{split}/{HD95_PENALTY}']:.1f} pixels",
            )
        costs = [metric_key(COST, score.name) for score in shown_scores("cost")]
        parts = [f"{key.partition('/')[2]} {metrics[key]:.4g}" for key in costs if key in metrics]
        if parts:
            say(self.console, f"cost: {', '.join(parts)}")
        if "slices" in found.tables:
            self._show_slices(frame_rows(found.tables["slices"]))

    def _show_slices(self, rows: list[Row]) -> None:
        shown = [
            {name: row[name] for name in ("slice_kind", "slice", "images", "miou")} for row in rows
        ]
        if self.cfg.suite.intervals:
            for one, row in zip(shown, rows, strict=True):
                one["95 % interval"] = interval_cell(
                    float(row["miou_low"]), float(row["miou_high"])
                )
        show(self.console, rich_table(shown, "slices", footer=False))
