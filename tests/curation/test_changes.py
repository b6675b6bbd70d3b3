from __future__ import annotations

import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.cli.main import run
from seglab.core.labels import LabelSpace
from seglab.curation.changes.compare import VOID, compare, in_words
from seglab.curation.changes.page import write_changes_page
from seglab.curation.versions import new_version
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.manifest import Manifest

LABELS = LabelSpace(("road", "sky", "car"))


def imported(root: Path, masks: dict[str, np.ndarray]) -> Manifest:
    samples = []
    for number, (name, mask) in enumerate(masks.items()):
        root.mkdir(exist_ok=True)
        image = np.full((*mask.shape, 3), 60 * number, np.uint8)
        for path, pixels in ((f"{name}.png", image), (f"{name}_mask.png", mask)):
            Image.fromarray(pixels).save(root / path)
        files = root / f"{name}.png", root / f"{name}_mask.png"
        samples.append(SampleFiles(name, *files, "train", name))
    return build_manifest(ImportedFiles(samples, LABELS), root, "pair", {})


@pytest.fixture
def versions(tmp_path: Path) -> tuple[Manifest, Manifest]:
    """`a` stays, of `b` a corner becomes sky and a pixel void, `c` goes, `d` comes; `a` moves to val."""
    flat = np.zeros((20, 30), np.uint8)
    drawn = flat.copy()
    drawn[:4, :5] = 1
    drawn[10, 10] = 255
    old = imported(tmp_path / "old", {"a": flat, "b": flat, "c": flat})
    new = imported(tmp_path / "new", {"a": flat, "b": drawn, "d": flat})
    table = new.table.assign(split=["val", "train", "train"], flags=[["blurred"], [], []])
    return old, new.with_table(table)


def test_what_differs_is_counted_by_sample_and_by_pixel(versions: Any) -> None:
    changes = compare(*versions)
    assert (changes.added, changes.removed, changes.labels) == (["d"], ["c"], [])
    assert [(one.sample_id, one.moves) for one in changes.masks] == [
        ("b", Counter({("road", "sky"): 20, ("road", VOID): 1}))
    ]
    assert changes.columns == {"split": {"a": ("train", "val")}, "flags": {"a": ([], ["blurred"])}}
    told = "\n".join(in_words(changes))
    assert "1 mask changed, 21 pixels" in told
    assert "train -> val: 1 sample" in told
    assert not compare(versions[1], versions[1])


def test_classes_are_matched_by_name_not_by_number(versions: Any) -> None:
    _, new = versions
    labels = LabelSpace(("sky", "road", "car"), raw_ids={0: 1, 1: 0, 2: 2, 255: 255})
    pixels = [[*counts[1::-1], *counts[2:]] for counts in new.table["class_pixels"]]
    turned = dataclasses.replace(new, labels=labels, table=new.table.assign(class_pixels=pixels))
    changes = compare(new, turned)
    assert changes.labels
    assert changes.masks == []
    renamed = dataclasses.replace(new, labels=LabelSpace(("way", "sky", "car")))
    assert compare(new, renamed).moves == Counter({("road", "way"): 3 * 600 - 21})


def test_a_mask_that_is_gone_is_said_and_the_rest_compared(versions: Any) -> None:
    old, new = versions
    (old.root / "b_mask.png").write_bytes((new.root / "b_mask.png").read_bytes())
    (one,) = compare(old, new).masks
    assert "no longer the file of version" in one.unknown
    assert one.pixels == 0


def test_the_command_writes_text_json_and_page(
    versions: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = (str(one.write(tmp_path / name)) for one, name in zip(versions, "ab", strict=True))
    out, page = tmp_path / "diff.json", tmp_path / "diff.html"
    words = ["data", "diff", old, new, "--json", str(out), "--html", str(page)]
    assert run(words) == 0
    assert run([*words, "--exit-code"]) == 1
    assert run(["data", "diff", new, new, "--exit-code"]) == 0
    assert "nothing differs" in capsys.readouterr().out
    assert run(["data", "diff", new]) == 2
    assert "no version is before it" in capsys.readouterr().err
    content = json.loads(out.read_text())
    assert content["moves"][0] == {"from": "road", "to": "sky", "pixels": 20}
    html = page.read_text()
    # Image, before, now, marked of b; d and c; the second picture of a figure is the mask.
    assert html.count("<img") == 6 + 2
    assert write_changes_page(compare(*versions), page, most=0) > 0
    assert "3 more samples have no picture" in page.read_text()
    now = versions[1]
    mask = now.root / str(now.table["mask"].iloc[0])
    mask.write_bytes(mask.read_bytes() + b"\0")
    assert run(["data", "diff", old, new]) == 0
    assert f"{mask.name} (changed since the import)" in capsys.readouterr().err


def test_one_version_is_compared_with_that_before_it(
    versions: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, _ = versions
    old.write(tmp_path / "m")
    dropped = new_version(old, old.table.assign(keep=[True, False, True]), "clean", {})
    dropped.write(tmp_path / "m")
    assert run(["data", "diff", str(tmp_path / "m")]) == 0
    assert "1 sample with another keep: b" in capsys.readouterr().out
