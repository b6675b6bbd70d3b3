"""What importers share: finding folders and lists on disk, and naming what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from seglab.core.errors import DataError, DataNotFoundError, list_problems
from seglab.core.text.option_words import option_word
from seglab.core.text.wording import joined
from seglab.data.files.image_files import IMAGE_SUFFIXES


def find_base(root: Path, needed: Sequence[str], candidates: Iterable[str] = (".",)) -> Path:
    """Return the first folder `root/candidate` that holds all `needed` entries, as absolute path.

    Raises:
        DataNotFoundError: None does; the message names what was looked for and what is there.
    """
    root = root.expanduser().absolute()
    tried = list(candidates)
    for candidate in tried:
        base = root / candidate
        if base.is_dir() and all((base / name).exists() for name in needed):
            return base
    places = " or ".join(str(root / candidate) for candidate in tried)
    expected = f"expected {' and '.join(needed) or 'a folder'} in {places}"
    if not root.is_dir():
        raise DataNotFoundError(f"{root} is no folder; {expected}")
    raise DataNotFoundError(f"{expected}; {holding(root)}. Check the root")


def holding(root: Path) -> str:
    """Return what a folder holds, in words, for a message that something is not in it."""
    there = joined(sorted(entry.name for entry in root.iterdir()), 10) or "nothing"
    return f"{root} holds {there}"


def images_elsewhere(root: Path, images: str) -> str | None:
    """Return what to say of a root without the folder `images` that holds images all the same.

    Returns:
        Where they lie and what to type; None where there are none.
    """
    if not root.is_dir():
        return None
    missing = f"there is no folder {images} in {root}"
    folders = sorted(one for one in root.iterdir() if one.is_dir() and one.name[0] != ".")
    counts = {folder.name: _count_images(folder.rglob("*")) for folder in folders}
    # A picture or two beside the folders, as `preview -o` leaves, is not the data.
    if _count_images(root.iterdir()) >= max([1, *counts.values()]):
        return (
            f"{missing}, the images lie in it directly; give the folder above, {root.parent}, with "
            f"{option_word('images', root.name)}"
        )
    found = [f"{name} ({count})" for name, count in counts.items() if count]
    if not found:
        return None
    return (
        f"{missing}; image files lie in {joined(found, 10)}: say which folder holds the images and which "
        f"the masks, {option_word('images', 'FOLDER')} and {option_word('masks', 'FOLDER')}"
    )


def _count_images(paths: Iterable[Path]) -> int:
    return sum(path.suffix.lower() in IMAGE_SUFFIXES for path in paths)


def read_lines(path: Path) -> list[str]:
    """Return the lines of a text file without blank ones and `#` comments, stripped.

    Raises:
        DataNotFoundError: There is no such file.
        DataError: It is not UTF-8 text, or holds no lines.
    """
    if not path.is_file():
        raise DataNotFoundError(f"{path}: no such list file")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 text: {error}") from error
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    if not lines:
        raise DataError(f"{path}: the list is empty; delete it or fill it")
    return lines


def read_pairs(path: Path) -> list[tuple[str, str | None]]:
    """Return the lines of a list file as (image, mask) or (image, None), split at white space.

    Raises:
        DataError: Lines with more than two parts; each is named with its content.
    """
    pairs: list[tuple[str, str | None]] = []
    problems = []
    for line in read_lines(path):
        parts = line.split("\t") if "\t" in line else line.split()
        if len(parts) > 2:
            problems.append(f"{line!r} has {len(parts)} parts, expected an image and a mask")
            continue
        pairs.append((parts[0].strip(), parts[1].strip() if len(parts) == 2 else None))
    if problems:
        raise DataError(list_problems(f"{path} cannot be read", problems))
    return pairs


def locate(root: Path, listed: str) -> Path:
    """Return the file a list file names, relative to root.

    Lists often carry another machine's prefix (`/SegNet/CamVid/train/x.png`): leading folders are
    dropped until a file is found, but never the last one. Not found: folder and name under `root`.
    """
    parts = [part for part in listed.replace("\\", "/").split("/") if part not in ("", ".")]
    for start in range(max(1, len(parts) - 1)):
        candidate = Path(*parts[start:])
        if (root / candidate).is_file():
            return candidate
    return Path(*parts[-2:])
