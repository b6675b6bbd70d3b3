"""Tab completion. Hydra completes the words of one program; `seglab` has a command before them.

The script that Hydra prints calls `seglab -sc query=SHELL` with the line typed so far; here the
command is taken out of that line before Hydra sees it.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterable, Sequence

from seglab.cli.base.subcommands import subcommands
from seglab.cli.commands import COMMANDS
from seglab.core.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")
_ACTIONS = ("install", "uninstall", "query")


def run(words: Sequence[str]) -> int:
    """Answer `-sc install=SHELL`, `-sc uninstall=SHELL` or the script's `-sc query=SHELL`.

    Raises:
        ConfigError: Anything else was asked for.
    """
    action, _, shell = words[0].partition("=") if len(words) == 1 else ("", "", "")
    if action not in _ACTIONS or shell not in SHELLS:
        raise ConfigError(
            f"-sc: expected install=SHELL or uninstall=SHELL with one of {', '.join(SHELLS)}; "
            f"got {' '.join(words) or 'nothing'}"
        )
    if action == "query":
        return _query(shell)
    # The script completes the program it was made by; under `python -m` that would be python.
    sys.argv[0] = "seglab"
    _ask_hydra("train", f"{action}={shell}")
    return 0


def _query(shell: str) -> int:
    words = os.environ.get("COMP_LINE", "").split()
    is_new_word = os.environ.get("COMP_LINE", "").endswith(" ")
    typed = words[1:] + [""] * is_new_word
    if len(typed) <= 1:
        _print_matches(COMMANDS, typed, shell)
    elif typed[0] in COMMANDS:
        module = COMMANDS[typed[0]].load()
        if hasattr(module, "build_parser"):
            _print_matches(_next_words(module.build_parser(), typed[1:]), typed[-1:], shell)
        else:
            _complete_configuration(typed, shell)
    return 0


def _next_words(parser: argparse.ArgumentParser, typed: Sequence[str]) -> Sequence[str]:
    """Return the sub-commands, or the flags where a dash says that one is wanted."""
    if len(typed) == 1 and not typed[-1].startswith("-"):
        return subcommands(parser)
    parts = [one for one in parser._actions if isinstance(one, argparse._SubParsersAction)]
    parser = next((part.choices[typed[0]] for part in parts if typed[0] in part.choices), parser)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    return flags if typed[-1].startswith("-") else ()


def _complete_configuration(typed: Sequence[str], shell: str) -> None:
    key, sign, _ = typed[-1].partition("=")
    values: Sequence[str] = ()
    if sign:
        from seglab.config.declared.key_help import values_of

        values = values_of(typed[0], key)
    if values:
        _print_matches([f"{key}={value}" for value in values], typed[-1:], shell)
        return
    os.environ["COMP_LINE"] = " ".join(["seglab", *typed[1:]])
    # A half-typed line may not compose; a completion must not talk about that.
    with contextlib.redirect_stderr(None):
        _ask_hydra(typed[0], f"query={shell}")


def _print_matches(names: Iterable[str], typed: Sequence[str], shell: str) -> None:
    start = typed[0] if typed else ""
    separator = "\n" if shell == "fish" else " "
    sys.stdout.write(separator.join(name for name in names if name.startswith(start)) + "\n")


def _ask_hydra(name: str, word: str) -> None:
    from seglab.cli.base.application import Application, run_hydra
    from seglab.config.language.locate import conf_dir

    app = Application("train" if name == "train" else "evaluate", lambda _cfg: None)
    run_hydra(app, conf_dir(), ["-sc", word])
