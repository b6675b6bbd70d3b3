"""`seglab retrain`: the champion's configuration on new data, promoted where it is no worse."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words

_SUMMARY = """Train the champion's configuration on a new version of the data, export it, and compare both
on one frozen holdout. It is promoted where it is no worse than `margin` allows, lower on no guarded
slice, and as fast as `max_latency_ms` asks. The same words go on after a kill. Exit codes: 0 promoted, or
nothing new; 1 failed; 2 wrong words or data; 3 not promoted."""
_EXAMPLES = (
    ("seglab retrain registry=models data=manifests/v2", "fine-tune the champion on a new version"),
    ("seglab retrain registry=models data=DIR start=scratch", "train as the champion's run was"),
    ("seglab retrain data=DIR guard=class:pole,tag:night max_latency_ms=80", "with guarded slices"),
    ("seglab retrain data=DIR dry_run=true", "check the data, and say what would be done"),
)
_NOT_PROMOTED = 3


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: The words are wrong.
    """
    from seglab.deploy.retrain.options import RetrainOptions

    if asks_for_help(argv):
        return print_word_help("retrain", _SUMMARY, RetrainOptions, _EXAMPLES)
    options = read_words(argv, RetrainOptions, "retrain")
    from seglab.core.text.terminal import open_console
    from seglab.deploy.retrain.retrain import NOT_PROMOTED, retrain

    outcome = retrain(options, open_console())
    return _NOT_PROMOTED if outcome.verdict == NOT_PROMOTED else 0
