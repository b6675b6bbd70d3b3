"""Commands as people can paste them into a shell."""

from __future__ import annotations

import shlex


def shell_command(*words: object) -> str:
    """Return words as one line for bash, quoted where a folder or a value needs it.

    >>> shell_command("seglab", "train", "resume=/My Drive/run")
    "seglab train 'resume=/My Drive/run'"
    """
    return shlex.join(str(word) for word in words)
