"""Parts of one's own in a configuration that is being composed: whose code was named, what gives way.

What was typed, or chosen from files on this machine, may be imported: composing is the user's word for
it. A configuration that is read from a record never comes through here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.config.declared.targets import SCHEMAS
from seglab.config.language.domains import flatten_space
from seglab.core.parts.plugins import TARGET, is_closed, name_packages

# Keys that every part of a kind takes; they stay when another is typed in its place.
_STAY = {
    "model": ("in_channels", "init_from"),
    "optimizer": ("lr", "encoder_lr"),
    "scheduler": (),
    "term": ("class_weights",),
}


def name_own_parts(cfg: DictConfig) -> None:
    """Let the code of all parts that a composed configuration chooses be imported, here and in children."""
    content = OmegaConf.to_container(cfg)
    named = content.get("plugins") if isinstance(content, dict) else None
    name_packages([*map(str, named or ()), *own_targets(content)])


def own_targets(content: Any) -> list[str]:
    """Return the targets in plain content that are neither ours nor the libraries', the importer's too."""
    found = list(_targets(content))
    data = content.get("data") if isinstance(content, Mapping) else None
    importer = data.get("importer") if isinstance(data, Mapping) else None
    if isinstance(importer, str) and "." in importer:
        found.append(importer)
    return [one for one in dict.fromkeys(found) if not is_closed(one.partition(".")[0])]


def _targets(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        target = node.get(TARGET)
        if isinstance(target, str) and "." in target:
            yield target
        for value in node.values():
            yield from _targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _targets(value)


def overrides_that_leave_behind(
    cfg: DictConfig, typed: Mapping[str, Sequence[str]]
) -> Iterator[str]:
    """Yield words that take away the keys of a part whose place another one takes.

    `model._target_=mylab.Net` puts a part of one's own where the file had one of ours: what the file says
    for ours is not meant for it.

    Args:
        cfg: As the files compose.
        typed: Keys typed, with the values of each.
    """
    space = OmegaConf.select(cfg, "study.space", default=None)
    # What a study searches is set in each trial.
    kept = {*typed, *(name for name, _ in flatten_space(space or {}))}
    for key, values in typed.items():
        path, _, last = key.rpartition(".")
        ours = {target for targets in SCHEMAS.values() for target in targets}
        if last != TARGET or ours & set(values):
            continue
        kind = "term" if path.startswith("loss.terms.") else path
        try:
            node = OmegaConf.select(cfg, path)
        except OmegaConfBaseException:
            continue
        if kind not in _STAY or not isinstance(node, DictConfig) or node.get(TARGET) in values:
            continue
        for name in map(str, node):
            full = f"{path}.{name}"
            is_typed = any(one == full or one.startswith(f"{full}.") for one in kept)
            if name != TARGET and name not in _STAY[kind] and not is_typed:
                if node.get(name) is None:
                    yield f"{full}=0"  # Hydra does not find a null to take away
                yield f"~{full}"
