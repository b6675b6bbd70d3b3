"""What a key or a group of a configuration takes: read from the declarations, for help and completion."""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from seglab.config.declared.schema import SCHEMA_OF
from seglab.config.declared.targets import SCHEMAS
from seglab.core.describe import describe
from seglab.core.errors import ConfigError, nearest
from seglab.core.option_problems import hints_of, is_options, is_union, join, literals_of, unwrap
from seglab.core.options import ChosenBy, Options, Targets
from seglab.core.problems import show


@dataclass(frozen=True)
class Key:
    """One key.

    Args:
        name: With the keys above it; `*` stands for a name of the user's choice.
        hint: Its type.
        owner: The declaration it is a field of.
        choice: What has to be chosen for it; empty where it is always there.
    """

    name: str
    hint: Any
    owner: type[Options]
    choice: str = ""

    @property
    def leaf(self) -> str:
        """The name without the keys above it."""
        return self.name.rpartition(".")[2]

    @property
    def default(self) -> str:
        """What holds where nothing is said, as it is typed; empty where it has to be said."""
        # The declaration itself, where what is asked about was made of it to have every key written.
        owners = [one for one in self.owner.__mro__ if issubclass(one, Options)]
        fields = [one.model_fields[self.leaf] for one in owners if self.leaf in one.model_fields]
        field = next((one for one in fields if not one.is_required()), fields[0])
        if field.is_required() or is_options(unwrap(self.hint)[0]):
            return ""
        return show(field.get_default(call_default_factory=True))

    @property
    def sentence(self) -> str:
        """What stands below it in its declaration."""
        return " ".join(sentences(self.owner).get(self.leaf, "").split())

    def lines(self) -> Iterator[str]:
        """Yield what is said about it in a terminal."""
        default = f"; {self.default}" if self.default else ""
        yield f"  {self.name}: {describe(self.hint)}{default}"
        indent = " " * 6
        yield from textwrap.wrap(self.sentence, 98, initial_indent=indent, subsequent_indent=indent)


@cache
def sentences(options: type[Options]) -> dict[str, str]:
    """Return what stands below each field of a declaration, those it inherits too."""
    found: dict[str, str] = {}
    for owner in reversed(options.__mro__):
        if not issubclass(owner, Options) or owner.__module__ == Options.__module__:
            continue
        try:
            tree = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0]
        except (OSError, TypeError):
            continue  # made of another one, which has the sentences
        body = getattr(tree, "body", [])
        for field, below in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(below, ast.Expr):
                found[ast.unparse(field.target)] = str(ast.literal_eval(below.value))
    return found


def key_help(app: str, wanted: str) -> str:
    """Return what the keys below (and of) a dotted name take.

    Raises:
        ConfigError: There is no such key; the message names the nearest.
    """
    keys = list(keys_below(SCHEMA_OF[app]))
    found = [key for key in keys if f"{key.name}.".startswith(f"{wanted}.")]
    if not found:
        known = [key.name for key in keys]
        raise ConfigError(f"--help: no such key '{wanted}'{nearest(wanted, known)}")
    lines = []
    choice = ""
    for key in found:
        if key.choice != choice:
            choice = key.choice
            about = (inspect.getdoc(key.owner) or "").partition("\n\n")[0]
            lines += ["", f"{choice}", *textwrap.wrap(about, 98)] if choice else [""]
        lines += key.lines()
    return "\n".join([*lines, ""])


def values_of(app: str, wanted: str) -> Sequence[str]:
    """Return the names that a key may be set to; none where it takes something else."""
    found = [key.hint for key in keys_below(SCHEMA_OF[app]) if key.name == wanted]
    return [show(one).strip("'") for hint in found for one in _all_literals(hint)]


def _all_literals(hint: Any) -> list[Any]:
    base = unwrap(hint)[0]
    if is_union(base):
        return [one for part in get_args(base) for one in _all_literals(part)]
    return [True, False] if base is bool else literals_of(hint)


def keys_below(options: type[Options], path: str = "", choice: str = "") -> Iterator[Key]:
    """Yield every key of a declaration, those of each choice too."""
    for name, hint in hints_of(options).items():
        full = join(path, name)
        yield Key(full, hint, options, choice)
        yield from _inside(hint, full, choice)


def _inside(hint: Any, path: str, choice: str) -> Iterator[Key]:
    base, extras = unwrap(hint)
    mark = next((extra for extra in extras if isinstance(extra, ChosenBy | Targets)), None)
    if isinstance(mark, Targets):
        for target, schema in SCHEMAS.get(mark.group, {}).items():
            choice = f"{path}._target_={target}"
            if isinstance(schema, ChosenBy):
                yield from _inside_choice(schema, path)
            else:
                yield from keys_below(schema, path, choice)
    elif isinstance(mark, ChosenBy):
        yield from _inside_choice(mark, path)
    elif is_union(base):
        for part in get_args(base):
            yield from _inside(part, path, choice)
    elif get_origin(base) is dict:
        yield from _inside(get_args(base)[1], f"{path}.*", choice)
    elif is_options(base):
        yield from keys_below(base, path, choice)


def _inside_choice(chosen: ChosenBy, path: str) -> Iterator[Key]:
    place = path if chosen.inside else path.rpartition(".")[0]
    for name, options in chosen.choices.items():
        yield from keys_below(options, path, f"{join(place, chosen.sibling)}={name}")
    if chosen.other is not None:
        yield from keys_below(chosen.other, path, f"another {join(place, chosen.sibling)}")
