"""Pages of the reference, made from the one declaration that each thing has."""

from __future__ import annotations

import ast
import inspect
import io
import re
from collections.abc import Iterator
from contextlib import redirect_stdout, suppress
from pathlib import Path

from seglab.cli.base.subcommands import subcommands
from seglab.cli.commands import COMMANDS
from seglab.cli.main import run
from seglab.config.declared.key_help import Key, keys_below
from seglab.core.describe import describe
from seglab.core.option_problems import is_options, unwrap
from seglab.core.options import Options


def commands_page() -> str:
    """Return every command with its help, as the terminal shows it."""
    lines = [
        "# Commands",
        "",
        "Exit codes: 0 done, 1 failed, 2 wrong words or data, 130 interrupted.",
        "",
    ]
    for name, command in COMMANDS.items():
        lines += [f"## seglab {name}", "", *_help(name)]
        module = command.load()
        below = subcommands(module.build_parser()) if hasattr(module, "build_parser") else []
        for other in below:
            lines += [f"### seglab {name} {other}", "", *_help(name, other)]
    return "\n".join(lines)


def _help(*words: str) -> list[str]:
    shown = io.StringIO()
    with redirect_stdout(shown), suppress(SystemExit):
        run([*words, "--help"])
    return ["```text", shown.getvalue().rstrip(), "```", ""]


def configuration_page(app: str, schema: type[Options]) -> str:
    """Return every key of a command that Hydra composes, a table for each group and choice."""
    lines = [f"# Keys of seglab {app}", ""]
    lines += [
        f"`seglab {app} --help KEY` says the same in a terminal; `*` stands for a name of yours."
    ]
    tables: dict[str, list[Key]] = {}
    for key in keys_below(schema):
        tables.setdefault(_heading(key), []).append(key)
    for heading, keys in tables.items():
        lines += [*_head(heading, keys[0]), *map(_row, keys)]
    return "\n".join([*lines, ""])


def _heading(key: Key) -> str:
    group, dot, _ = key.name.partition(".")
    is_group = dot or is_options(unwrap(key.hint)[0])
    return key.choice or (group if is_group else "one by one")


def _head(heading: str, key: Key) -> Iterator[str]:
    yield from ("", f"## {_title(heading)}", "")
    if key.choice:
        yield from (f"`{key.choice}`", "")
        yield from ((inspect.getdoc(key.owner) or "").partition("\n\n")[0].replace("\n", " "), "")
    yield from ("| key | what it is | takes |", "|---|---|---|")


def _title(heading: str) -> str:
    """Return a heading with the name of the choice first: the list beside the page is narrow."""
    place, _, choice = heading.rpartition("=")
    if not place:
        return heading
    place = place.removesuffix("._target_").removesuffix(".*")
    return f"{choice.rpartition('.')[2]} ({place})".replace("_", r"\_")


def _row(key: Key) -> str:
    takes = describe(key.hint) + (f"; {key.default}" if key.default else "")
    name = key.name.replace(".", ".<wbr>")
    cells = (f"<code>{name}</code>", _plain(key.sentence), _plain(takes))
    return "| " + " | ".join(cells) + " |"


def _plain(text: str) -> str:
    """Keep Markdown from reading what is meant as it stands; within backticks it does not read."""
    outside = re.sub(r"\*(?=[^`]*(?:`[^`]*`[^`]*)*$)", r"\\*", text)
    return outside.replace("|", "\\|").replace("<", "&lt;")


def python_page(package: Path) -> str:
    """Return the names that the packages of floor 2 and 3 offer, for mkdocstrings to fill in."""
    lines = [
        "# Python",
        "",
        "What each package offers; everything else is the package's own affair.",
        "",
    ]
    for stub in sorted(package.glob("*/__init__.pyi")):
        name = f"{package.name}.{stub.parent.name}"
        lines += [f"## {name}", ""]
        for node in ast.parse(stub.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ImportFrom):
                where = f"{name}.{node.module}" if node.level else node.module
                for alias in node.names:
                    lines += [
                        f"::: {where}.{alias.name}",
                        "    options:",
                        "      heading_level: 3",
                        "",
                    ]
    return "\n".join(lines)
