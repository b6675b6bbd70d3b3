"""`seglab metrics`: what is measured, what others would call it, and what more data would bring."""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seglab.cli.base.subcommands import parse_subcommand
from seglab.core.errors import ConfigError, DataError, nearest

if TYPE_CHECKING:
    from seglab.metrics.explain import Convention
    from seglab.runs.record import RunRecord

_CURVE = "say whether more data would help, from runs of experiment=learning_curve"
_LIST = "list what is measured, which end is good and when"
_EXPLAIN = "print what well-known libraries would call the mIoU and Dice of a run, and why"


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code."""
    args = parse_subcommand(build_parser(), argv)
    work: Callable[[argparse.Namespace], int] = args.work
    return work(args)


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of all sub-commands."""
    parser = argparse.ArgumentParser(prog="seglab metrics", description="Look into scores.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    one = commands.add_parser("explain", help=_EXPLAIN, description=_EXPLAIN)
    one.add_argument("run", metavar="RUN", help="a run folder, of a training or an evaluation")
    one.add_argument("--split", help="train, val or test; the run's main split by default")
    one.add_argument("--json", action="store_true", help="print the numbers as JSON")
    one.set_defaults(work=_explain)
    one = commands.add_parser("learning-curve", help=_CURVE, description=_CURVE)
    one.add_argument("runs", metavar="RUN", nargs="+", help="run folders, or folders of them")
    one.add_argument("--metric", default="val/miou", help="the score; val/miou by default")
    one.add_argument("-o", "--output", type=Path, help="also draw the curve into this file (.png)")
    one.set_defaults(work=_learning_curve)
    one = commands.add_parser("list", help=_LIST, description=_LIST)
    one.set_defaults(work=_list)
    return parser


def _list(_args: argparse.Namespace) -> int:
    from seglab.analysis.tables import Row, rich_table
    from seglab.core.text.terminal import open_console, show
    from seglab.metrics.names import declared_scores

    rows: list[Row] = [
        {
            "name": score.name + ("/CLASS" if score.only_of_classes else ""),
            "good": score.better or "-",
            "measured": score.measured,
            "a class too": "yes" if score.per_class else "no",
            "what it is": score.sentence,
        }
        for costs in (False, True)
        for score in declared_scores(costs=costs)
    ]
    show(open_console(), rich_table(rows, "scores", footer=False))
    return 0


def _learning_curve(args: argparse.Namespace) -> int:
    from seglab.analysis.learning.learning_curve import (
        fit_curve,
        learning_curve,
        learning_curve_figure,
        learning_curve_verdict,
    )
    from seglab.analysis.style import save_figure
    from seglab.analysis.tables import frame_rows, rich_table
    from seglab.core.text.terminal import open_console, say, show

    curve = learning_curve(args.runs, args.metric)
    console = open_console()
    show(console, rich_table(frame_rows(curve), args.metric, footer=False))
    verdict = learning_curve_verdict(curve, law=fit_curve(curve))
    say(console, verdict.sentence)
    if args.output is not None:
        figure = learning_curve_figure(curve, verdict.sentence.partition(".")[0], args.metric)
        say(console, f"figure  {save_figure(figure, args.output)}")
    return 0


def _explain(args: argparse.Namespace) -> int:
    from seglab.metrics.explain import advise, explain
    from seglab.runs.record import RunRecord

    record = RunRecord.open(args.run)
    split = args.split or record.read()["main_split"]
    per_image = record.per_image()
    if "split" in per_image:
        known = sorted(per_image["split"].unique())
        if split not in known:
            raise ConfigError(
                f"--split: the run scored no '{split}'{nearest(split, known)}; it has "
                f"{', '.join(known)}"
            )
        per_image = per_image[per_image["split"] == split]
    class_names = _class_names(record, split)
    conventions = explain(per_image, class_names)
    advice = advise(conventions, split, len(per_image))
    if args.json:
        content = {
            "run_id": record.run_id,
            "split": split,
            "images": len(per_image),
            "class_names": class_names,
            "advice": advice,
            "conventions": [_as_json(row) for row in conventions],
        }
        sys.stdout.write(json.dumps(content, indent=2, allow_nan=False) + "\n")
    else:
        print_conventions(conventions, f"{record.run_id}, {split}, {len(per_image)} images", advice)
    return 0


def _class_names(record: RunRecord, split: str) -> list[str]:
    """Return the names of the classes, which the record holds as the ends of its keys."""
    from seglab.metrics.names import IOU, metric_key

    start = metric_key(split, IOU, "")
    names = [key.removeprefix(start) for key in record.metrics if key.startswith(start)]
    if not names:
        raise DataError(
            f"run {record.run_id} has no scores of '{split}' a class; only finished runs of "
            "trainings and evaluations can be explained"
        )
    return names


def _as_json(row: Convention) -> dict[str, Any]:
    content = dataclasses.asdict(row)
    return {**content, "score": None if math.isnan(row.score) else row.score}


def print_conventions(conventions: Sequence[Convention], title: str, advice: str) -> None:
    """Print a table, and below it the advice."""
    from seglab.core.text.terminal import PlainTable, open_console, say, show
    from seglab.metrics.explain import OURS, VOID_NOTE

    ours = {row.kind: row.score for row in conventions if row.name in OURS.values()}
    table = PlainTable(title=title, title_justify="left", show_lines=True)
    for heading, justify in (("score", "right"), ("points", "right")):
        table.add_column(heading, justify=justify, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("of", no_wrap=True)
    for heading in ("call", "why"):
        table.add_column(heading, overflow="fold")
    for row in conventions:
        own = row.name in OURS.values()
        table.add_row(
            f"{row.score:.4f}",
            "" if own else f"{100 * (row.score - ours[row.kind]):+.1f}",
            row.kind,
            f"{row.library}\n{row.name}",
            row.why,
            style="bold" if own else None,
        )
    console = open_console()
    show(console, table)
    say(console, VOID_NOTE)
    say(console, advice)
