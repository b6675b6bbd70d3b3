"""Which targets a configuration may name, and the options of each: from the registry of components.

A `_target_` is an import, hence code that runs, so only components that are declared are built. Modules that
declare some are imported here; what the composition root supplies (the number of classes, the ignored index,
the number of steps) is no option.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import seglab.optim.options  # noqa: F401 - declares them
from seglab.core.components import components
from seglab.core.options import ChosenBy, Options
from seglab.core.problems import did_you_mean, nearest_keys, show
from seglab.losses.options import TermKeys
from seglab.models.options import ModelKeys

_ALLOWED_PREFIXES = ("seglab.", "torch.optim.")


def _named(name: str, options: type[Options]) -> type[Options]:
    """Return the options of a choice with the key that chooses it."""
    key = {"__annotations__": {"name": Literal[name]}}  # type: ignore[valid-type]
    return type(options.__name__, (options,), key)


def _with_keys(group: str, keys: type[Options]) -> dict[str, type[Options]]:
    """Return the components of a group, each with the keys that all of them take beside."""
    return {
        target: type(options.__name__, (options, keys), {})
        for target, options in components(group).items()
    }


SCHEDULES = {name: _named(name, options) for name, options in components("schedule").items()}

# Group -> target -> fields; `ChosenBy` where the fields depend on a key of the node itself.
SCHEMAS: dict[str, Mapping[str, type[Options] | ChosenBy]] = {
    "model": _with_keys("model", ModelKeys),
    "loss": components("loss"),
    "loss_term": _with_keys("loss_term", TermKeys),
    "optimizer": components("optimizer"),
    "scheduler": {"seglab.optim.build_scheduler": ChosenBy("name", SCHEDULES, inside=True)},
}


def target_problem(name: Any, allowed: Mapping[str, Any]) -> str:
    """Return what is wrong with a `_target_` that is not in `allowed`."""
    meant = did_you_mean(nearest_keys(name, list(allowed))) if isinstance(name, str) else ""
    listed = ", ".join(allowed)
    if isinstance(name, str) and not name.startswith(_ALLOWED_PREFIXES):
        places = " and ".join(f"{prefix}*" for prefix in _ALLOWED_PREFIXES)
        return f"{show(name)} is refused: only {places} may be built; use one of {listed}"
    return f"expected one of {listed}; got {show(name)}{meant}"
