"""Names stay the words that were typed, where YAML or the grammar reads something else in them.

YAML reads `no` and `on` as truth values, and both read `null`, `1e3` and `1_000` as no text. Where
the schema wants a name there, the word as it stands in its source takes the place of what was read,
in Unicode's composed form (NFC), so that one name is one text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from seglab.config.declared.check import as_written, check
from seglab.config.language.grammar import read_as_typed, write_value
from seglab.config.language.override import Override
from seglab.config.language.sources import words_in_file
from seglab.core.errors import ConfigError
from seglab.core.option_problems import join


def name_overrides(
    cfg: DictConfig,
    schema: type,
    overrides: Sequence[Override],
    file_with: Callable[[str], Path | None],
) -> list[str]:
    """Return overrides that set names as they were typed, where something else was read.

    Args:
        cfg: The composed configuration, values as they were read.
        schema: Dataclass from `seglab.config.declared.schema`.
        overrides: The command line, which comes before files.
        file_with: Returns the file that set a key.
    """
    texts = []
    for key, wrong in keys_of_names(cfg, schema).items():
        setting = [
            override
            for override in overrides
            if not override.is_group and is_below(key, override.key)
        ]
        path = None if setting else file_with(key)
        if setting and not (setting[-1].deletes or setting[-1].parsed.is_sweep_override()):
            message = _words_typed(setting[-1], key)
        elif path is not None:
            message = words_in_file(path, key)
        else:
            continue
        value = mended(as_written(OmegaConf.select(cfg, key)), message, key, wrong)
        with suppress(ConfigError):  # such as text that the grammar cannot hold
            texts.append(f"{key}={write_value(value)}")
    return texts


def keys_of_names(cfg: DictConfig, schema: type) -> dict[str, set[str]]:
    """Return the keys with names that were not read as text: the whole list -> its wrong items."""
    wrong: dict[str, set[str]] = {}
    for problem in check(cfg, schema):
        if problem.kind == "text":
            holder, _, item = problem.key.partition("[")
            above, _, leaf = holder.rpartition(".")
            # An item of a mapping: raw values such as `0-127`, while fields are Python names.
            is_item = not item and not leaf.isidentifier()
            wrong.setdefault(above if is_item else holder, set()).add(problem.key)
    return wrong


def is_below(key: str, other: str) -> bool:
    """Whether a key is another one or a part of it."""
    return f"{key}.".startswith(f"{other}.")


def _words_typed(override: Override, key: str) -> Any:
    content = read_as_typed(override.text.partition("=")[2])
    for part in key.removeprefix(override.key).split(".")[1:]:
        content = content.get(part) if isinstance(content, dict) else None
    return content


def mended(value: Any, texts: Any, path: str, wrong: Collection[str]) -> Any:
    """Return a value with the wrong ones among its items (their keys, below `path`) as text.

    Args:
        value: As it was read.
        texts: The same with every item as the text that was typed.
        path: Key of the value.
        wrong: Keys of the items, or of the value itself.
    """
    if path in wrong and isinstance(texts, str):
        return unicodedata.normalize("NFC", texts)
    if isinstance(value, list) and isinstance(texts, list) and len(value) == len(texts):
        return [
            mended(item, texts[index], f"{path}[{index}]", wrong)
            for index, item in enumerate(value)
        ]
    if isinstance(value, dict) and isinstance(texts, dict):
        by_text = {str(key): item for key, item in texts.items()}
        return {
            key: mended(item, by_text.get(str(key)), join(path, str(key)), wrong)
            for key, item in value.items()
        }
    return value
