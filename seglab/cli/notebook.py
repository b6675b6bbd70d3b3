"""`%load_ext seglab.cli.notebook` adds `%seglab` to a notebook: the command, in the notebook's own process.

What a first training imports (torch, Lightning, timm) is there for the ones after it.
"""

from __future__ import annotations

import shlex
from contextlib import nullcontext
from itertools import takewhile

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from seglab.cli.main import run

_QUIET, _GO_ON = "--quiet", "--no-raise-error"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magic; IPython calls this."""
    shell.magics_manager.register_function(command, magic_name="seglab")


def command(line: str) -> int | None:
    """Run a command as a terminal would; IPython has filled in the `{names}` of the notebook.

    Args:
        line: What follows `seglab` in a terminal. Before it may stand `--quiet`, which shows what is
            printed only where the command fails (IPython's `%%capture` hides a failure, too), and
            `--no-raise-error`, IPython's word for going on after one: the exit code is returned.

    Raises:
        UsageError: The command ended with another code than 0; it has said why.
    """
    words = shlex.split(line)
    flags = list(takewhile((_QUIET, _GO_ON).__contains__, words))
    with capture_output() if _QUIET in flags else nullcontext() as printed:
        code = _run(words[len(flags) :])
    if _GO_ON in flags:
        return code
    if code:
        if printed is not None:
            printed.show()
        raise UsageError(f"seglab ended with exit code {code}")
    return None


def _run(words: list[str]) -> int:
    """Return the exit code of a command, also of one that ends its process, which here is ours."""
    try:
        return run(words)
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else int(bool(end.code))
