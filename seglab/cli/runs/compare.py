"""`seglab compare`: is one run better than another, and how sure is that?"""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from seglab.analysis.comparison.compare import Comparison

# Columns that may be folded on a terminal, to so many characters at least; numbers stay whole.
_FOLDED = {"run": 11, "model": 11, "interval": 8, "of diff": 8, "verdict": 10}
_ONLY_WHERE_ROOMY = ("model", "M params", "GFLOPs", "hours", "ms")
_ROOMY, _WIDE = 130, 250
_SUMMARY = """Compare runs: intervals, p-values corrected for many comparisons, and a verdict in words.

A RUN is the folder of a training, an evaluation or a cross-validation, a folder of runs (all that
finished in it), a glob, or a run id. Runs that differ only by seed count as repeats of one."""


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        NotComparableError: The runs cannot be compared; the message says why.
        SeglabError: The words are wrong.
    """
    args = build_parser().parse_args(list(argv))
    from seglab.analysis.comparison.compare import compare

    comparison = compare(
        args.runs,
        baseline=args.baseline,
        metric=args.metric,
        split=args.split,
        force=args.force,
        level=args.level,
        runs_dir=args.runs_dir,
    )
    if args.json:
        write_comparison(args.json, comparison)
    if args.csv:
        from seglab.analysis.tables import csv_table
        from seglab.core.disk.files import write_text

        write_text(args.csv, csv_table(comparison.table.drop(columns="run_ids")))
    print_table(comparison)
    print_objectives(args)
    # Not through rich: run ids may hold brackets, and lines are for grep.
    sys.stdout.write(f"{comparison.text}\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the flags."""
    parser = argparse.ArgumentParser(
        prog="seglab compare",
        description=_SUMMARY,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="what to compare")
    parser.add_argument(
        "--baseline",
        metavar="RUN",
        help="compare the others with this run; with the best by default",
    )
    from seglab.metrics.names import compared_scores

    names = ", ".join(compared_scores())
    parser.add_argument("--metric", default="miou", help=f"one of {names}; miou by default")
    parser.add_argument("--split", default="val", help="val (default), test or train")
    parser.add_argument("--level", type=float, default=0.95, help="confidence; 0.95 by default")
    parser.add_argument(
        "--force",
        action="store_true",
        help="compare although data, classes, images or folds differ",
    )
    parser.add_argument(
        "--target",
        action="append",
        default=[],
        metavar="'miou >= 0.7'",
        help="say which runs meet it; may be repeated; else the runs' own",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all of it as JSON")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write the table as CSV")
    parser.add_argument(
        "--runs-dir",
        type=Path,
        default=Path(os.environ.get("SEGLAB_RUNS", "runs")),
        metavar="DIR",
        help="where run ids are looked up",
    )
    return parser


def print_table(comparison: Comparison) -> None:
    """Print the table: as wide as it is into a file, fitted to the width of a terminal.

    A narrow terminal leaves out models and costs and folds names and intervals.
    """
    from seglab.analysis.tables import rich_table
    from seglab.core.text.terminal import open_console, show

    console = open_console(_WIDE)
    rows = table_rows(comparison)
    if console.is_terminal and console.width < _ROOMY:
        rows = [{key: row[key] for key in row if key not in _ONLY_WHERE_ROOMY} for row in rows]
    table = rich_table(rows, f"{comparison.split}, reference {comparison.reference}", footer=False)
    for column in table.columns:
        least = _FOLDED.get(str(column.header))
        column.no_wrap, column.min_width = least is None, least
        column.overflow = "fold"
    show(console, table)


def print_objectives(args: argparse.Namespace) -> None:
    """Print which targets the runs meet: those of the flags, else those they were trained for."""
    from seglab.analysis.comparison.contenders import choose_runs
    from seglab.analysis.comparison.objectives import judge_runs
    from seglab.analysis.tables import rich_table
    from seglab.core.text.terminal import open_console, show

    words = args.runs if args.baseline is None else [*args.runs, args.baseline]
    rows = judge_runs(choose_runs(words, args.runs_dir)[0], args.target)
    if rows:
        show(open_console(), rich_table(rows, "objective", footer=False))


def table_rows(comparison: Comparison) -> list[dict[str, str | int | float]]:
    """Return the rows for the terminal: intervals in one cell, columns without a value left out."""
    rows: list[dict[str, str | int | float]] = []
    for row in comparison.table.to_dict("records"):
        is_reference = row["verdict"] == "reference"
        rows.append(
            {
                "run": row["run"],
                "model": row["model"],
                comparison.metric: row[comparison.metric],
                "interval": _interval(row["low"], row["high"]),
                "diff": "" if is_reference else row["diff"],
                "of diff": "" if is_reference else _interval(row["diff_low"], row["diff_high"]),
                "p (Holm)": "" if is_reference else _p(row["p_holm"]),
                "verdict": row["verdict"],
                "M params": row["params_m"],
                "GFLOPs": row["gflops"],
                "hours": row["hours"],
                "ms": row["latency_ms"],
            }
        )
    known = {
        column
        for row in rows
        for column, value in row.items()
        if not (isinstance(value, float) and math.isnan(value))
    }
    return [{column: value for column, value in row.items() if column in known} for row in rows]


def write_comparison(path: Path, comparison: Comparison) -> None:
    """Write a comparison as JSON; undefined numbers become null."""
    from seglab.core.disk.files import write_json

    content: dict[str, Any] = {
        name: getattr(comparison, name)
        for name in (
            "metric",
            "split",
            "method",
            "reference",
            "comparisons",
            "text",
            "notes",
            "forced",
        )
    }
    write_json(path, {**content, "rows": comparison.table.to_dict("records")})


def _p(p: float) -> str | float:
    return "<0.001" if p < 0.001 else p


def _interval(low: float, high: float) -> str:
    return "too few to tell" if math.isnan(low) or math.isnan(high) else f"[{low:.3f}, {high:.3f}]"
