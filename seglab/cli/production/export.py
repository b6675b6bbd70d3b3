"""`seglab export`: a run as a bundle that proves itself."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words

_SUMMARY = """Write a trained run as a bundle: one folder, and a zip of it, with everything from the bytes
of an image to its mask. The holdout is scored again through it; it is refused where it loses more
than `max_miou_drop`."""
_EXAMPLES = (
    ("seglab export run=runs/demo/RUN_ID", "into RUN_DIR/bundle"),
    ("seglab export run=CV_DIR output=DIR", "the folds as one ensemble"),
    ("seglab export run=RUN_DIR window=512,512 flips=h", "by windows, with mirrored views"),
)


def run(argv: Sequence[str]) -> int:
    """Run the command and return the exit code.

    Raises:
        ConfigError: The words are wrong.
    """
    from seglab.deploy.options import ExportOptions

    if asks_for_help(argv):
        return print_word_help("export", _SUMMARY, ExportOptions, _EXAMPLES)
    options = read_words(argv, ExportOptions, "export")
    from seglab.core.text.terminal import open_console
    from seglab.deploy.export.bundling import export

    export(options, open_console())
    return 0
