"""What counts as a file of a data set: hidden ones do not, links do, and what is skipped is said."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import DataNotFoundError
from seglab.data.importers import import_dataset
from seglab.data.importers.listing import Listing, sources_now
from tests.data.test_importers import make_ade20k, make_cityscapes, make_folder

LEFT_BEHIND = (
    ".ipynb_checkpoints/a-checkpoint.png",
    ".git/a.png",
    "sub/.thumbnails/a.png",
    "._a.png",
    "Thumbs.db",
    "__MACOSX/._a.png",
    "__MACOSX/a.png",
    "@eaDir/a.png",
    "sub/desktop.ini",
    "lost+found/a.png",
    ".hidden.png",
)


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def names(root: Path, place: str) -> list[str]:
    return [path.relative_to(root).as_posix() for path in Listing(root).images(place)]


def test_what_tools_leave_behind_is_skipped_and_said(tmp_path: Path) -> None:
    left = [f"images/{name}" for name in LEFT_BEHIND]
    root = touch(tmp_path, "images/a.png", "images/sub/b.JPG", "images/notes.txt", *left)
    (root / "images" / "gone.png").symlink_to(root / "nowhere.png")
    assert names(root, "images") == ["images/a.png", "images/sub/b.JPG"]
    listing = Listing(root)
    listing.images("images")
    (note,) = listing.notes()
    assert note.startswith("skipped: ")
    for expected in (
        "6 hidden folders (images/.git, images/.ipynb_checkpoints, images/@eaDir, ...)",
        "4 hidden files (images/._a.png, images/.hidden.png, images/Thumbs.db, ...)",
        "1 file without the ending of an image (images/notes.txt)",
        "1 link that leads nowhere (images/gone.png)",
    ):
        assert expected in note
    assert Listing(touch(root, "tidy/a.png")).notes() == []


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("*/images", ["one/images/a.png", "two/images/b.png", "two/images/deep/c.jpg"]),
        ("*/images/*.png", ["one/images/a.png", "two/images/b.png"]),
        ("two/**/*.jpg", ["two/images/deep/c.jpg"]),
        ("**/?.png", ["one/images/a.png", "two/images/b.png", "x [1]/d.png"]),
        ("x [1]", ["x [1]/d.png"]),
        ("one/images/a.png", ["one/images/a.png"]),
        ("one/images/z.png", []),
        ("gone/*.png", []),
        (".secret/*.png", [".secret/e.png"]),
    ],
)
def test_places_are_folders_or_patterns(tmp_path: Path, place: str, expected: list[str]) -> None:
    root = touch(
        tmp_path,
        "one/images/a.png",
        "two/images/b.png",
        "two/images/deep/c.jpg",
        "x [1]/d.png",
        ".secret/e.png",
        ".ipynb_checkpoints/images/f.png",
    )
    assert names(root, place) == expected


@pytest.mark.parametrize("place", ["images", "images/**/*.png"])
def test_links_to_folders_are_followed_once_and_never_in_circles(
    tmp_path: Path, place: str
) -> None:
    root = touch(tmp_path / "raw", "images/a.png", "images/deep/b.png", "masks/a.png")
    touch(tmp_path / "other", "c.png", "inner/d.png")
    links = {"far": "../../other", "again": "deep", "up": "..", "self": ".", "deep/back": "../.."}
    for link, goal in links.items():
        (root / "images" / link).symlink_to(goal)
    (tmp_path / "other" / "round").symlink_to(root / "images")
    expected = ["a.png", "deep/b.png", "far/c.png", "far/inner/d.png"]
    assert names(root, place) == [f"images/{name}" for name in expected]
    listing = Listing(root)
    listing.images(place)
    assert "5 links to folders above them or listed already (images/again, " in listing.notes()[0]


@pytest.mark.parametrize("place", ["*/images", "*/images/*.png", "**/*.png"])
def test_a_link_that_a_pattern_matches_brings_nothing_twice(tmp_path: Path, place: str) -> None:
    root = touch(tmp_path, "one/images/a.png", "two/images/b.png")
    (root / "three").symlink_to("one")
    listing = Listing(root)
    found = [path.relative_to(root).as_posix() for path in listing.images(place)]
    assert found == ["one/images/a.png", "two/images/b.png"]
    assert "1 link to a folder above it or listed already (three" in listing.notes()[0]


def test_sources_tell_when_a_file_came_or_went(tmp_path: Path) -> None:
    root = touch(tmp_path, "images/a.png", "images/b.png")
    (root / "train.txt").write_text("a\n")
    listing = Listing(root)
    listing.images("images")
    assert listing.has("train.txt")
    assert not listing.has("val.txt")
    listing.watch(root / "masks")
    sources = listing.sources
    assert sources_now(root, sources) == sources
    touch(root, "images/.c.png", "images/notes.txt", "elsewhere/d.png")
    assert sources_now(root, sources) == sources
    for change, undo in (
        (lambda: touch(root, "images/c.png"), lambda: (root / "images/c.png").unlink()),
        (lambda: touch(root, "masks/a.png"), lambda: (root / "masks/a.png").unlink()),
        (lambda: touch(root, "val.txt"), lambda: (root / "val.txt").unlink()),
        (lambda: (root / "train.txt").write_text("b\n"), lambda: (root / "train.txt").unlink()),
    ):
        change()
        assert sources_now(root, sources) != sources
        undo()


@pytest.mark.parametrize(
    ("importer", "make", "folder"),
    [
        ("folder", make_folder, "images"),
        ("ade20k", make_ade20k, "ADEChallengeData2016/images/training"),
        ("cityscapes", make_cityscapes, "leftImg8bit/train"),
    ],
)
def test_importers_that_list_folders_skip_and_follow_alike(
    tmp_path: Path, importer: str, make: object, folder: str
) -> None:
    root = tmp_path / "raw"
    make(root)  # type: ignore[operator]
    expected = import_dataset(importer, root, tmp_path / "one", "tiny").table
    images = root / folder
    file = next(path for path in sorted(images.rglob("*")) if path.is_file())
    for name in (f".ipynb_checkpoints/{file.name}", f"__MACOSX/{file.name}", f"._{file.name}"):
        touch(file.parent, name)
        (file.parent / name).write_bytes(file.read_bytes())
    images.rename(tmp_path / "elsewhere")
    images.symlink_to(tmp_path / "elsewhere")
    found = import_dataset(importer, root, tmp_path / "two", "tiny")
    assert found.table.equals(expected)
    assert "hidden" in found.provenance["notes"][-1] or "hidden" in found.provenance["notes"][-2]


def test_a_folder_with_nothing_but_skipped_files_says_so(tmp_path: Path) -> None:
    touch(tmp_path, "images/.a.png", "images/b.npz", "masks/a.png")
    with pytest.raises(DataNotFoundError, match=r"no image files in .*images; skipped: 1 hidden"):
        import_dataset("folder", tmp_path, tmp_path / "out", "tiny")


def test_half_of_the_images_behind_a_link_is_not_lost(tmp_path: Path) -> None:
    root, pixels = tmp_path / "raw", np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    for number in range(6):
        image = (tmp_path / "far" if number % 2 else root / "images") / f"s{number}.png"
        for file, content in (
            (image, pixels + number),
            (root / "masks" / image.name, pixels[..., 0] // 6),
        ):
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(content).save(file)
    (root / "images" / "b").symlink_to(os.path.relpath(tmp_path / "far", root / "images"))
    manifest = import_dataset("folder", root, tmp_path / "out", "tiny", {"class_names": ["a", "b"]})
    ids = manifest.table["sample_id"].tolist()
    assert ids == ["b/s1", "b/s3", "b/s5", "s0", "s2", "s4"]
