"""A part of the training split, for asking what more data would bring.

The parts are nested: a smaller share of the same seed lies within a larger one, so that two runs
differ by what was added and not by what was drawn.
"""

from __future__ import annotations

import dataclasses
import logging

import numpy as np
import pandas as pd

from seglab.core.errors import ConfigError, DataError
from seglab.core.seeding import generator
from seglab.data.manifest import Manifest

log = logging.getLogger(__name__)

# Fewer groups than this would meet the wanted shares too roughly.
MIN_GROUPS = 16
# So many candidates are looked at for each place in the order; more would cost time, not balance.
_WINDOW = 32
_NOTE, _PART_OF = "train_subset", "part_of"


def subset_train(manifest: Manifest, fraction: float, seed: int) -> Manifest:
    """Return a manifest of which only a share of the training split is kept.

    Whole groups are taken where there are at least `MIN_GROUPS` of them, else single samples (and a
    warning says so: what is left out then has neighbours among what is kept). The order in which
    they are taken keeps the share of images with each class near that of the whole split.

    Args:
        manifest: The data set; its other splits stay as they are.
        fraction: Share of the kept training samples, in (0, 1]; at least one unit is taken.
        seed: Which one of the possible draws. With the same seed a smaller share is part of a
            larger one; it does not depend on the order of the table.

    Returns:
        A manifest with `keep` False for what is left out, so another fingerprint, and with a note
        in its provenance; `manifest` itself at 1.

    Raises:
        ConfigError: The share is out of range.
        DataError: There are no training samples.
    """
    if not 0 < fraction <= 1:
        raise ConfigError(
            f"data.train_fraction: expected a number of more than 0, up to 1, got {fraction}"
        )
    if fraction == 1:
        return manifest
    rows = manifest.split("train")
    if rows.empty:
        raise DataError(f"data set {manifest.name}: its training split is empty, nothing to share")
    by_group = rows["group"].nunique() >= MIN_GROUPS
    unit_of = rows["group"] if by_group else rows["sample_id"]
    if not by_group and rows["group"].nunique() < len(rows):
        log.warning(
            "train_fraction takes single samples: the training split has only %d groups, %d are "
            "needed. Samples that are left out are like others of their group, so more data seems "
            "to bring less than new groups would",
            rows["group"].nunique(),
            MIN_GROUPS,
        )
    kept_units = _first_units(rows, unit_of, fraction, seed)
    kept = set(rows.loc[unit_of.isin(kept_units), "sample_id"])
    note = {
        "fraction": fraction,
        "seed": seed,
        "by": "group" if by_group else "sample",
        "samples": len(kept),
        "of": len(rows),
    }
    table = manifest.table.copy()
    table["keep"] &= (table["split"] != "train") | table["sample_id"].isin(kept)
    part = dataclasses.replace(
        manifest, table=table, provenance={**manifest.provenance, _NOTE: note}
    )
    return as_part_of(part, manifest)


def as_part_of(part: Manifest, whole: Manifest) -> Manifest:
    """Return `part` with a note that it has samples of `whole` only, so that it shares its cache.

    Args:
        part: Differs from `whole` only in `split` and in having less to `keep`.
        whole: The data set that is cached, or a part of it.
    """
    note = {_PART_OF: whole_fingerprint(whole)}
    return dataclasses.replace(part, provenance={**part.provenance, **note})


def whole_fingerprint(manifest: Manifest) -> str:
    """Return the fingerprint of the data set that a manifest is a part of, or its own.

    The pixels of a part are those of the whole, so the part is read from the cache of the whole.
    """
    return str(manifest.provenance.get(_PART_OF) or manifest.fingerprint)


def _first_units(rows: pd.DataFrame, unit_of: pd.Series, fraction: float, seed: int) -> list[str]:
    names, codes = np.unique(unit_of.to_numpy(str), return_inverse=True)
    # The last count is of ignored pixels.
    present = np.array([pixels[:-1] for pixels in rows["class_pixels"]], dtype=np.int64) > 0
    counts = np.zeros((len(names), present.shape[1]), dtype=np.int64)
    np.add.at(counts, codes, present)
    sizes = np.bincount(codes, minlength=len(names))
    order = _balanced_order(counts, sizes, seed)
    # Nearest to the share, and never fewer units at a larger one.
    taken = np.abs(np.cumsum(sizes[order]) - fraction * len(rows)).argmin() + 1
    return [str(names[index]) for index in order[:taken]]


def _balanced_order(counts: np.ndarray, sizes: np.ndarray, seed: int) -> np.ndarray:
    """Return an order of units whose every beginning has the classes as often as the whole.

    Units are shuffled; from the first few, the one comes next that brings the number of images with
    each class nearest to its share, deviations weighed as in a chi-squared sum so that rare classes
    count.

    Args:
        counts: Images with each class, `(units, C)`.
        sizes: Images, `(units,)`.
        seed: Seed of the shuffling.
    """
    shuffled = list(generator(seed, "train_subset").permutation(len(sizes)))
    share = counts.sum(axis=0) / sizes.sum()
    weight = np.divide(1.0, share, out=np.zeros_like(share), where=share > 0)
    order = []
    so_far, images = np.zeros(counts.shape[1]), 0
    while shuffled:
        window = shuffled[:_WINDOW]
        wanted = share * (images + sizes[window])[:, None]
        off = ((so_far + counts[window] - wanted) ** 2 * weight).sum(axis=1) / sizes[window]
        best = window[int(off.argmin())]
        shuffled.remove(best)
        order.append(best)
        so_far, images = so_far + counts[best], images + int(sizes[best])
    return np.array(order)
