"""From a configuration node to plain content."""

from __future__ import annotations

from typing import Any

from omegaconf import OmegaConf


def resolved(node: Any) -> Any:
    """Return a resolved plain container or value for a config node."""
    return OmegaConf.to_container(node, resolve=True) if OmegaConf.is_config(node) else node
