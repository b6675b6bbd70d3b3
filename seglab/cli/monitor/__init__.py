"""`seglab monitor`: commands about a model in service, where neither torch nor Hydra is needed."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from seglab.core.errors import ConfigError, nearest

# Each a module with `run(argv) -> int`.
MONITOR_COMMANDS = {
    "report": ("seglab.cli.monitor.report", "write a period of service as an HTML page")
}


def run(argv: Sequence[str]) -> int:
    """Hand over to the sub-command; return its exit code."""
    words = list(argv)
    if not words or words[0] in ("-h", "--help"):
        sys.stdout.write(_help())
        return 0
    if words[0] not in MONITOR_COMMANDS:
        raise ConfigError(
            f"no such command '{words[0]}'{nearest(words[0], MONITOR_COMMANDS)}; commands are "
            f"{', '.join(MONITOR_COMMANDS)}"
        )
    code: int = importlib.import_module(MONITOR_COMMANDS[words[0]][0]).run(words[1:])
    return code


def _help() -> str:
    lines = [f"  {name:<10} {summary}" for name, (_, summary) in MONITOR_COMMANDS.items()]
    return "\n".join(
        [
            "usage: seglab monitor COMMAND key=value ...",
            "",
            "What becomes of a model in service, from the log that seglab serve writes.",
            "",
            "commands:",
            *lines,
            "",
            "seglab monitor COMMAND --help says more.",
            "",
        ]
    )
