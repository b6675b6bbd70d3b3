"""`seglab report`: run records, or a study, as one HTML page; reads records only, never models or data."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.core.errors import ConfigError

_MAX_CASES = 40
_IMAGE_WIDTH = 480
_PICTURE_MB = 8.0
_STUDY = "study.json"
_EPILOG = """examples:
  seglab report runs/demo -o demo.html          every run of an experiment
  seglab report runs/demo/RUN runs/demo/EVAL    two runs, into report.html
  seglab report 'runs/*/2026*'                  a pattern
  seglab report runs/demo/lr_batch -o lr.html   a study: its trials, figures and winner
  seglab report runs/demo/lr_batch/trials       the trials of a study as runs, with their curves
"""


def run(argv: Sequence[str]) -> int:
    """Write the page, print where it is and how large; return the exit code.

    Raises:
        ConfigError: The words are wrong, or the file there is no report and `--force` is missing.
        RunNotFoundError: A path or pattern leads to no run.
        DataError: Not one of the records can be read.
    """
    args = build_parser().parse_args(list(argv))
    _check(args)
    if len(args.runs) == 1 and (Path(args.runs[0]).expanduser() / _STUDY).is_file():
        return _report_study(args)
    from seglab.analysis.report import ReportOptions, collect_report, write_page

    options = ReportOptions(
        title=args.title,
        max_cases=args.max_cases,
        image_width=args.image_width,
        max_picture_bytes=round(args.picture_mb * 1e6),
    )
    report = collect_report(args.runs, options)
    size = write_page(report, args.output)
    for problem in report.problems:
        sys.stderr.write(f"left out: {problem}\n")
    count = len(report.runs)
    noun = "run" if count == 1 else "runs"
    sys.stdout.write(f"{args.output}: {count} {noun}, {size / 1e6:.1f} MB\n")
    return 0


def _report_study(args: argparse.Namespace) -> int:
    from seglab.analysis.report.study_page import write_study_page

    size = write_study_page(Path(args.runs[0]).expanduser(), args.output, args.title)
    sys.stdout.write(f"{args.output}: 1 study, {size / 1e6:.1f} MB\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of the command."""
    parser = argparse.ArgumentParser(
        prog="seglab report",
        description="Write runs, folds, cross-validations and evaluations, or one study, as one "
        "HTML page that needs no network.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "runs",
        nargs="+",
        metavar="RUN",
        help="a run folder, a folder of runs, a pattern of such, or the folder of one study",
    )
    parser.add_argument(
        "-o",
        "--output",
        type=Path,
        default=Path("report.html"),
        help="file to write; report.html by default",
    )
    parser.add_argument("--title", default="", help="heading; the experiments by default")
    parser.add_argument(
        "--max-cases",
        type=int,
        default=_MAX_CASES,
        help=f"cases of the failure gallery a run ({_MAX_CASES})",
    )
    parser.add_argument(
        "--image-width",
        type=int,
        default=_IMAGE_WIDTH,
        help=f"pixels a picture is wide at most ({_IMAGE_WIDTH})",
    )
    parser.add_argument(
        "--picture-mb",
        type=float,
        default=_PICTURE_MB,
        help=f"all pictures together; they shrink to fit ({_PICTURE_MB:g})",
    )
    parser.add_argument(
        "--force", action="store_true", help="overwrite the file even if it is no report"
    )
    return parser


def _check(args: argparse.Namespace) -> None:
    """Find everything wrong with the words before the slow imports."""
    problems = []
    if args.max_cases < 0:
        problems.append(f"--max-cases: expected 0 or more, got {args.max_cases}")
    if args.image_width < 64:
        problems.append(f"--image-width: expected 64 pixels or more, got {args.image_width}")
    if not args.picture_mb > 0:
        problems.append(f"--picture-mb: expected more than 0, got {args.picture_mb}")
    if args.output.is_dir():
        problems.append(f"--output: {args.output} is a folder; give a file, such as report.html")
    elif args.output.exists() and not args.force and not _is_report(args.output):
        problems.append(
            f"--output: {args.output} exists and is no report of seglab; choose another name, or "
            "overwrite it with --force"
        )
    if problems:
        raise ConfigError(problems)


def _is_report(path: Path) -> bool:
    from seglab.analysis.report import is_report

    return is_report(path)
