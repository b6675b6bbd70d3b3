"""Which checks there are, and the kinds of finding they declare."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from seglab.core.errors import ConfigError, nearest
from seglab.curation.findings import SEVERITIES, Finding, Kind
from seglab.curation.samples import Sample
from seglab.data.folds.plan import FoldPlan
from seglab.data.manifest import Manifest


@dataclass(frozen=True, eq=False)
class AuditInputs:
    """What a check may look at beside the samples.

    Args:
        manifest: What is audited.
        limits: Limit of each kind that has one.
        embed: Turns images, uint8 RGB `(H, W, 3)` of any size, into vectors `(D,)`; None without an
            encoder.
        no_encoder: Why there is none, in words.
        predictions: sample_id -> probabilities float32 `(C, H, W)`, or None for a sample without; None
            without a run.
        folds: The folds whose leaks are asked for.
    """

    manifest: Manifest
    limits: Mapping[str, float] = field(default_factory=dict)
    embed: Callable[[Any], Any] | None = None
    no_encoder: str = "no weights of an encoder (--weights)"
    predictions: Callable[[str], Any] | None = None
    folds: FoldPlan | None = None


class Check(Protocol):
    """Looks at samples one by one, then says what only all of them together show."""

    def __init__(self, inputs: AuditInputs) -> None: ...

    def see(self, sample: Sample) -> Iterable[Finding]:
        """Look at one sample; what is kept of it must be small."""

    def close(self) -> Iterable[Finding]:
        """Say what all samples together show."""


@runtime_checkable
class RanksLabels(Protocol):
    """A check that, once closed, knows of every image how likely its labels are wrong."""

    label_ranking: pd.DataFrame | None


# Its modules are found, not listed: a new check touches no other file.
_CHECKS_PACKAGE = "seglab.curation.checks"
_KINDS: dict[str, Kind] = {}
_CHECKS: dict[type[Check], tuple[str, ...]] = {}


def check(*kinds: Kind) -> Callable[[type[Any]], type[Any]]:
    """Declare a check and the kinds of finding it may find."""

    def declare(one: type[Any]) -> type[Any]:
        for kind in kinds:
            assert kind.name not in _KINDS, f"two kinds are called {kind.name}"  # noqa: S101
            _KINDS[kind.name] = kind
        _CHECKS[one] = tuple(kind.name for kind in kinds)
        return one

    return declare


def _load() -> None:
    checks = importlib.import_module(_CHECKS_PACKAGE)
    for module in sorted(pkgutil.iter_modules(checks.__path__), key=lambda one: one.name):
        importlib.import_module(f"{checks.__name__}.{module.name}")


def all_kinds() -> dict[str, Kind]:
    """Return all kinds by name, the gravest first."""
    _load()
    return dict(sorted(_KINDS.items(), key=lambda one: (SEVERITIES.index(one[1].severity), one[0])))


def checks_of(kinds: Collection[str]) -> list[type[Check]]:
    """Return the checks that find at least one of the kinds."""
    _load()
    return [one for one, names in _CHECKS.items() if set(names) & set(kinds)]


def choose_kinds(words: Iterable[str], flag: str) -> list[str]:
    """Return the kinds that words name: a kind, or a severity for all of it.

    Raises:
        ConfigError: A word names neither.
    """
    kinds = all_kinds()
    chosen: dict[str, None] = {}
    problems = []
    for word in words:
        if word in SEVERITIES:
            chosen.update(dict.fromkeys(n for n, kind in kinds.items() if kind.severity == word))
        elif word in kinds:
            chosen[word] = None
        else:
            known = [*kinds, *SEVERITIES]
            problems.append(f"{flag}: no kind '{word}'{nearest(word, known)}; {', '.join(known)}")
    if problems:
        raise ConfigError(problems)
    return list(chosen)
