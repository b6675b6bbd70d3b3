"""Instructions for annotators: what the data shows, what people write, and that both are told apart."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from seglab.core.errors import DataError
from seglab.core.labels import LabelSpace
from seglab.curation.review.instructions import write_instructions
from seglab.curation.review.wording import ClassWording, read_wording
from seglab.data.manifest import Manifest
from seglab.data.mask_parts import choose, find_parts
from tests.annotators import scene, write_annotator

NASTY = LabelSpace(("ground", "<script>alert(1)</script>", "car & 'bus'", "never"))


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    masks = {f"s{number}": scene(number, 48, 64) for number in range(6)}
    masks["s0"][30:33, 0:4] = 1  # cut off by the edge, 12 px
    masks["s1"][0, 0] = 1  # a speck? 1 px of 3072
    return write_annotator(tmp_path, "anna", masks, labels=NASTY)


def _rows(manifest: Manifest) -> list[dict]:  # type: ignore[type-arg]
    return manifest.table.to_dict(orient="records")  # type: ignore[return-value]


def test_parts_by_hand(tmp_path: Path) -> None:
    mask = np.zeros((40, 50), dtype=np.uint8)
    mask[10:20, 10:20] = 1
    mask[10:20, 20:25] = 2  # beside the tree
    mask[35:40, 40:45] = 2  # at the lower edge
    mask[20, 20] = 1  # joined to the tree over a corner
    mask[30:32, 5:7] = 255
    manifest = write_annotator(tmp_path, "anna", {"x": mask})
    parts = find_parts(manifest, _rows(manifest))
    found = {
        (p["class_index"], p["area"]): (p["cut_off"], p["beside"], p["left"], p["top"])
        for p in parts.to_dict(orient="records")
    }
    assert found[(1, 101)] == (0, 2, 10, 10), "ground and car; void is no class"
    assert found[(2, 50)] == (0, 2, 20, 10)
    assert found[(2, 25)] == (1, 1, 40, 35)
    assert found[(0, 40 * 50 - 101 - 75 - 4)] == (1, 2, 0, 0)
    assert len(found) == len(parts) == 4


def test_examples_come_from_different_images(manifest: Manifest) -> None:
    parts = find_parts(manifest, _rows(manifest))
    chosen = choose(parts[parts["class_index"] == 1], 6, np.random.default_rng(0))
    assert sorted(chosen["row"]) == [0, 1, 2, 3, 4, 5]
    assert len(choose(parts, 10**6, np.random.default_rng(0))) == len(parts)


class _Page(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, name: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(name)
        self.sources += [str(value) for key, value in attributes if key in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.texts.append(data.strip())


def test_page_shows_every_class_as_it_is_called(manifest: Manifest, tmp_path: Path) -> None:
    text = tmp_path / "text.yaml"
    text.write_text(
        "title: 'Streets <2>'\ngeneral: |\n  One.\n\n  Two.\nclasses:\n  ground: What one walks on.\n"
        "  car & 'bus':\n    definition: On wheels.\n    include: [vans]\n    exclude: [toys]\n"
        "    smallest_px: 50\nhard_cases: {overlap: Nearer over farther <i>}\n"
    )
    wording = read_wording(text, NASTY.class_names)
    assert wording.classes["car & 'bus'"] == ClassWording("On wheels.", ("vans",), ("toys",), 50)
    made = write_instructions(manifest, tmp_path / "page.html", wording)
    assert made.undefined == ("<script>alert(1)</script>", "never")
    assert made.unseen == ("never",)
    page = _Page(made.page.read_text())
    assert "script" not in page.tags
    assert "i" not in page.tags
    for name in NASTY.class_names:
        assert page.texts.count(name) == 2, "in the table and over its own part"
    for said in ("Streets <2>", "One.", "Two.", "On wheels.", "It is in none of these masks."):
        assert said in page.texts
    assert ": Nearer over farther <i>" in page.texts
    assert "Below 50 px (about 7 x 7) it is not drawn." in page.texts
    assert all(one.startswith(("data:", "#class-")) for one in page.sources), (
        "nothing from elsewhere"
    )
    again = write_instructions(manifest, tmp_path / "again.html", wording)
    assert again.page.read_text() == made.page.read_text()


def test_wording_is_checked_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "text.yaml"
    path.write_text(
        "titel: x\nclasses:\n  grund: y\n  ground: {definitoin: z, include: 3, smallest_px: 0}\n"
        "hard_cases: {tiny: w}\n"
    )
    with pytest.raises(DataError) as refused:
        read_wording(path, ("ground", "tree"))
    message = str(refused.value)
    for said in (
        "unknown name 'titel' (did you mean 'title'?)",
        "classes: unknown name 'grund' (did you mean 'ground'?)",
        "classes: ground: unknown name 'definitoin'",
        "classes: ground: include: expected a list, got 3",
        "classes: ground: smallest_px: expected pixels from 1, got 0",
        "hard_cases: unknown name 'tiny'; there are overlap, partly_visible, too_small",
    ):
        assert said in message
    path.write_text("[1]")
    with pytest.raises(DataError, match="expected the keys"):
        read_wording(path, ("a", "b"))
