from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from seglab.annotations.format import LabelledImage, annotation_format
from seglab.annotations.vectorise import to_shapes
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from tests.annotators import LABELS, careless, scene, write_annotator

Run = Callable[..., Any]
TRUTH = {f"street/{n}": scene(n) for n in range(18)}
GOLD = {f"known {n}": scene(100 + n) for n in range(4)}


def _without_masks(manifest: Manifest) -> None:
    rows = len(manifest.table)
    empty = {"mask": None, "mask_sha256": None, "class_pixels": [[]] * rows, "split": "unlabeled"}
    manifest.with_table(manifest.table.assign(**empty)).write(manifest.root / "manifest")


def _draw(folder: Path, items: list[dict[str, Any]], share: float) -> None:
    """Draw what a list holds, as an annotator with so many mistakes."""
    tool = annotation_format("labelme")
    for number, one in enumerate(items):
        mask = careless((TRUTH | GOLD)[one["sample_id"]], number, share)
        shapes = to_shapes(mask, dict(enumerate(LABELS.class_names)), tool.drawing, 255, 0.0)
        image = f"{one['id']}.png"
        found = next(folder.rglob(image)).relative_to(folder).as_posix()
        tool.write(folder, LabelledImage(found, *mask.shape, shapes, mask, "train"), LABELS)


def test_honeypots_are_dealt_unseen_scored_and_taken_out(seglab: Run, tmp_path: Path) -> None:
    for folder in ("work/images/street", "work/masks/street"):
        (tmp_path / folder).mkdir(parents=True)
    _without_masks(write_annotator(tmp_path, "work", TRUTH))
    write_annotator(tmp_path, "gold", GOLD)
    words = ("data", "honeypots", "work/manifest", "--gold", "gold/manifest", "--annotators")
    more = ("--format", "labelme", "--out", "lists", "--share", "0.15", "--shared", "2")
    done = seglab(*words, "anna", "ben", *more)
    assert done.code == 0, done.err
    assert "lists/anna: 12 images, 2 of them honeypots" in done.out
    key = json.loads((tmp_path / "lists" / "honeypots.json").read_text())["lists"]
    hidden = {who: {i["sample_id"] for i in items if i["honeypot"]} for who, items in key.items()}
    assert hidden["anna"] | hidden["ben"] == set(GOLD), "others for each while there are enough"
    both = [{i["sample_id"] for i in items if not i["honeypot"]} for items in key.values()]
    assert both[0] | both[1] == set(TRUTH)
    assert len(both[0] & both[1]) == 2

    for who, items in key.items():
        folder = tmp_path / "lists" / who
        names = {path.name for path in folder.rglob("*") if path.suffix != ".png"}
        assert not {name for name in names if "." in name} - {"labels.txt"}, "nothing is annotated"
        files = sorted(folder.rglob("*.png"))
        assert [path.stem for path in files] == [one["id"] for one in items]
        assert len({path.parent for path in files}) == len({len(p.stem) for p in files}) == 1
        for file, one in zip(files, items, strict=True):
            place = "gold" if one["honeypot"] else "work"
            same = tmp_path / place / "images" / f"{one['sample_id']}.png"
            assert file.read_bytes() == same.read_bytes()
        _draw(folder, items, 0.0 if who == "anna" else 0.3)
        imported = seglab(
            *("data", "import", "labelme", f"lists/{who}", "--out", f"lists/{who}/manifest"),
            *("--option", "unlabelled=void", "--option", "class_names=[ground, tree, car]"),
        )
        assert imported.code == 0, imported.err
    scored = seglab(
        *("data", "agreement", "lists/anna/manifest", "lists/ben/manifest"),
        *("--names", "anna", "ben", "--gold", "gold/manifest", "--json", "all.json"),
    )
    assert scored.code == 0, scored.err
    gold = {
        one["annotator"]: one for one in json.loads((tmp_path / "all.json").read_text())["gold"]
    }
    assert {who: one["images"] for who, one in gold.items()} == {"anna": 2, "ben": 2}
    assert gold["anna"]["dice"]["value"] == 1.0 > gold["ben"]["dice"]["value"]

    back = seglab(
        *("data", "clean", "work/manifest", "--corrected", "lists/anna/manifest"),
        *("--gold", "gold/manifest"),
    )
    assert back.code == 0, back.err
    taken = Manifest.read(tmp_path / "work" / "manifest")
    drawn = taken.table[taken.table["mask"].notna()].set_index("sample_id")["mask"]
    assert set(drawn.index) == both[0]
    for name, mask in drawn.items():
        assert np.array_equal(read_mask(taken.root / mask, taken.labels), TRUTH[str(name)])


def test_what_would_give_honeypots_away_or_cannot_be_dealt_is_refused(
    seglab: Run, tmp_path: Path
) -> None:
    for folder in ("work/images/street", "work/masks/street"):
        (tmp_path / folder).mkdir(parents=True)
    _without_masks(write_annotator(tmp_path, "work", TRUTH))
    # One of another size than all the work: it could be told.
    write_annotator(tmp_path, "gold", {**GOLD, "known 0": scene(100, 30, 32)})
    first = ("data", "honeypots", "work/manifest", "--gold", "gold/manifest", "--format", "labelme")
    for words, message in (
        (("--annotators", "a", "A", "--share", "1"), "a is named twice"),
        (("--annotators", "../a"), "cannot be the name of a folder"),
        (("--annotators", "a", "--share", "0.9"), "honeypots a list are asked for, 3 images"),
        (("--annotators", "a", "--shared", "40"), "--shared: there are 18 images to annotate"),
    ):
        refused = seglab(*first, "--out", "lists", *words)
        assert refused.code == 2, refused.out
        assert message in refused.err
        assert not (tmp_path / "lists").exists()
