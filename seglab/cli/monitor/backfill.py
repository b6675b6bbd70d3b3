"""`seglab monitor backfill`: images that were not logged when they were predicted."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.errors import DataError, list_problems
from seglab.core.text.escape import one_line
from seglab.monitor.watch.options import BackfillOptions

_SUMMARY = (
    "Log images as the service would have, with the times they were taken: a folder of them, or those that "
    "the log of another bundle has stored. The same words again go on with what is left."
)
_EXAMPLES = (
    ("seglab monitor backfill bundle=new input=drives log=log-new", "each folder a stream"),
    ("seglab monitor backfill bundle=new input=log log=log-new", "old requests, another bundle"),
)


def run(argv: Sequence[str]) -> int:
    """Log them; return 0, or 1 where images were left out."""
    if not argv or asks_for_help(argv):
        return print_word_help("monitor backfill", _SUMMARY, BackfillOptions, _EXAMPLES)
    options = read_words(argv, BackfillOptions, "monitor backfill")
    from seglab.bundle.loader import BundleError
    from seglab.monitor.watch.backfill import backfill

    shows = sys.stderr.isatty()

    def tell(text: str) -> None:
        if shows or " of " not in text[:20]:
            sys.stderr.write(f"\r{text}" if shows else f"{text}\n")

    try:
        found = backfill(options, tell)
    except BundleError as error:
        raise DataError(str(error)) from error
    before = f", {found.before} were there before" if found.before else ""
    sys.stdout.write(f"{one_line(options.log)}: {found.rows} rows written{before}\n")
    if not found.faults:
        return 0
    texts = [one_line(f"{place}: {reason}") for place, reason in found.faults.items()]
    sys.stderr.write(list_problems(f"{len(texts)} left out", texts) + "\n")
    return 1
