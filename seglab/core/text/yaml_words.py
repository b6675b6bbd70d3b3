"""YAML whose words are the text that stands there: `no`, `1.5` and `007` are no booleans and numbers.

Names of people (classes, samples) are read by it. What YAML 1.1 makes of such words cannot be turned back:
`010` and `8` become one number, and `no` and `off` one boolean.
"""

from __future__ import annotations

from typing import Any

import yaml

_NULL = "tag:yaml.org,2002:null"
_MERGE = "tag:yaml.org,2002:merge"


class _WordsLoader(yaml.SafeLoader):
    yaml_implicit_resolvers = {  # noqa: RUF012 - as the base class has it
        first: [(tag, pattern) for tag, pattern in known if tag in (_NULL, _MERGE)]
        for first, known in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


def read_yaml_words(content: str | bytes) -> Any:
    """Return text, lists and mappings; nothing, `~` and `null` without quotes are None.

    A value with a tag of its own, such as `!!int 5`, is of that type.

    Raises:
        yaml.YAMLError: It is no YAML.
    """
    return yaml.load(content, _WordsLoader)  # noqa: S506 - a safe loader that knows fewer types


def whole_number(word: object) -> int | None:
    """Return a number from 0 that is written in plain digits; None: it is anything else."""
    is_plain = isinstance(word, str) and word.isascii() and word.isdigit() and len(word) < 19
    return int(str(word)) if is_plain else None
