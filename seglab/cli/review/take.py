"""`seglab review take`: annotations as a new version of a manifest."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.text.escape import one_line

_EXAMPLES = (
    ("seglab review take queue=review manifest=manifests/street", "from where they were pushed to"),
    (
        "seglab review take queue=review manifest=manifests/street annotations=DONE format=cvat",
        "files",
    ),
    ("seglab review take queue=review manifest=M annotations=project.json format=label_studio", ""),
)
_SUMMARY = (
    "Take annotations back: the labelled images join a manifest as a new version, and what was changed "
    "says how good the model was. May be done again when more is annotated."
)


def run(argv: Sequence[str]) -> int:
    """Take annotations and say what came back; 1 where some are broken."""
    from seglab.feedback.options import TakeOptions

    if not argv or asks_for_help(argv):
        return print_word_help("review take", _SUMMARY, TakeOptions, _EXAMPLES)
    options = read_words(argv, TakeOptions, "review take")
    from seglab.feedback.exchange.taking import take
    from seglab.feedback.exchange.telling import taken_lines
    from seglab.feedback.queue.content import read_queue

    queue = read_queue(Path(options.queue))
    taken, _ = take(queue, options)
    before, now = taken["manifest"]["before"], taken["manifest"]["now"]
    lines = taken_lines(taken)
    lines.append(
        f"{options.manifest}: fingerprint {now} (was {before}); back with `seglab data undo "
        f"{options.manifest}`"
        if now != before
        else f"{options.manifest}: nothing changed"
    )
    sys.stdout.writelines(f"{one_line(line)}\n" for line in lines)
    return 1 if taken["broken"] else 0
