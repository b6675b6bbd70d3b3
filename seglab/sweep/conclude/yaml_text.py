"""Writes plain content as YAML that every reader takes for the same values.

YAML 1.1 (PyYAML), YAML 1.2 and OmegaConf disagree on words such as `1e-4`, `1e3`, `no`, `0o17` and
`12:30`, and so do what PyYAML and OmegaConf write. Here a float is written with a point, and a string
without quotes only where none of them could take it for something else.
"""

from __future__ import annotations

import re
from typing import Any

import yaml

_PLAIN = re.compile(r"[A-Za-z_/][\w./-]*(?: [\w./-]+)*", re.ASCII)
_TAKEN_FOR_OTHERS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}


def yaml_text(content: Any) -> str:
    """Return content as YAML text: mappings nested, lists of plain values in one line.

    Args:
        content: Dicts, lists, strings, numbers, truth values and None; a value alone gives its
            text without a line's end.
    """
    text: str = yaml.dump(
        content, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=float("inf")
    )
    return text if isinstance(content, dict) else text.removesuffix("\n").removesuffix("\n...")


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        """Write what occurs twice twice; anchors are hard to read."""
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        """Indent the entries of a list below its key."""
        super().increase_indent(flow, False)


def _string(dumper: _Dumper, text: str) -> yaml.ScalarNode:
    plain = _PLAIN.fullmatch(text) and text.lower() not in _TAKEN_FOR_OTHERS
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if plain else '"')


def _list(dumper: _Dumper, values: list[Any]) -> yaml.SequenceNode:
    flat = not any(isinstance(value, dict | list) and value for value in values)
    return dumper.represent_sequence("tag:yaml.org,2002:seq", values, flow_style=flat)


def _dict(dumper: _Dumper, content: dict[Any, Any]) -> yaml.MappingNode:
    return dumper.represent_mapping("tag:yaml.org,2002:map", content, flow_style=False)


_Dumper.add_representer(str, _string)
_Dumper.add_representer(list, _list)
_Dumper.add_representer(dict, _dict)
