"""`seglab review queue`: which images to label next."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.text.escape import one_line

_EXAMPLES = (
    (
        "seglab review queue log=LOG bundle=DIR holdout=manifests/street",
        "50 of a log, 10 at random",
    ),
    ("seglab review queue log=LOG bundle=DIR start=2026-11-26 end=2026-11-27", "of one day"),
    ("seglab review queue images=PHOTOS bundle=DIR count=100 control=0.3", "of a folder"),
    ("seglab review queue log=LOG bundle=DIR per_stream=5 diversity=2", "more kinds of scenes"),
)
_SUMMARY = (
    "Choose what to label next: a share drawn at random from all images, and the rest where the model is "
    "unsure, its members disagree, or the image is unlike those it was measured on."
)


def run(argv: Sequence[str]) -> int:
    """Write a queue and say what is in it."""
    from seglab.feedback.options import QueueOptions

    if not argv or asks_for_help(argv):
        return print_word_help("review queue", _SUMMARY, QueueOptions, _EXAMPLES)
    options = read_words(argv, QueueOptions, "review queue")
    from seglab.feedback.exchange.telling import queue_lines
    from seglab.feedback.queue.build import make_queue

    queue = make_queue(options, _tell)
    sys.stdout.writelines(f"{one_line(line)}\n" for line in queue_lines(queue))
    return 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{one_line(text)}\n")
