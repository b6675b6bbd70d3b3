"""`%load_ext seglab.cli.notebook` adds `%seglab` to a notebook: the command, in the notebook's own process.

What a first training imports (torch, Lightning, timm) is there for the ones after it.
"""

from __future__ import annotations

import shlex

from IPython.core.error import UsageError
from IPython.core.interactiveshell import InteractiveShell

from seglab.cli.main import run

_GO_ON = "--no-raise-error"


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the magic; IPython calls this."""
    shell.register_magic_function(command, magic_name="seglab")


def command(line: str) -> int | None:
    """Run a command as a terminal would; IPython has filled in the `{names}` of the notebook.

    Args:
        line: What follows `seglab` in a terminal. After `--no-raise-error` (the word of IPython's
            `%%script`) the exit code is returned, whatever it is.

    Raises:
        UsageError: The command ended with another code than 0; it has said why.
    """
    words = shlex.split(line)
    may_fail = words[:1] == [_GO_ON]
    code = run(words[may_fail:])
    if may_fail:
        return code
    if code:
        raise UsageError(f"seglab ended with exit code {code}")
    return None
