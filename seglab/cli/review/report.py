"""`seglab review report`: how far a queue is, and what its labels say of the model."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.text.escape import one_line

_EXAMPLES = (("seglab review report queue=review", ""),)
_SUMMARY = "Tell what is in a queue, where it was pushed to, and what the labels taken back say."


def run(argv: Sequence[str]) -> int:
    """Print the report."""
    from seglab.feedback.options import ReviewReportOptions

    if not argv or asks_for_help(argv):
        return print_word_help("review report", _SUMMARY, ReviewReportOptions, _EXAMPLES)
    options = read_words(argv, ReviewReportOptions, "review report")
    from seglab.feedback.exchange.telling import report_lines, server_lines
    from seglab.feedback.queue.content import read_queue

    queue = read_queue(Path(options.queue))
    lines = [*report_lines(queue), *server_lines(queue)]
    sys.stdout.writelines(f"{one_line(line)}\n" for line in lines)
    return 0
