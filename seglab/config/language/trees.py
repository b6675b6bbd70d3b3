"""Keys of a composed configuration: whether they are there, how they relate, taking them away."""

from __future__ import annotations

from omegaconf import DictConfig, OmegaConf, open_dict


def has_key(cfg: DictConfig, key: str) -> bool:
    """Whether there is such a dotted key, also where its value is still missing."""
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    return isinstance(node, DictConfig) and leaf in node.keys()  # noqa: SIM118 - ??? counts too


def delete_key(cfg: DictConfig, key: str) -> None:
    """Take a key away.

    Raises:
        KeyError: There is none.
    """
    if not has_key(cfg, key):
        raise KeyError("there is no such key")
    parent, _, leaf = key.rpartition(".")
    node = OmegaConf.select(cfg, parent) if parent else cfg
    with open_dict(node):
        del node[leaf]


def is_related(key: str, other: str) -> bool:
    """Whether two keys are the same or one lies in the other."""
    return _is_below(key, other) or _is_below(other, key)


def _is_below(key: str, other: str) -> bool:
    return key == other or key.startswith((f"{other}.", f"{other}["))
