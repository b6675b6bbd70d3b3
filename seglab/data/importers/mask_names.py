"""How masks are called that nobody found: images `a.png` with masks `a_L.png`, and what to type for it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from seglab.core.text.option_words import option_word
from seglab.data.importers.listing import Listing
from seglab.data.importers.pairing import Entry, composed

# Images whose names are looked for among the masks: what is constant shows in a few.
_LOOKED_AT = 8


def masks_called_otherwise(root: Path, entries: Sequence[Entry], masks: str) -> str | None:
    """Return a sentence with the option that finds more masks; None where there is none.

    Args:
        root: Folder everything lies under.
        entries: The images, with their masks as far as those are found.
        masks: The option as it is.
    """
    labelled = [one for one in entries if one.split != "unlabeled"]
    found = sum(one.mask is not None and one.mask.is_file() for one in labelled)
    if 2 * found > len(labelled):
        return None
    proposals: Counter[str] = Counter()
    for folder in _folders(root, labelled, masks):
        proposals.update(_patterns(root, folder, labelled))
    if not proposals:
        return None
    pattern, count = proposals.most_common(1)[0]
    if count <= max(found, len(labelled) // 2):
        return None
    return (
        f"{len(labelled) - found} of {len(labelled)} images have no mask by masks={masks}; "
        f"{count} have one with {option_word('masks', pattern)}"
    )


def _folders(root: Path, entries: Sequence[Entry], masks: str) -> list[Path]:
    """Return where masks may be: the folder that is named, else each beside those of the images."""
    named = root / masks.partition("{")[0].rpartition("/")[0] if "{" in masks else root / masks
    if named != root and named.is_dir():
        return [named]
    images = {one.image.relative_to(root).parts[0] for one in entries}
    return [
        one
        for one in sorted(root.iterdir())
        if one.is_dir() and one.name not in images and not one.name.startswith(".")
    ]


def _patterns(root: Path, folder: Path, entries: Sequence[Entry]) -> Counter[str]:
    """Return patterns that are constant but for an image's name, and how many images have such a mask."""
    paths = Listing(root).images(folder.relative_to(root).as_posix())
    there = {composed(path.relative_to(folder).as_posix()) for path in paths}
    around: Counter[tuple[str, str, str]] = Counter()
    for entry in entries[:: max(1, len(entries) // _LOOKED_AT)]:
        for field, value in (("stem", composed(entry.image.stem)), ("key", entry.key)):
            for name in there:
                for match in re.finditer(re.escape(value), name):
                    before, after = name[: match.start()], name[match.end() :]
                    if "/" not in after:
                        around[field, before, after] += 1
    counts: Counter[str] = Counter()
    for (field, before, after), _ in around.most_common(_LOOKED_AT):
        values = [composed(one.image.stem) if field == "stem" else one.key for one in entries]
        pattern = f"{folder.relative_to(root).as_posix()}/{before}{{{field}}}{after}"
        counts[pattern] = len(there & {f"{before}{value}{after}" for value in values})
    return counts
