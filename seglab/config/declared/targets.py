"""Which targets a configuration may name, and the options of each: from the registry of components.

Modules that declare some are imported here; what the composition root supplies (the number of classes, the
ignored index, the number of steps) is no option. Any other target is a part of one's own, see
`seglab.core.parts.plugins`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from seglab.core.errors import ConfigError
from seglab.core.options import ChosenBy, Options
from seglab.core.parts.components import components
from seglab.core.parts.kinds import KINDS
from seglab.core.parts.own_parts import own_options
from seglab.core.parts.plugins import load_target
from seglab.core.parts.signatures import takes
from seglab.core.problems import did_you_mean, nearest_keys, show
from seglab.data.importers.options import OwnImporterOptions
from seglab.losses.options import TermKeys, UnweightedTermKeys
from seglab.models.options import ModelKeys, OwnModelKeys
from seglab.optim.options import OptimizerKeys


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


# Keys of a part of one's own beside its options.
_OWN_KEYS: dict[str, type[Options]] = {
    "model": OwnModelKeys,
    "loss_term": TermKeys,
    "optimizer": OptimizerKeys,
    "importer": OwnImporterOptions,
}


def schema_of(group: str, target: Any) -> type[Options] | ChosenBy:
    """Return what a target may be told: as declared, or read off the signature of one's own part.

    Raises:
        ConfigError: It is neither one of ours nor may be imported.
    """
    ours = SCHEMAS.get(group, {})
    if target in ours:
        return ours[target]
    is_own = isinstance(target, str) and "." in target and not target.startswith("seglab.")
    if not is_own or group not in KINDS:
        listed = ", ".join(ours) or "a class or function of your own"
        meant = did_you_mean(nearest_keys(target, list(ours))) if isinstance(target, str) else ""
        advice = ""
        if is_own and group == "loss":
            advice = f"; a loss of your own is a term: loss.terms.NAME._target_={target}"
        if target is None and group == "loss_term":
            advice = "; the chosen loss has no such term: something, such as the experiment, sets keys of it"
        raise ConfigError(f"expected one of {listed}; got {show(target)}{meant}{advice}")
    found = load_target(target, group)
    return own_options(group, target, found, own_keys(group, found))


def own_keys(group: str, found: Any) -> type[Options]:
    """Return the keys that a part of one's own takes beside its options, as all of its kind do."""
    if group == "loss_term" and not takes(found, {"class_weights": None}):
        return UnweightedTermKeys
    return _OWN_KEYS.get(group, Options)
