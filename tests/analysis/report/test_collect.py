"""From run folders to the values of a page: what is there, what is broken, what is not comparable."""

from __future__ import annotations

import base64
import io
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglab.analysis.report import Report, ReportOptions, collect_report
from seglab.analysis.report.reading.pictures import Album
from seglab.analysis.report.sections.cases import choices, line_up
from seglab.core.errors import DataError, RunNotFoundError


def by_id(report: Report) -> dict[str, Any]:
    return {run.facts["run_id"]: run for run in report.runs}


def test_every_kind_is_read_and_folds_go_with_their_cross_validation(full_report: Report) -> None:
    runs = by_id(full_report)
    assert list(runs) == ["a-train", "b-train", "c-eval", "d-eval", "e-cv", "f-failed"]
    assert [run.kind for run in full_report.runs] == [
        "train",
        "train",
        "eval",
        "eval",
        "cv",
        "train",
    ]
    cv = runs["e-cv"].cross_validation
    assert list(cv.folds) == ["r0-f0", "r0-f1", "r0-f2"]
    assert cv.scores["miou"].tolist()[:2] == pytest.approx([0.4, 0.5])
    assert set(runs["c-eval"].tables) == {"slices", "corruptions", "reliability", "risk_coverage"}
    assert runs["a-train"].verdict is not None
    assert runs["c-eval"].verdict is None


def test_verdict_is_the_one_the_training_ended_with(maker: Any) -> None:
    """Losses alone say underfit here; the scores of training images, which the run kept, overfit."""
    record = maker.curves(maker.run("r1"))
    alone = by_id(collect_report([record.run_dir]))["r1"].verdict
    told = {"kind": "overfit", "sentence": "Overfit: gap +0.2."}
    (record.run_dir / "verdict.json").write_text(json.dumps(told), "utf-8")
    report = collect_report([record.run_dir])
    verdict = by_id(report)["r1"].verdict
    assert (verdict.kind, verdict.sentence) == ("overfit", "Overfit: gap +0.2.")
    (record.run_dir / "verdict.json").write_text("{}", "utf-8")
    broken = collect_report([record.run_dir])
    assert by_id(broken)["r1"].verdict == alone
    assert "verdict.json cannot be read" in broken.problems[0]


def test_data_by_its_manifest_is_named_after_that_and_not_after_the_default(maker: Any) -> None:
    given = {"name": "synth", "importer": "synth", "manifest": "/data/manifests/streets"}
    runs = [
        maker.run("r1", config={"data": given}).run_dir,
        maker.run("r2", config={"data": {**given, "name": "mine"}}).run_dir,
    ]
    shown = by_id(collect_report(runs))
    assert (shown["r1"].data_name, shown["r2"].data_name) == ("streets", "mine")


def test_broken_record_is_named_and_the_others_are_shown(full_report: Report) -> None:
    (problem,) = full_report.problems
    assert problem.startswith("g-broken: the record is left out: ")
    assert "is not JSON" in problem


def test_evaluation_takes_the_colours_of_a_run_with_its_classes(full_report: Report) -> None:
    runs = by_id(full_report)
    assert runs["a-train"].palette[0] == (128, 64, 128)
    assert runs["c-eval"].palette == runs["a-train"].palette


def test_undefined_metric_is_nan(full_report: Report) -> None:
    run = by_id(full_report)["a-train"]
    # The third class has a slash in its name, which a key cannot have.
    assert math.isnan(run.metric("val/iou/<script>alert('x')<_script>"))
    assert run.class_names[2] == "<script>alert('x')<_script>"


def test_patterns_folders_and_files_lead_to_runs_once(full_records: Path) -> None:
    given = [
        f"{full_records}/[ab]-*",
        full_records / "a-train" / "run.json",
        full_records / "c-eval",
    ]
    report = collect_report(given)
    assert list(by_id(report)) == ["a-train", "b-train", "c-eval"]
    with pytest.raises(RunNotFoundError, match="no run matches the pattern"):
        collect_report([f"{full_records}/nothing-*"])
    with pytest.raises(RunNotFoundError, match="a-train"):
        collect_report([full_records / "a-trian"])


def test_nothing_but_broken_records_is_an_error_that_names_them(tmp_path: Path) -> None:
    for name in ("r1", "r2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "run.json").write_text("[]")
    with pytest.raises(DataError, match=r"no run record can be read:\n  - r1: .*\n  - r2: "):
        collect_report([tmp_path])


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("history.csv", b"epoch,a\n1,2\n1,2,3,4\n", "history.csv cannot be read"),
        ("confusion.npy", b"no array", "confusion.npy cannot be read"),
        ("slices.parquet", b"no table", "slices.parquet cannot be read"),
        ("fold_scores.parquet", b"no table", "fold_scores.parquet cannot be read"),
        ("gallery.parquet", b"no table", "gallery.parquet cannot be read"),
        ("manifest/manifest.yaml", b"labels: [", "manifest/manifest.yaml cannot be read"),
        ("figures/samples.png", b"no picture", "samples.png is no readable picture"),
    ],
)
def test_broken_file_is_left_out_with_a_sentence(
    maker: Any, name: str, content: bytes, said: str
) -> None:
    record = maker.run("r1", "cv")
    (record.run_dir / name).parent.mkdir(exist_ok=True)
    (record.run_dir / name).write_bytes(content)
    report = collect_report([record.run_dir])
    assert [problem for problem in report.problems if said in problem and "r1: " in problem]
    assert report.runs[0].metric("val/miou") > 0


def test_table_without_a_column_says_what_it_lacks(maker: Any) -> None:
    record = maker.run("r1", "eval")
    pd.DataFrame({"slice": ["all"]}).to_parquet(record.run_dir / "slices.parquet")
    broken = {"corruption": ["fog", "fog"], "severity": ["x", 2], "miou": ["0.5", None]}
    pd.DataFrame(broken).astype(str).to_parquet(record.run_dir / "corruptions.parquet")
    report = collect_report([record.run_dir])
    (problem,) = report.problems
    assert "expected the columns slice_kind, slice, miou, lacks slice_kind, miou" in problem
    table = report.runs[0].tables["corruptions"]
    assert table["severity"].tolist() == [2]
    assert math.isnan(table["miou"][0])


def test_confusion_of_other_classes_is_left_out(maker: Any) -> None:
    record = maker.run("r1")
    np.save(record.run_dir / "confusion_test.npy", np.ones((2, 2), np.int64))
    report = collect_report([record.run_dir])
    assert list(report.runs[0].confusions) == ["val"]
    assert "the confusion matrix of test is of 2 classes, the run has 3" in report.problems[0]


def test_fields_of_another_form_are_left_out(maker: Any) -> None:
    record = maker.run("r1")
    content = json.loads(record.json_path.read_text())
    content |= {"git": "abc", "metrics": None, "tags": "x", "error": ["boom"], "packages": None}
    record.json_path.write_text(json.dumps(content))
    report = collect_report([record.run_dir])
    assert [p.split(": ")[1].split(";")[0] for p in report.problems] == [
        "git is no dict",
        "error is no dict",
        "tags is no list",
    ]
    assert report.runs[0].facts["tags"] == []
    assert report.runs[0].metrics == {}


def test_warnings_say_why_numbers_may_not_be_comparable(maker: Any) -> None:
    maker.run("r1")
    maker.run("r2", dataset_fingerprint="f2", main_split="test", git={"commit": "a", "dirty": True})
    maker.run("r3").update(status="pruned")
    stopped = maker.run("r4")
    stopped.update(status="interrupted")
    said = "\n".join(collect_report([maker.root]).warnings)
    assert "different data (fingerprints f1, f2)" in said
    assert "different splits (test, val)" in said
    assert "uncommitted changes: r2." in said
    assert "Not finished: r3 (pruned), r4 (interrupted)." in said
    assert f"taken up where it was by: seglab train resume={stopped.run_dir}" in said
    alone = collect_report([maker.root / "exp" / "r1"])
    assert alone.warnings == ()


def test_labels_are_unique_and_short(maker: Any) -> None:
    maker.run("20260101-000000-aaa111", name=None)
    maker.run("20260101-000000-bbb222", name="same")
    maker.run("20260101-000000-ccc333", name="same")
    maker.run("20260101-000000-ddd444", "eval", name=None)
    labels = [run.label for run in collect_report([maker.root]).runs]
    assert labels == ["exp aaa111", "same bbb222", "same ccc333", "eval exp ddd444"]


def test_reasons_about_the_same_pictures_become_one_case(full_report: Report) -> None:
    cases = by_id(full_report)["c-eval"].cases
    assert [case.sample_id for case in cases][:2] == ["s1", "s2"]
    assert cases[0].reasons == ("worst image", "worst of slice night")
    assert cases[0].error_types == ("missed", "boundary")
    assert {cases[0].image, cases[0].truth, cases[0].prediction} <= set(full_report.pictures)


def test_most_important_cases_are_kept(full_records: Path) -> None:
    report = collect_report([full_records / "c-eval"], ReportOptions(max_cases=1))
    assert [case.sample_id for case in report.runs[0].cases] == ["s1"]
    assert len(report.pictures) == 4


def test_case_without_its_picture_is_shown_without_it(maker: Any) -> None:
    record = maker.run("r1", "eval")
    maker.gallery(record, ("s1",))
    (record.run_dir / "gallery" / "s1_truth.png").unlink()
    report = collect_report([record.run_dir])
    (case,) = report.runs[0].cases
    assert case.truth is None
    assert case.image is not None
    assert report.problems == ("r1: the gallery lacks pictures: s1_truth.png is missing",)


def test_gallery_cannot_pull_in_files_from_outside_the_run(maker: Any) -> None:
    record = maker.run("r1", "eval")
    maker.gallery(record, ("s1",))
    secret = maker.root / "secret.png"
    Image.new("RGB", (4, 4), "red").save(secret)
    frame = pd.read_parquet(record.run_dir / "gallery.parquet").head(1)
    frame["image"], frame["truth"] = "../../secret.png", str(secret)
    frame.to_parquet(record.run_dir / "gallery.parquet")
    report = collect_report([record.run_dir])
    (case,) = report.runs[0].cases
    assert (case.image, case.truth) == (None, None)
    assert "../../secret.png lies outside the run, and 1 more" in report.problems[0]


def test_same_sample_of_two_runs_stands_side_by_side(full_report: Report) -> None:
    entries = line_up(full_report.runs)
    assert entries[0].sample_id == "s2"
    assert [attempt.run.facts["run_id"] for attempt in entries[0].attempts] == ["c-eval", "d-eval"]
    assert sorted(entry.num_runs for entry in entries) == [1, 1, 1, 2]
    assert choices(entries, "error_types") == ("boundary", "missed")


def test_same_name_on_other_data_is_another_sample(maker: Any) -> None:
    for run_id, fingerprint in (("r1", "f1"), ("r2", "f2")):
        maker.gallery(maker.run(run_id, "eval", dataset_fingerprint=fingerprint), ("s1",))
    entries = line_up(collect_report([maker.root]).runs)
    assert [entry.num_runs for entry in entries] == [1, 1]


def decoded(uri: str) -> np.ndarray:
    with Image.open(io.BytesIO(base64.b64decode(uri.split(",", 1)[1]))) as image:
        return np.asarray(image.convert("RGB"))


def test_masks_keep_their_colours_exactly_when_they_shrink(tmp_path: Path) -> None:
    colours = np.array([[128, 64, 128], [0, 0, 142], [250, 170, 30]], np.uint8)
    mask = colours[np.random.default_rng(0).integers(0, 3, (90, 300))]
    Image.fromarray(mask).save(tmp_path / "m.png")
    album = Album(width=200)
    key = album.add(tmp_path / "m.png", "mask")
    picture = album.develop()[key]
    assert (picture.width, picture.height) == (200, 60)
    found = {tuple(colour) for colour in decoded(picture.uri).reshape(-1, 3)}
    assert found == {tuple(colour) for colour in colours}


def test_pictures_are_kept_once_and_shrink_to_the_budget(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        noise = rng.integers(0, 256, (400, 400, 3)).astype(np.uint8)
        Image.fromarray(noise).save(tmp_path / f"{name}.png")
    (tmp_path / "c.png").write_bytes((tmp_path / "a.png").read_bytes())
    roomy, tight = Album(400), Album(400, max_bytes=60_000)
    keys = [[album.add(tmp_path / f"{n}.png", "photo") for n in "abc"] for album in (roomy, tight)]
    assert keys[0][0] == keys[0][2] != keys[0][1]
    weights = [sum(len(p.uri) for p in album.develop().values()) for album in (roomy, tight)]
    assert weights[0] > 100_000
    assert weights[1] <= 60_000
    assert {picture.width for picture in roomy.develop().values()} == {400}
