"""`seglab monitor silence`: alerts that nobody is told of for some time."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.core.text.escape import one_line
from seglab.monitor.watch.options import SilenceOptions

_SUMMARY = "Keep alerts quiet for some hours; they are still found, shown, and told where they last longer."
_EXAMPLES = (
    ("seglab monitor silence log=log alert='drift/*' hours=8 why='snow'", "every alert of drift"),
    ("seglab monitor silence log=log alert='drift/*' why=over end=true", "no longer"),
)


def run(argv: Sequence[str]) -> int:
    """Begin or end a silence, and print those that last."""
    if not argv or asks_for_help(argv):
        return print_word_help("monitor silence", _SUMMARY, SilenceOptions, _EXAMPLES)
    options = read_words(argv, SilenceOptions, "monitor silence")
    from seglab.monitor.watch.loop import silence

    for one in silence(options, time.time()):
        until = datetime.datetime.fromtimestamp(one.until, datetime.UTC)
        sys.stdout.write(
            one_line(f"{one.alert} until {until:%Y-%m-%d %H:%M} UTC: {one.why}") + "\n"
        )
    return 0
