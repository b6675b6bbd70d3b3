"""Names that look like numbered frames of scenes or drives, where nothing says what belongs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from seglab.core.errors import DataError
from seglab.core.text.wording import joined, plural
from seglab.data.build.splitting import group_by_pattern
from seglab.data.folds.groups import column_groups
from seglab.data.manifest import Manifest
from seglab.data.splits.findings import leaking
from seglab.data.splits.units import numbered_names

# Fewer frames a scene, or fewer samples with such a name, are as likely names of another kind.
_LEAST_FRAMES, _LEAST_SHARE = 3, 0.8
_SHOWN = 3
# The plainest comes first; the last is what `numbered_names` goes by.
_PATTERNS = (r"^([^_]+)_", r"^([^-]+)-", r"^(.+)[_-]", r"^(.+)/", r"^(.*?)[\W_]*\d+$")


@dataclass(frozen=True)
class Scenes:
    """What names say of scenes.

    Args:
        example: A name.
        names: The scenes.
        held_out: Validation and test samples.
        leaking: Those of them that share a scene with training samples.
        pattern: Regular expression that finds the scene in every name; None where no plain one does.
    """

    example: str
    names: tuple[str, ...]
    held_out: int
    leaking: int
    pattern: str | None

    def sentence(self, remedy: str) -> str:
        """Return what is to be known, and what to do about it."""
        scenes = plural(len(self.names), "scene")
        shared = (
            f"{self.leaking} of {self.held_out} held-out samples share one with training samples, so scores "
            "look better than on new scenes"
            if self.held_out
            else "folds would cut them"
        )
        return (
            f"names such as {self.example} look like frames of {scenes} ({joined(self.names, _SHOWN)}), and "
            f"{shared}; keep them together with {remedy}"
        )


def scenes_in_names(manifest: Manifest) -> Scenes | None:
    """Return the scenes that names tell of and the column `group` does not; None where no split cuts one."""
    kept = manifest.table[manifest.table["keep"] & manifest.table["mask"].notna()]
    if kept.empty or column_groups(kept) is not None:
        return None
    ids = kept["sample_id"].tolist()
    found = numbered_names(ids)
    codes, names = pd.factorize(np.array(found, dtype=object))
    known = int((codes >= 0).sum())
    if not len(names) or known < _LEAST_SHARE * len(ids) or known < _LEAST_FRAMES * len(names):
        return None
    held_out = int(kept["split"].isin(["val", "test"]).sum())
    common = leaking(found, kept["split"].tolist())
    if held_out and not common:
        return None
    example = next(one for one, name in zip(ids, found, strict=True) if name is not None)
    pattern, shown = _pattern(ids, codes) or (None, names)
    return Scenes(example, tuple(map(str, shown)), held_out, common, pattern)


def _pattern(ids: Sequence[str], codes: np.ndarray) -> tuple[str, np.ndarray] | None:
    """Return the first pattern that groups the samples as their names do, and what it calls the groups."""
    if (codes < 0).any():
        return None
    for pattern in _PATTERNS:
        try:
            groups = group_by_pattern(ids, pattern)
        except DataError:
            continue
        own, names = pd.factorize(np.array(groups, dtype=object))
        if np.array_equal(own, codes):
            return pattern, names
    return None
