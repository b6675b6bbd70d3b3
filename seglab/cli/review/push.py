"""`seglab review push`: a queue to an annotation tool."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.text.escape import one_line

_EXAMPLES = (
    ("seglab review push queue=review to=labelme", "files of LabelMe in review/labelme"),
    ("seglab review push queue=review to=cvat output=TODO", "images and XML of CVAT"),
    (
        "seglab review push queue=review to=label_studio_server url=http://localhost:8080",
        "a running Label Studio; token in LABEL_STUDIO_API_KEY",
    ),
)
_SUMMARY = (
    "Give a queue to an annotation tool, with the masks of the model as what is to be corrected. Pushed "
    "again, nothing is there twice."
)


def run(argv: Sequence[str]) -> int:
    """Push a queue and say where it is."""
    from seglab.feedback.options import PushOptions

    if not argv or asks_for_help(argv):
        return print_word_help("review push", _SUMMARY, PushOptions, _EXAMPLES)
    options = read_words(argv, PushOptions, "review push")
    from seglab.feedback.exchange.pushing import push
    from seglab.feedback.queue.content import read_queue

    queue = read_queue(Path(options.queue))
    done = push(queue, options, _tell)
    before = f", {done.there} were there already" if done.there else ""
    sys.stdout.write(f"{one_line(done.place)}: {done.added} images pushed{before}\n")
    return 0


def _tell(text: str) -> None:
    sys.stderr.write(f"{one_line(text)}\n")
