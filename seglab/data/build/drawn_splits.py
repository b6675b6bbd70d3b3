"""Splits that an importer draws: drawn again where samples turn out to be faulty."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

# Splits of samples whose groups and shares are given, and a seed.
DrawGroups = Callable[[Sequence[str], Mapping[str, float], int], list[str]]


@dataclass(frozen=True)
class Draw:
    """How an importer shared samples out.

    Args:
        groups: What draws, `seglab.data.build.splitting.split_groups`.
        shares: Wanted share of samples by split; what is left to 1 goes to `train`.
        seed: Which of the possible draws.
    """

    groups: DrawGroups
    shares: Mapping[str, float]
    seed: int

    def again(self, table: pd.DataFrame) -> pd.DataFrame:
        """Return a manifest's table whose kept samples are shared out anew.

        Else a split of few samples may be left with faulty ones alone. Samples without a mask, and those
        in splits that were not drawn, stay.

        Raises:
            DataError: Too few groups are left for the splits.
        """
        drawn = table["split"].isin(["train", *self.shares])
        places = table.index[table["keep"] & table["mask"].notna() & drawn]
        splits = table["split"].copy()
        splits.loc[places] = self.groups(
            table.loc[places, "group"].tolist(), self.shares, self.seed
        )
        return table.assign(split=splits)
