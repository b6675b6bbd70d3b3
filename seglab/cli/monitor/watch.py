"""`seglab monitor watch`: rules over the latest requests, and messages about what is wrong."""

from __future__ import annotations

import logging
import signal
import sys
import threading
from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.monitor.watch.options import WatchOptions

_SUMMARY = (
    "Judge the latest requests at every interval and tell people what is wrong, once, until it is over. "
    "With once=true it ends with 1 where an alert lasts or could not be delivered."
)
_EXAMPLES = (
    ("seglab monitor watch log=log bundle=bundles/unet", "a line for each alert"),
    ("seglab monitor watch ... webhook.url=https://chat/hook webhook.form=text", "to a chat room"),
    ("seglab monitor watch ... email.host=smtp.lab email.to=a@lab,b@lab", "by e-mail"),
    ("seglab monitor watch ... once=true textfile=/var/lib/node_exporter/seglab.prom", "from cron"),
)


def run(argv: Sequence[str]) -> int:
    """Watch until SIGTERM or SIGINT, or once."""
    if not argv or asks_for_help(argv):
        return print_word_help("monitor watch", _SUMMARY, WatchOptions, _EXAMPLES)
    options = read_words(argv, WatchOptions, "monitor watch")
    from seglab.monitor.watch.loop import watch

    log, handler = logging.getLogger("seglab.monitor"), logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    ending = threading.Event()
    former = {
        number: signal.signal(number, lambda *_: ending.set())
        for number in (signal.SIGTERM, signal.SIGINT)
    }
    try:
        return watch(options, _print, ending)
    finally:
        log.removeHandler(handler)
        for number, before in former.items():
            signal.signal(number, before)


def _print(text: str) -> None:
    """Print what is no alert, beside the alerts."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()
