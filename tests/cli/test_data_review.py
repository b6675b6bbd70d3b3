from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from seglab.curation.cleaning.decisions import Decision
from seglab.curation.review.conclude import read_key
from seglab.curation.review.decisions import read_saved, save_decisions
from seglab.data.manifest import Manifest
from tests.annotators import scene, write_annotator

Run = Callable[..., Any]


def test_from_a_random_sample_to_a_conclusion(seglab: Run, tmp_path: Path) -> None:
    write_annotator(tmp_path, "anna", {f"s{n}": scene(n, 48, 64) for n in range(40)})
    written = seglab("data", "review", "anna/manifest", "-o", "rev", "--error-rate", "0.1")
    assert written.code == 0, written.err
    assert "rev/review.html: 21 of 40 masks and 10 planted errors" in written.out
    assert "the error rate is below 10.0% at 95% confidence" in written.out
    items = read_key(tmp_path / "rev").items
    for name, catches in (("kim", 1), ("lee", 3)):
        planted = [one.id for one in items if one.planted][:catches]
        save_decisions(
            tmp_path / name,
            [Decision(one.id, "drop" if one.id in planted else "keep") for one in items],
        )
    done = seglab("data", "review-result", "rev", "kim", "lee", "-o", "clean.json")
    assert done.code == 0, done.err
    for caught in ("1 of 10", "3 of 10"):
        assert f"planted errors caught: {caught}" in done.out
    assert done.out.count("shown: an error rate below 10.0%") == 3
    cleaned = read_saved(tmp_path / "clean.json")
    assert {one.do for one in cleaned} == {"keep"}
    assert len(cleaned) == 21

    real = [one for one in items if one.planted is None]
    saved = [Decision(one.id, "keep") for one in items if one is not real[0]]
    save_decisions(tmp_path / "all", [*saved, Decision(real[0].id, "drop", note="blurred")])
    refused = seglab("data", "clean", "anna/manifest", "--decisions", "all")
    assert refused.code == 2
    assert "no sample 'item-" in refused.err, "names of a sheet are no samples"
    assert seglab("data", "review-result", "rev", "all", "-o", "clean.json").code == 0
    done = seglab("data", "clean", "anna/manifest", "--decisions", "clean.json")
    assert done.code == 0, done.err
    kept = Manifest.read(tmp_path / "anna" / "manifest").table.set_index("sample_id")["keep"]
    assert not kept[real[0].sample_id]
    assert kept.sum() == 39

    assert seglab("data", "review", "anna/manifest", "-o", "x", "--split", "tset").code == 2
    many = seglab("data", "review", "anna/manifest", "-o", "x", "--number", "41")
    assert many.code == 2
    assert "--number: there are 39 masks, got 41" in many.err


def test_a_chosen_list_is_shown_whole_in_its_order(seglab: Run, tmp_path: Path) -> None:
    write_annotator(tmp_path, "anna", {f"s{n}": scene(n, 48, 64) for n in range(6)})
    (tmp_path / "list").write_text("s4\n\ns1\ns5\ns4\n")
    words = ("data", "review", "anna/manifest", "-o", "rev", "--samples", "list")
    done = seglab(*words)
    assert done.code == 0, done.err
    assert "rev/review.html: 3 chosen masks and 0 planted errors" in done.out
    items = read_key(tmp_path / "rev").items
    assert [one.id for one in items] == [one.sample_id for one in items] == ["s4", "s1", "s5"]
    saved = [Decision("s4", "keep"), Decision("s1", "drop"), Decision("s5", "keep")]
    save_decisions(tmp_path / "saved", saved)
    told = seglab("data", "review-result", "rev", "saved")
    assert "3 of 3 masks inspected, 1 wrong: error rate 33.3%" in told.out
    assert "chosen: what follows is of them, and of no others" in told.out
    assert "chosen masks and 2 planted" in seglab(*words, "--planted", "2").out
    hidden = read_key(tmp_path / "rev").items
    assert sorted(one.sample_id for one in hidden if not one.planted) == ["s1", "s4", "s5"]
    assert seglab("data", "clean", "anna/manifest", "--decisions", "saved").code == 0
    both = seglab(*words, "--number", "2")
    assert both.code == 2
    assert "--samples and --number" in both.err
    (tmp_path / "list").write_text("s44\n")
    assert "'s44'" in seglab(*words).err
    (tmp_path / "list").write_text("\n")
    assert "names no sample" in seglab(*words).err


def test_instructions_say_what_is_missing_in_them(seglab: Run, tmp_path: Path) -> None:
    write_annotator(tmp_path, "anna", {f"s{n}": scene(n, 48, 64) for n in range(4)})
    (tmp_path / "text.yaml").write_text("classes: {tree: Woody plants.}\n")
    words = ("data", "instructions", "anna/manifest", "-o", "page.html")
    made = seglab(*words, "--text", "text.yaml")
    assert made.code == 0, made.err
    assert "page.html: 3 classes, 4 masks" in made.out
    assert "without a definition (--text): ground, car" in made.out
    assert "Woody plants." in (tmp_path / "page.html").read_text()
    wrong = seglab(*words, "--text", "no.yaml")
    assert wrong.code == 2
    assert "--text: there is no file no.yaml" in wrong.err
    assert seglab(*words, "--images", "0").code == 2
