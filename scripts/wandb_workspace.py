"""Set up the W&B page of a group of runs: a workspace with the panels that matter, and a report.

The records of the runs on this machine say what to show: classes, splits, the settings in which the
runs differ, project and group. The runs themselves have to be uploaded (`seglab wandb sync`) for
the panels to fill. Sections are scores, classes, curves, overlays, settings (parallel coordinates)
and system; the report shows the same of one cross-validation, study or comparison, with its numbers.

Needs the package wandb-workspaces, an API key and a network; `--dry-run` prints what would be saved
as JSON and needs neither key nor network.

Example: python scripts/wandb_workspace.py runs/camvid_unet --entity my-team --report
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from seglab.core.errors import ConfigError, RunNotFoundError, SeglabError
from seglab.runs import load_runs

SECTIONS = ("scores", "classes", "curves", "overlays", "settings", "system")
MAX_CLASSES = 40
MAX_SETTINGS = 8
EPOCH, STEP = "epoch", "trainer/global_step"
UNKNOWN_ENTITY = "YOUR-TEAM"


@dataclass(frozen=True)
class Subject:
    """What a workspace is about.

    Args:
        entity: User or team.
        project: W&B project.
        group: W&B group of the runs; None: all runs of the project.
        name: Of workspace and report.
        splits: That were scored, such as val and test.
        classes: As in the keys `val/iou/<class>`.
        settings: Configuration keys in which the runs differ, most telling first.
        rows: The runs, as from `load_runs`.
    """

    entity: str
    project: str
    group: str | None
    name: str
    splits: tuple[str, ...]
    classes: tuple[str, ...]
    settings: tuple[str, ...]
    rows: pd.DataFrame


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, help="run folders, or folders of runs")
    parser.add_argument("--entity", help="user or team; that of the runs, else of your account")
    parser.add_argument("--project", help="W&B project; that of the runs by default")
    parser.add_argument("--group", help="W&B group; that of the runs if they have one in common")
    parser.add_argument("--name", help="of workspace and report; the group by default")
    parser.add_argument("--report", action="store_true", help="save a report of the group too")
    parser.add_argument("--dry-run", action="store_true", help="print it as JSON, save nothing")
    return parser.parse_args(argv)


def read_subject(args: argparse.Namespace) -> Subject:
    """Return what the records say, with what the command line says instead.

    Raises:
        RunNotFoundError: There are no runs.
        ConfigError: The runs belong to several projects and none was named.
    """
    rows = load_runs(args.runs)
    # Evaluations have records, but no W&B runs.
    rows = rows[rows["kind"] != "eval"]
    if rows.empty:
        raise RunNotFoundError(f"no trainings under {', '.join(map(str, args.runs))}")
    project = args.project or _common(rows, "config.logger.wandb.project")
    if project is None:
        raise ConfigError("the runs name no W&B project, or several; say which with --project")
    entity = args.entity or _common(rows, "config.logger.wandb.entity") or UNKNOWN_ENTITY
    group = args.group or _common_group(rows)
    splits = tuple(split for split in ("val", "test") if f"metrics.{split}/miou" in rows) or (
        "val",
    )
    prefix = f"metrics.{splits[0]}/iou/"
    classes = tuple(name.removeprefix(prefix) for name in map(str, rows) if name.startswith(prefix))
    return Subject(
        entity,
        str(project),
        group,
        args.name or group or str(project),
        splits,
        classes[:MAX_CLASSES],
        tuple(_settings(rows))[:MAX_SETTINGS],
        rows,
    )


def _common(rows: pd.DataFrame, column: str) -> Any:
    values = set(rows[column].dropna()) if column in rows else set()
    return values.pop() if len(values) == 1 else None


def _common_group(rows: pd.DataFrame) -> str | None:
    """Return the group as `seglab` chooses it: configured, else the CV's id, else the experiment."""
    configured = _common(rows, "config.logger.wandb.group")
    if configured is not None:
        return str(configured)
    cvs = rows.loc[rows["kind"] == "cv", "run_id"]
    if len(cvs) == 1 and rows["kind"].isin(["cv", "fold"]).all():
        return str(cvs.iloc[0])
    experiment = _common(rows, "experiment")
    return None if experiment is None or len(cvs) else str(experiment)


def _settings(rows: pd.DataFrame) -> list[str]:
    """Return the settings that differ; scalars only, since others have no place on an axis."""
    from seglab.analysis.settings import varied_settings

    plain = [
        name.removeprefix("config.")
        for name in varied_settings(rows)
        if rows[name].map(lambda value: not isinstance(value, list | dict)).all()
    ]
    first = ("optimizer.lr", "data.batch_size", "model.arch", "model.encoder_name")
    return sorted(
        plain, key=lambda name: (name not in first, first.index(name) if name in first else 0)
    )


def panels(subject: Subject) -> dict[str, list[Any]]:
    """Return the panels of each section; used by the workspace and the report."""
    import wandb_workspaces.reports.v2 as wr

    splits, main = subject.splits, subject.splits[0]
    finals = [f"final/{split}/miou" for split in splits]
    table = "tables/classes"
    made: dict[str, list[Any]] = {
        "scores": [
            *(wr.BarPlot(title=f"{key} (best weights)", metrics=[key]) for key in finals),
            wr.LinePlot(
                title=f"{main}/miou, mean and spread of groups",
                x=EPOCH,
                y=[f"{main}/miou"],
                groupby="Group",
                groupby_aggfunc="mean",
                groupby_rangefunc="stddev",
            ),
            wr.RunComparer(diff_only=True),
        ],
        "classes": [
            wr.WeavePanelSummaryTable(table_name=table),
            wr.WeavePanelSummaryTable(table_name=f"confusion/{main}_table"),
            *(
                wr.LinePlot(
                    title=f"IoU of {name}", x=EPOCH, y=[f"{main}/iou/{name}"], range_y=(0, 1)
                )
                for name in subject.classes
            ),
        ],
        "curves": [
            wr.LinePlot(title="Loss", x=EPOCH, y=["train/loss", "val/loss"]),
            wr.LinePlot(title="Score", x=EPOCH, y=["val/miou", "val/dice"]),
            wr.LinePlot(title="Training loss by step", x=STEP, y=["train/loss_step"], log_y=True),
            wr.LinePlot(title="Learning rate", x=STEP, metric_regex="lr/.*"),
        ],
        "overlays": [
            wr.MediaBrowser(
                title="Validation images over the epochs",
                media_keys=["overlays/val"],
                mode="gallery",
                gallery_axis="step",
                num_columns=4,
            )
        ],
        "settings": _setting_panels(subject, finals[0]),
        "system": [
            wr.LinePlot(
                title="GPU use (%)", x="RelativeTime(Process)", metric_regex=r"system/gpu\..*\.gpu"
            ),
            wr.LinePlot(
                title="GPU memory (%)",
                x="RelativeTime(Process)",
                metric_regex=r"system/gpu\..*\.memoryAllocated",
            ),
            wr.LinePlot(title="CPU use (%)", x="RelativeTime(Process)", y=["system/cpu"]),
            wr.LinePlot(
                title="Memory of the process (MB)",
                x="RelativeTime(Process)",
                y=["system/proc.memory.rssMB"],
            ),
        ],
    }
    return {section: made[section] for section in SECTIONS}


def _setting_panels(subject: Subject, target: str) -> list[Any]:
    import wandb_workspaces.reports.v2 as wr

    axis = wr.ParallelCoordinatesPlotColumn
    columns = [
        axis(metric=wr.Config(name), display_name=name, log=True if name.endswith(".lr") else None)
        for name in subject.settings
    ]
    columns.append(axis(metric=wr.SummaryMetric(target), display_name=target))
    made: list[Any] = [wr.ParallelCoordinatesPlot(title=f"Settings and {target}", columns=columns)]
    if subject.settings:
        made.append(wr.ParameterImportancePlot(with_respect_to=target))
    return made


def build_workspace(subject: Subject) -> Any:
    """Return the workspace, not saved."""
    import wandb_workspaces.expr as expr
    import wandb_workspaces.workspaces as ws

    wanted = panels(subject)
    pinned = [f"summary:final/{split}/miou" for split in subject.splits]
    pinned += [f"config:{_accessor(name)}" for name in subject.settings]
    filters = [expr.Metric("Group") == subject.group] if subject.group else []
    return ws.Workspace(
        entity=subject.entity,
        project=subject.project,
        name=subject.name,
        sections=[
            ws.Section(
                name=name, panels=wanted[name], is_open=name in ("scores", "curves", "overlays")
            )
            for name in SECTIONS
        ],
        settings=ws.WorkspaceSettings(x_axis=EPOCH, max_runs=20),
        runset_settings=ws.RunsetSettings(
            filters=filters,
            pinned_columns=pinned,
            order=[expr.Ordering(expr.Summary(f"final/{subject.splits[0]}/miou"), ascending=False)],
        ),
    )


def _accessor(name: str) -> str:
    """Return how W&B addresses a nested setting: `optimizer.value.lr`."""
    first, *rest = name.split(".")
    return ".".join([first, "value", *rest])


def build_report(subject: Subject) -> Any:
    """Return the report, not saved."""
    import wandb_workspaces.expr as expr
    import wandb_workspaces.reports.v2 as wr

    filters = [expr.Metric("Group") == subject.group] if subject.group else []
    # Without a project a run set takes that of the report; with one it would ask the server for it.
    runset = wr.Runset(name=subject.name, filters=filters)
    blocks: list[Any] = [
        wr.TableOfContents(),
        wr.H1("Runs"),
        wr.MarkdownBlock(text=runs_markdown(subject)),
    ]
    for section, wanted in panels(subject).items():
        blocks += [wr.H1(section.capitalize()), wr.PanelGrid(runsets=[runset], panels=wanted)]
    description = f"{len(subject.rows)} runs, written by scripts/wandb_workspace.py"
    return wr.Report(
        entity=subject.entity,
        project=subject.project,
        title=subject.name[:128],
        description=description,
        blocks=blocks,
        width="fluid",
    )


def runs_markdown(subject: Subject) -> str:
    """Return the runs and their scores as a Markdown table, the best first."""
    from seglab.analysis.tables import markdown_table

    key = f"metrics.{subject.splits[0]}/miou"
    ordered = (
        subject.rows.sort_values(key, ascending=False) if key in subject.rows else subject.rows
    )
    rows: list[dict[str, str | int | float]] = []
    for _, run in ordered.iterrows():
        row: dict[str, str | int | float] = {"run": str(run["run_id"]), "kind": str(run["kind"])}
        for split in subject.splits:
            row[f"{split} mIoU"] = float(run.get(f"metrics.{split}/miou", float("nan")))
            low, high = (run.get(f"metrics.{split}/miou_{end}") for end in ("low", "high"))
            if low is not None and low == low:
                row[f"{split} 95 %"] = f"{low:.3f} to {high:.3f}"
        rows.append({**row, "hours": float(run["wall_time_s"] or 0.0) / 3600})
    return markdown_table(rows)


def plain_spec(thing: Any) -> dict[str, Any]:
    """Return what would be sent to W&B."""
    # Not `_spec`: that of reports is broken in wandb-workspaces 0.4.13.
    spec: dict[str, Any] = thing._to_model().model_dump(
        mode="json", by_alias=True, exclude_none=True
    )
    return spec


def save(subject: Subject, with_report: bool) -> list[str]:
    """Save workspace and report; return their addresses.

    Raises:
        ConfigError: There is no key, or no entity to save to.
        SeglabError: W&B does not answer, or refuses.
    """
    from seglab.engine.tracking.wandb_sync import require_server

    require_server()
    if subject.entity == UNKNOWN_ENTITY:
        subject = replace(subject, entity=_own_entity())
    built = [build_workspace(subject), *([build_report(subject)] if with_report else [])]
    addresses = []
    for thing in built:
        try:
            addresses.append(str(thing.save().url))
        except Exception as error:
            what = type(thing).__name__.lower()
            raise SeglabError(f"W&B did not take the {what}: {error}") from error
    return addresses


def _own_entity() -> str:
    import wandb

    entity = wandb.Api().default_entity
    if not entity:
        raise ConfigError("your account has no default entity; say a user or team with --entity")
    return str(entity)


def main(argv: Sequence[str] | None = None) -> int:
    """Print the JSON or save; return the exit code."""
    args = parse_arguments(argv)
    try:
        subject = read_subject(args)
        if not args.dry_run:
            for address in save(subject, args.report):
                print(address)
            return 0
        content = {"workspace": plain_spec(build_workspace(subject))}
        if args.report:
            content["report"] = plain_spec(build_report(subject))
        print(json.dumps(content, indent=2))
    except SeglabError as error:
        print(f"wandb_workspace: {error}", file=sys.stderr)
        return error.exit_code
    except ModuleNotFoundError as error:
        if error.name != "wandb_workspaces":
            raise
        print("wandb_workspace: install it first: pip install wandb-workspaces", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
