"""What a split lets through: held-out samples that have something in common with training samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from seglab.core.seeding import generator
from seglab.data.folds.groups import Names
from seglab.data.splits.drawing import DrawnSplit
from seglab.data.splits.options import LABELLED, SplitOptions

_RANDOM_DRAWS = 20
# A split is off its share where it misses this much of it.
_TOLERANCE = 0.25


def leaking(names: Names, placed: Sequence[str | None]) -> int:
    """Return how many validation and test samples share a name with a training sample.

    Args:
        names: What each sample belongs to by one source; None: unknown, which shares nothing.
        placed: The split of each sample; None: in none.
    """
    codes, _ = pd.factorize(np.array(names, dtype=object))
    return _leaking(codes, _roles(placed))


def _roles(placed: Sequence[str | None]) -> np.ndarray:
    """Return 1 for training, 2 for validation and test, else 0: uint8 `(N,)`."""
    own = np.array(placed, dtype=object)
    return (own == "train") + 2 * ((own == "val") | (own == "test")).astype(np.uint8)


def _leaking(codes: np.ndarray, roles: np.ndarray) -> int:
    # One more, for samples of which nothing is known (code -1).
    trained = np.zeros(int(codes.max(initial=-1)) + 2, dtype=bool)
    trained[codes[roles == 1]] = True
    trained[-1] = False
    return int(np.count_nonzero(trained[codes[roles == 2]]))


def leaks_at_random(names: Names, placed: Sequence[str | None], seed: int) -> float:
    """Return the mean of `leaking` where samples are shared out one by one, in the same numbers."""
    codes, _ = pd.factorize(np.array(names, dtype=object))
    return _mean_leaking(codes, _at_random(_roles(placed), seed))


def _at_random(roles: np.ndarray, seed: int) -> list[np.ndarray]:
    rng = generator(seed, "random split")
    return [rng.permutation(roles) for _ in range(_RANDOM_DRAWS)]


def _mean_leaking(codes: np.ndarray, draws: list[np.ndarray]) -> float:
    return float(np.mean([_leaking(codes, roles) for roles in draws]))


def leak_table(drawn: DrawnSplit, seed: int) -> pd.DataFrame:
    """Return a row a source: groups, and held-out samples that share one with training samples.

    `known` counts the samples that the source says anything of. Columns `now`, `at random` and `new`
    count them in the split as it was, in splits of the new sizes drawn sample by sample (mean of 20),
    and in the new one.
    """
    rows = []
    now, new = _roles(drawn.rows["split"].tolist()), _roles(drawn.placed)
    draws = _at_random(new, seed)
    for source, names in drawn.names.items():
        codes, found = pd.factorize(np.array(names, dtype=object))
        rows.append(
            {
                "belongs together by": source,
                "known": np.count_nonzero(codes >= 0),
                "groups": len(found),
                "now": _leaking(codes, now),
                "at random": round(_mean_leaking(codes, draws), 1),
                "new": _leaking(codes, new),
            }
        )
    return pd.DataFrame(rows)


def share_table(drawn: DrawnSplit) -> pd.DataFrame:
    """Return a row a class: its share of the pixels, and images that hold it, by new split."""
    labels = drawn.manifest.labels
    pixels, placed = drawn.pixels[:, :-1], np.array(drawn.placed, dtype=object)
    columns: dict[str, list[str | int]] = {}
    for split in (name for name in LABELLED if (placed == name).any()):
        own = pixels[placed == split]
        share = own.sum(axis=0) / max(1, own.sum())
        columns[f"{split} pixels"] = [f"{100 * one:.2f} %" for one in share]
        columns[f"{split} images"] = (own > 0).sum(axis=0).tolist()
    return pd.DataFrame(columns, index=list(labels.class_names))


def warnings_of(drawn: DrawnSplit, options: SplitOptions) -> list[str]:
    """Return what a user should know of the new split: shares missed, classes that are nowhere."""
    placed = pd.Series(list(drawn.placed), dtype=object)
    pooled = drawn.rows["split"].isin(options.pooled)
    warnings = []
    for split, share in (("val", options.val), ("test", options.test)):
        got = float((placed[pooled] == split).mean())
        if share and abs(got - share) > _TOLERANCE * share:
            warnings.append(
                f"{split} holds {100 * got:.1f} % where {100 * share:.1f} % were asked for: whole units "
                f"are large; block=N (`--block N`) cuts them into runs of N consecutive samples"
            )
    for split in [name for name in LABELLED if (placed == name).any()]:
        held = drawn.pixels[(placed == split).to_numpy()].sum(axis=0) > 0
        absent = [
            n
            for n, there in zip(drawn.manifest.labels.class_names, held, strict=False)
            if not there
        ]
        if absent:
            warnings.append(
                f"{split} holds no pixel of {', '.join(absent)}; scores of them there are undefined"
            )
    for source, names in drawn.names.items():
        common = leaking(names, drawn.placed)
        # Blocks are cut from groups, so that they share those is what was asked for.
        if common and (source == "near_duplicates" or not options.block):
            warnings.append(
                f"{common} held-out samples still share something with training samples ({source}): "
                + ("a wider gap helps" if options.block else "pooled leaves those where they are")
            )
    left = int(placed.isna().sum())
    if left:
        warnings.append(f"{left} samples lie in a gap and are left out (keep is false)")
    return warnings


def format_split(drawn: DrawnSplit, options: SplitOptions) -> str:
    """Return the findings as plain text."""
    counts = pd.Series(list(drawn.placed), dtype=object).value_counts()
    sizes = ", ".join(f"{name} {counts[name]}" for name in LABELLED if name in counts)
    held_out = int(drawn.rows["split"].isin(["val", "test"]).sum())
    parts = [
        f"{drawn.manifest.name}: {len(set(drawn.units))} units of samples that belong together; new "
        f"splits: {sizes}",
        "Validation and test samples that have something in common with training samples "
        f"(now {held_out} are held out)\n{leak_table(drawn, options.seed).to_string(index=False)}",
        f"Classes\n{share_table(drawn).to_string()}",
    ]
    parts += [f"Warning: {text}" for text in warnings_of(drawn, options)]
    return "\n\n".join(parts) + "\n"
