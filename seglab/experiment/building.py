"""Builds what a `_target_` names: a component of ours, or a part of one's own that may be imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from seglab.config.targets import SCHEMAS, own_schema, schema_of
from seglab.core.errors import ConfigError
from seglab.core.options import Options
from seglab.core.plugins import TARGET, imported, load_target


@dataclass(frozen=True)
class OwnPart:
    """A part that is not ours, ready to be called.

    Attributes:
        key: Where it stands in the configuration.
        target: What the configuration calls it.
        found: The class or function.
        options: Those given, as its hints want them.
    """

    key: str
    target: str
    found: Callable[..., Any]
    options: dict[str, Any]

    def take(self, *names: str) -> list[Any]:
        """Take options out that are seglab's own; None for those not given."""
        return [self.options.pop(name, None) for name in names]


def is_ours(group: str, node: Mapping[str, Any]) -> bool:
    """Whether a node names a component of ours."""
    return node.get(TARGET) in SCHEMAS.get(group, ())


def build_ours(node: Mapping[str, Any], **supplied: Any) -> Any:
    """Build a component of ours, which checks its options itself."""
    target = str(node[TARGET])
    return imported(target)(**_options(node), **supplied)


def own_part(key: str, group: str, node: Mapping[str, Any]) -> OwnPart:
    """Import a part of one's own and check its options.

    Args:
        key: Of the node, for messages.
        group: A key of `seglab.core.plugins.KINDS`.
        node: `_target_` and options.

    Raises:
        ConfigError: The target is none of ours and may not be imported, or options are wrong; all
            mistakes at once.
    """
    target = node.get(TARGET)
    try:
        schema_of(group, target)
    except ConfigError as error:
        raise ConfigError([f"{key}.{TARGET}: {one}" for one in error.problems]) from error
    found = load_target(target, group)
    schema = own_schema(group, str(target), found)
    options = _options(node)
    if problems := schema.problems(options, key):
        raise ConfigError(problems)
    chosen = schema.read(options, key)
    return OwnPart(key, str(target), found, _given(chosen, options))


def _given(chosen: Options, options: Mapping[str, Any]) -> dict[str, Any]:
    # Those left out keep the signature's own default.
    return {name: getattr(chosen, name) for name in options}


def _options(node: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in node.items() if key != TARGET}
