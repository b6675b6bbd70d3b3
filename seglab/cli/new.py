"""`seglab new NAME`: writes a project with a model, a loss and a data set of one's own."""

from __future__ import annotations

import argparse
import importlib.util
import keyword
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from seglab.config.language.locate import template_dir
from seglab.core.disk.places import placing
from seglab.core.errors import ConfigError
from seglab.core.text.shell import shell_command

# What the project in the template is called: a project that works, so it is copied word by word.
_TEMPLATE_NAME = "mylab"


def run(argv: Sequence[str]) -> int:
    """Write the project and say what to type; return 0.

    Raises:
        ConfigError: The name is no name for a package, or its folder is there and not empty.
    """
    args = build_parser().parse_args(argv)
    folder = (args.into or Path(args.name)).expanduser()
    if problem := name_problem(args.name):
        raise ConfigError(f"new: {problem}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(
            f"new: {folder} is there and not empty; choose another name, or --into FOLDER"
        )
    write_project(args.name, folder)
    sys.stdout.write(
        f"{folder} holds a project that trains; its README.md says what is where. Next:\n"
        f"  {shell_command('cd', folder)}\n  python -m {args.name}.data\n"
        f"  seglab train experiment={args.name}\n"
    )
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser of `seglab new`."""
    parser = argparse.ArgumentParser(prog="seglab new", description=__doc__)
    parser.add_argument("name", metavar="NAME", help="name of the project and of its package")
    parser.add_argument(
        "--into",
        type=Path,
        metavar="FOLDER",
        help="where to write it (default: a folder NAME here)",
    )
    return parser


def name_problem(name: str) -> str | None:
    """Return what is wrong with a name for a package, and a better one; None if nothing is."""
    if not name.isidentifier() or keyword.iskeyword(name) or name.startswith("_"):
        proposed = re.sub(r"\W+", "_", name, flags=re.ASCII).strip("_").lower() or "lab"
        proposed = f"my_{proposed}" if not proposed[0].isalpha() or proposed == "lab" else proposed
        proposed = f"{proposed}_lab" if keyword.iskeyword(proposed) else proposed
        return f"'{name}' cannot name a Python package; '{proposed}' can"
    found = importlib.util.find_spec(name)
    if name in sys.stdlib_module_names or (found is not None and found.origin is not None):
        return f"'{name}' is the name of a package that is installed; 'my_{name}' is free to take"
    return None


def write_project(name: str, folder: Path) -> None:
    """Copy the template, with its name replaced in files and in their names.

    Args:
        name: Name of the project and of its package.
        folder: Written into; made if need be.
    """
    template = template_dir()
    with placing(folder):
        for source in sorted(template.rglob("*")):
            if not source.is_file() or "__pycache__" in source.parts:
                continue
            place = folder / str(source.relative_to(template)).replace(_TEMPLATE_NAME, name)
            place.parent.mkdir(parents=True, exist_ok=True)
            text = source.read_text(encoding="utf-8")
            place.write_text(text.replace(_TEMPLATE_NAME, name), encoding="utf-8")
