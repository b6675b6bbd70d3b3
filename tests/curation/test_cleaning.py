from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.cli.data import run as seglab_data
from seglab.core.errors import DataError
from seglab.curation.cleaning.decisions import read_decisions
from seglab.curation.findings import findings_table
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from tests.curation.conftest import Make, picture


@pytest.fixture
def place(make: Make, tmp_path: Path) -> Path:
    """A manifest of six samples, of which `b` and `c` are copies of `a`, audited."""
    mask = np.zeros((48, 64), np.uint8)
    mask[:10], mask[10:14] = 1, 2
    images = {name: picture(0 if name in "abc" else ord(name)) for name in "abcdef"}
    make(images, dict.fromkeys("abcdef", mask)).write(tmp_path / "m")
    seglab_data(["audit", str(tmp_path / "m"), "--only", "exact_duplicate"])
    return tmp_path / "m"


def decide(place: Path, text: str) -> Manifest:
    (place / "d.yaml").write_text(text)
    assert seglab_data(["clean", str(place), "--decisions", str(place / "d.yaml")]) == 0
    return Manifest.read(place)


def test_decisions_make_a_version_that_can_be_undone_to_the_first(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = place.parent
    new = np.full((48, 64), 2, np.uint8)
    Image.fromarray(new).save(root / "new.png")
    before = Manifest.read(place)
    files = sorted(path.name for path in root.glob("*.png"))
    after = decide(
        place,
        "decisions: [{sample: d, do: drop, note: not a street}, "
        "{sample: e, do: relabel, mask: new.png}, {sample: f, do: relabel}]\ncap_duplicates: 2\n",
    )
    rows = after.table.set_index("sample_id")
    assert rows["keep"].to_dict() == dict(zip("abcdef", [1, 1, 0, 0, 1, 1], strict=True))
    assert rows.loc["e", "class_pixels"] == [0, 0, 48 * 64, 0]
    assert rows.loc["f", "flags"] == ["to_relabel"]
    log = (place / "cleaning.log").read_text()
    assert "drop d: not a street\n" in log
    assert "drop c: more than 2 of the picture a\n" in log
    assert sorted(path.name for path in root.glob("*.png")) == files
    assert decide(place, "decisions: [{sample: d, do: keep}]").split("train")[
        "sample_id"
    ].tolist() == [*"abdef"]
    for _ in range(2):
        seglab_data(["undo", str(place)])
    assert Manifest.read(place).fingerprint == before.fingerprint
    seglab_data(["undo", str(place)])
    assert "undone what `audit` did" in capsys.readouterr().out
    with pytest.raises(DataError, match="nothing to undo; it is as it was imported"):
        seglab_data(["undo", str(place)])


def test_merged_classes_are_read_from_the_same_masks(place: Path) -> None:
    merged = decide(place, "merge_classes: {plant: [ground, tree]}")
    assert merged.labels.class_names == ("plant", "car")
    assert merged.table["class_pixels"].iloc[0] == [44 * 64, 4 * 64, 0]
    mask = read_mask(merged.root / "a_mask.png", merged.labels)
    np.testing.assert_array_equal(np.bincount(mask.ravel()), [44 * 64, 4 * 64])


def test_everything_wrong_with_a_file_is_told_and_nothing_is_changed(place: Path) -> None:
    before = Manifest.read(place).fingerprint
    with pytest.raises(DataError) as told:
        decide(
            place,
            "decision: 1\ncap_duplicates: 0\nmerge_classes: {x: [gruond]}\n"
            "decisions: [{sample: q, do: drop}, {sample: a, do: burn}, {sample: a, do: drop}, "
            "{sample: a, do: keep}, {finding: abc, do: drop}, {sample: b, do: keep, mask: x.png}]",
        )
    for words in (
        "unknown key 'decision' (did you mean 'decisions'?)",
        "decision 1: no sample 'q'",
        "decision 2: do: expected one of drop, keep, relabel, got 'burn'",
        "decision 4: a is to drop and to keep",
        "decision 5: no finding abc",
        "decision 6: mask goes with do: relabel",
        "no class 'gruond' (did you mean 'ground'?)",
        "cap_duplicates: expected a whole number from 1, got 0",
    ):
        assert words in str(told.value)
    with pytest.raises(DataError, match=r"\.\./x.png is not a path inside the root"):
        decide(place, "decisions: [{sample: a, do: relabel, mask: ../x.png}]")
    assert Manifest.read(place).fingerprint == before


def test_names_in_decisions_are_the_words_that_stand_there(make: Make, tmp_path: Path) -> None:
    manifest = make({name: picture(n) for n, name in enumerate(("010", "8", "no", "1e3"))})
    path = tmp_path / "decisions.yaml"
    path.write_text(
        "decisions: [{sample: 010, do: drop}, {sample: no, do: drop, note: 1.50}]\n"
        "merge_classes: {off: [tree, car]}\ncap_duplicates: 1\n"
    )
    read = read_decisions(path, manifest, findings_table([], {}))
    assert [(one.sample_id, one.note) for one in read.each] == [("010", ""), ("no", "1.50")]
    assert read.merge_classes == {"off": ("tree", "car")}
    path.write_text("merge_classes: {~: [tree]}\ncap_duplicates: 1.5\n")
    with pytest.raises(DataError, match=r"expected {new class: .*\n.*from 1, got 1.5"):
        read_decisions(path, manifest, findings_table([], {}))


def test_an_audit_and_flags_alone_leave_the_data_what_it_was(make: Make, tmp_path: Path) -> None:
    first = make({name: picture(0 if name in "ab" else ord(name)) for name in "abcd"})
    first.write(tmp_path / "m")
    words = ["audit", str(tmp_path / "m"), "--only", "exact_duplicate"]
    assert seglab_data(words) == 0
    audited = Manifest.read(tmp_path / "m")
    assert audited.fingerprint != first.fingerprint, (
        "versions are told apart, so that undo can go back"
    )
    assert audited.data_fingerprint == first.data_fingerprint
    assert audited.is_of(first.fingerprint), "what was trained on it goes on"
    todo = decide(tmp_path / "m", "decisions: [{sample: c, do: relabel, note: blurred}]")
    for version in (first, audited, todo):
        assert version.recorded_fingerprints() == {
            "dataset_fingerprint": version.fingerprint,
            "data_fingerprint": first.fingerprint,
        }, "runs before and after are compared"
    assert todo.is_of(first.fingerprint)
    assert todo.is_of(audited.fingerprint)
    moved = todo.with_table(todo.table.assign(split="val"))
    assert moved.recorded_fingerprints()["data_fingerprint"] == moved.fingerprint
    assert not moved.is_of(first.fingerprint), "other splits are other data, whatever was audited"
    assert not decide(tmp_path / "m", "decisions: [{sample: c, do: drop}]").is_of(first.fingerprint)
    seglab_data(["undo", str(tmp_path / "m")])
    assert Manifest.read(tmp_path / "m").is_of(first.fingerprint)
