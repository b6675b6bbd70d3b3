"""Drawing splits by share without cutting a group, and reading groups out of names."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence

from seglab.core.errors import ConfigError, DataError, list_problems
from seglab.core.seeding import generator


def split_groups(groups: Sequence[str], shares: Mapping[str, float], seed: int) -> list[str]:
    """Assign each sample to a split so that no group is in two of them.

    Large groups are placed first, each where most samples are still wanted; ties are drawn. So the
    shares are met exactly with single-sample groups, and as well as the groups allow otherwise.

    Args:
        groups: The group of each sample.
        shares: Wanted share of samples by split, all in 0..1; what is left to 1 goes to `train`.
        seed: Which one of the possible draws; it does not depend on the order of the samples.

    Returns:
        The split of each sample. Every split with a positive share gets at least one group.

    Raises:
        ConfigError: Shares outside 0..1, or nothing left for training.
        DataError: Fewer groups than splits to fill.
    """
    wanted = {split: share for split, share in shares.items() if share != 0}
    if any(not 0 < share < 1 for share in wanted.values()) or sum(wanted.values()) >= 1:
        given = ", ".join(f"{split} {share}" for split, share in shares.items())
        raise ConfigError(f"shares must lie in 0..1 and leave something for training, got {given}")
    wanted = {"train": 1 - sum(wanted.values()), **wanted}
    sizes = Counter(groups)
    if len(sizes) < len(wanted):
        noun = "sample" if len(sizes) == len(groups) else "group"
        raise DataError(
            f"{len(sizes)} {noun}{'s' * (len(sizes) > 1)} cannot fill {len(wanted)} splits "
            f"({', '.join(wanted)}) without cutting one; add data, set shares (val_fraction, "
            "test_fraction) to 0, or make smaller groups (group_pattern)"
        )
    names = sorted(sizes)
    order = [names[index] for index in generator(seed, "split").permutation(len(names))]
    order.sort(key=lambda name: -sizes[name])
    missing = {split: share * len(groups) for split, share in wanted.items()}
    empty = set(wanted)
    placed: dict[str, str] = {}
    for position, name in enumerate(order):
        # Once only as many groups are left as splits are empty, each of those takes one.
        forced = len(order) - position <= len(empty)
        candidates = [split for split in missing if not forced or split in empty]
        best = max(candidates, key=lambda split: missing[split])
        placed[name] = best
        missing[best] -= sizes[name]
        empty.discard(best)
    return [placed[group] for group in groups]


def group_by_pattern(names: Sequence[str], pattern: str | None) -> list[str]:
    """Return the group of each name: what the pattern's first bracket (or all of it) matches.

    Args:
        names: Sample ids.
        pattern: Regular expression searched for in each name; a bracket named `group` counts first.
            None: every name is its own group.

    Raises:
        ConfigError: The pattern is no regular expression.
        DataError: It does not match some names; they are listed.
    """
    if pattern is None:
        return list(names)
    try:
        compiled = re.compile(pattern)
    except re.error as error:
        raise ConfigError(f"group_pattern {pattern!r} is no regular expression: {error}") from error
    which: str | int = 1 if compiled.groups else 0
    if "group" in compiled.groupindex:
        which = "group"
    groups, unmatched = [], []
    for name in names:
        match = compiled.search(name)
        if match is None or not match[which]:
            unmatched.append(name)
        else:
            groups.append(match[which])
    if unmatched:
        title = (
            f"group_pattern {pattern!r} finds no group in {len(unmatched)} of {len(names)} names"
        )
        raise DataError(list_problems(title, unmatched))
    return groups
