"""Parses the text of many `run.json`, each block of text once.

The runs of a study differ in a few numbers: the blocks of their configuration (data, model,
augmentation, ...) and the package versions repeat word for word. JSON has no line breaks inside
strings, so a text cut at line breaks into pieces, each of which is valid by itself between braces,
means exactly what its pieces mean together; where a piece is not valid (a file edited by hand), the
whole text is parsed as usual.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from seglab.runs.schema import SCHEMA_VERSION, complete, read_record

_OPEN, _CLOSE = b"{\n", b"\n}"
# How `write_json` separates the fields of a record, and those of its configuration.
_NEXT_FIELD, _NEXT_GROUP = b',\n  "', b',\n    "'
_CONFIG, _END = b'config": {\n    "', b"\n  }"
_METRICS = b'metrics": '
_MAX_KEPT = 50_000


class RecordText:
    """Reads records; remembers the blocks it met.

    Parsed blocks are shared between the records it returns and must not be changed.
    """

    def __init__(self) -> None:
        self._fields: dict[bytes, dict[str, Any]] = {}
        self._groups: dict[bytes, dict[str, Any]] = {}

    def parse(self, text: bytes, path: Path) -> dict[str, Any]:
        """Return the fields of one record, the configuration flat.

        Args:
            text: Content of `path`.
            path: Where it came from; read again, for a full message, if anything is unusual.

        Returns:
            As `read_record`, but `config` maps `config.a.b` to leaves.

        Raises:
            DataError: As `read_record`.
        """
        try:
            content = self._by_blocks(text)
        except ValueError:
            content = {}
        version = content.get("schema_version")
        if not isinstance(version, int) or version > SCHEMA_VERSION:
            content = read_record(path)
            config: dict[str, Any] = {}
            flatten("config", content["config"], config)
            return {**content, "config": config}
        return complete(content)

    def _by_blocks(self, text: bytes) -> dict[str, Any]:
        """Return the fields as far as the text is laid out as `write_json` does.

        Raises:
            ValueError: It is not, or it is not JSON.
        """
        text = text.strip()
        if not text.startswith(_OPEN + b'  "') or not text.endswith(_CLOSE):
            raise ValueError("not laid out as a record")
        content: dict[str, Any] = {}
        config: dict[str, Any] = {}
        flat: list[bytes] = []
        # After the opening brace and two blanks comes the quote of the first name.
        for field in text[len(_OPEN) + 3 : -len(_CLOSE)].split(_NEXT_FIELD):
            if field.startswith(_CONFIG) and field.endswith(_END):
                config = self._config(field)
            elif field.startswith(_METRICS):
                content.update(_members(field))
            elif b"{" in field or b"[" in field:
                content.update(_remembered(self._fields, field, _members))
            else:
                flat.append(field)
        # Without a brace that opens there is no depth in which a piece could have got lost.
        content.update(_members(b',"'.join(flat)))
        if content.get("config"):
            raise ValueError("the configuration is laid out in another way")
        return {**content, "config": config}

    def _config(self, field: bytes) -> dict[str, Any]:
        flat: dict[str, Any] = {}
        for group in field[len(_CONFIG) : -len(_END)].split(_NEXT_GROUP):
            flat.update(_remembered(self._groups, group, _flat_members))
        return flat


def flatten(prefix: str, content: Mapping[str, Any], row: dict[str, Any]) -> None:
    """Put the leaves of nested mappings into `row` under their names joined by dots."""
    for key, value in content.items():
        name = f"{prefix}.{key}"
        # An empty mapping has no leaves; without this its column would vanish.
        if isinstance(value, dict) and value:
            flatten(name, value, row)
        else:
            row[name] = value


def _members(block: bytes) -> dict[str, Any]:
    parsed: dict[str, Any] = json.loads(b'{"' + block + b"}")
    return parsed


def _flat_members(block: bytes) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    flatten("config", _members(block), flat)
    return flat


def _remembered(known: dict[bytes, dict[str, Any]], block: bytes, parse: Any) -> dict[str, Any]:
    found = known.get(block)
    if found is None:
        found = parse(block)
        if len(known) < _MAX_KEPT:
            known[block] = found
    return found
