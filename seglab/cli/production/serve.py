"""`seglab serve`: a bundle as an HTTP service."""

from __future__ import annotations

from collections.abc import Sequence

from seglab.cli.base.option_words import asks_for_help, print_word_help, read_words
from seglab.serve.options import ServeOptions

_SUMMARY = "Serve a bundle over HTTP: POST /v1/predict, a page at /, metrics at /metrics."
_EXAMPLES = (
    ("seglab serve bundle=bundles/unet", "on http://127.0.0.1:8000"),
    ("seglab serve bundle=unet.zip host=0.0.0.0 keys=keys.txt", "for others, with API keys"),
    ("python -m seglab.serve.keys alice", "makes a key, and its line of keys.txt"),
)


def run(argv: Sequence[str]) -> int:
    """Serve until SIGTERM or SIGINT."""
    if asks_for_help(argv):
        return print_word_help("serve", _SUMMARY, ServeOptions, _EXAMPLES)
    options = read_words(argv, ServeOptions, "serve")
    from seglab.serve.process.supervisor import serve

    serve(options)
    return 0
