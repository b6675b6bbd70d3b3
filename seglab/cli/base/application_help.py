"""The help of a Hydra application, read from the configuration folder without composing it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence

from seglab.config.language.locate import conf_dir, own_folders
from seglab.config.language.sources import groups_of

_FLAGS = (
    ("-m, --multirun", "run every combination of values given with commas"),
    ("--cfg job|hydra|all", "print the configuration and stop; --resolve fills in ${...}"),
    ("-p, --package KEY", "with --cfg: print only this part"),
    ("--info defaults|config|...", "say where the configuration comes from"),
    ("-cd, --config-dir DIR", "look for further groups and experiments in DIR"),
    ("-sc install=bash|zsh|fish", "print the script for tab completion"),
)


def application_help(name: str, summary: str, examples: Sequence[tuple[str, str]]) -> str:
    """Return the help of `seglab NAME`: groups with their choices, flags, examples."""
    lines = [f"usage: seglab {name} [group=choice ...] [key=value ...] [flags]", "", summary, ""]
    lines.append("groups (choose with group=choice):")
    for group, choices in groups_of(name, conf_dir(), *own_folders()).items():
        lines += textwrap.wrap(
            ", ".join(choices), 98, initial_indent=f"  {group:<12}", subsequent_indent=" " * 14
        )
    lines += ["", f"keys: seglab {name} --cfg job prints them all; give any as key=value"]
    lines += [f"      seglab {name} --help KEY says what a key or group takes", ""]
    lines.append("flags:")
    lines += [f"  {flag:<28} {text}" for flag, text in _FLAGS]
    lines += ["", "examples:"]
    for command, text in examples:
        lines += [f"  {command}", f"      {text}"]
    return "\n".join(lines) + "\n"


def asks_for_help(argv: Sequence[str]) -> bool:
    """Whether the words ask what can be asked for."""
    return any(word in ("-h", "--help") for word in argv)


def print_help(
    name: str, argv: Sequence[str], summary: str, examples: Sequence[tuple[str, str]]
) -> int:
    """Print the help of `seglab NAME`, or of the keys that the words name; return the exit code.

    Raises:
        ConfigError: There is no such key.
    """
    keys = [word.partition("=")[0] for word in argv if not word.startswith("-")]
    if not keys:
        sys.stdout.write(application_help(name, summary, examples))
        return 0
    from seglab.config.declared.key_help import key_help

    sys.stdout.write("\n".join(key_help(name, key) for key in keys))
    return 0
