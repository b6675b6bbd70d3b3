"""`seglab monitor report`: a period of service as an HTML page."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.text.escape import one_line

_EXAMPLES = (
    ("seglab monitor report log=DIR bundle=BUNDLE", "all of the log"),
    ("seglab monitor report log=DIR bundle=OLD,NEW start=2026-11-26", "both versions, since then"),
    ("seglab monitor report log=DIR bundle=BUNDLE labels=MASKS", "with labels that arrived"),
)
_SUMMARY = (
    "Write one page about a period of service: traffic, latency, failures, what was predicted, drift "
    "against the bundle's reference, quality without labels and, where there are some, with them."
)


def run(argv: Sequence[str]) -> int:
    """Write the page; return 0."""
    from seglab.monitor.report.options import ReportOptions

    if not argv or asks_for_help(argv):
        return print_word_help("monitor report", _SUMMARY, ReportOptions, _EXAMPLES)
    options = read_words(argv, ReportOptions, "monitor report")
    from seglab.monitor.report.page import write_monitor_report

    if options.labels and _is_manifest(Path(options.labels).expanduser()):
        from seglab.cli.monitor.manifest_labels import manifest_labels

        labels, images = manifest_labels(Path(options.labels).expanduser(), options.bundle)
        path = write_monitor_report(options, labels, images.get)
    else:
        path = write_monitor_report(options)
    sys.stdout.write(f"{one_line(str(path))}\n")
    return 0


def _is_manifest(place: Path) -> bool:
    return place.suffix == ".parquet" or (place / "manifest.parquet").is_file()
