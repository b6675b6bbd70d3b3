"""The help of a Hydra application, read from the configuration folder without composing it."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from seglab.config.locate import conf_dir
from seglab.config.overrides import choices_for
from seglab.config.sources import group_defaults
from seglab.config.validate import App

_ALWAYS_SHOWN = {"train": ("experiment", "debug"), "evaluate": ()}
_FLAGS = (
    ("-m, --multirun", "run every combination of values given with commas"),
    ("--cfg job|hydra|all", "print the configuration and stop; --resolve fills in ${...}"),
    ("-p, --package KEY", "with --cfg: print only this part"),
    ("--info defaults|config|...", "say where the configuration comes from"),
    ("-cd, --config-dir DIR", "look for further groups and experiments in DIR"),
    ("-sc install=bash|zsh|fish", "print the script for tab completion"),
)


def application_help(name: App, summary: str, examples: Sequence[tuple[str, str]]) -> str:
    """Return the help of `seglab NAME`: groups with their choices, flags, examples."""
    folder = conf_dir()
    used = {entry.group for entry in group_defaults(folder / f"{name}.yaml")}
    used |= set(_ALWAYS_SHOWN[name])
    lines = [f"usage: seglab {name} [group=choice ...] [key=value ...] [flags]", "", summary, ""]
    lines.append("groups (choose with group=choice):")
    for group in sorted(group for group in used if not group.startswith("hydra")):
        names = sorted(path.stem for path in (folder / group).glob("*.yaml"))
        choices = choices_for(name, group, names)
        lines += textwrap.wrap(
            ", ".join(choices), 98, initial_indent=f"  {group:<12}", subsequent_indent=" " * 14
        )
    lines += ["", f"keys: seglab {name} --cfg job prints them all; give any as key=value", ""]
    lines.append("flags:")
    lines += [f"  {flag:<28} {text}" for flag, text in _FLAGS]
    lines += ["", "examples:"]
    for command, text in examples:
        lines += [f"  {command}", f"      {text}"]
    return "\n".join(lines) + "\n"
