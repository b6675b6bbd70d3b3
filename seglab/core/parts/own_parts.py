"""A part of one's own as a configuration names it: imported if it may be, its options checked."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seglab.core.errors import ConfigError
from seglab.core.options import Options
from seglab.core.parts.components import components
from seglab.core.parts.kinds import KINDS
from seglab.core.parts.nodes import call
from seglab.core.parts.plugins import TARGET, load_target
from seglab.core.parts.signatures import options_of, takes


@dataclass(frozen=True)
class OwnPart:
    """A part that is not ours, ready to be called.

    Attributes:
        key: Where it stands in the configuration.
        group: A key of `KINDS`.
        target: What the configuration calls it.
        found: The class or function.
        options: Those given, as its hints want them; the others keep the signature's own default.
    """

    key: str
    group: str
    target: str
    found: Callable[..., Any]
    options: dict[str, Any]

    def take(self, *names: str) -> list[Any]:
        """Take options out that are seglab's own; None for those not given."""
        return [self.options.pop(name, None) for name in names]

    def make(self, *positional: Any, **context: Any) -> Any:
        """Call a class with its options, and with those of `context` that its signature takes.

        A function that is the part itself is returned with its options bound.

        Raises:
            ConfigError: It fails.
        """
        given = {**takes(self.found, context), **self.options}
        if inspect.isclass(self.found) or KINDS[self.group].makes:
            return call(self.key, self.target, self.found, given, *positional)
        return functools.partial(self.found, **given)

    def wrong(self, expected: str, came: object) -> ConfigError:
        """Return what to raise where it gives something else."""
        return ConfigError(f"{self.key}.{TARGET}: expected {self.target} to {expected}, got {came}")


def own_options(
    group: str, target: str, found: Callable[..., Any], keys: type[Options] = Options
) -> type[Options]:
    """Return the options of a part: as declared for its target, else read off its signature.

    Args:
        group: A key of `KINDS`.
        target: What the configuration calls it.
        found: What that is.
        keys: What all of its kind take beside.
    """
    kind, declared = KINDS[group], components(group).get(target)
    if declared is not None:
        return type(declared.__name__, (declared, keys), {})
    return options_of(found, kind.positional(found), kind.given, keys)


def read_part(
    key: str,
    group: str,
    node: Mapping[str, Any],
    keys: Callable[[Any], type[Options]] = lambda found: Options,
) -> OwnPart:
    """Import a part of one's own and check its options.

    Args:
        key: Of the node, for messages.
        group: A key of `KINDS`.
        node: `_target_` and options.
        keys: Returns what all of its kind take beside.

    Raises:
        ConfigError: The target may not be imported, or options are wrong; all mistakes at once.
    """
    target = node.get(TARGET)
    try:
        found = load_target(target, group)
    except ConfigError as error:
        raise ConfigError([f"{key}.{TARGET}: {one}" for one in error.problems]) from error
    options = {name: value for name, value in node.items() if name != TARGET}
    schema = own_options(group, str(target), found, keys(found))
    if problems := schema.problems(options, key):
        raise ConfigError(problems)
    chosen = schema.read(options, key)
    return OwnPart(
        key, group, str(target), found, {name: getattr(chosen, name) for name in options}
    )
