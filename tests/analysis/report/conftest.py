"""Run records of every kind, small, with text in them that tries to break out of the page."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from seglab.analysis.report import Report, collect_report, write_page
from seglab.metrics.scores import score_dict
from seglab.runs import RunRecord

HOSTILE = "<script>alert('x')</script>"
CLASSES = ("road", "car", HOSTILE)
PALETTE = ((128, 64, 128), (64, 0, 128), (192, 128, 0))
CONFUSION = np.array([[80, 20, 0], [10, 30, 0], [0, 0, 0]])


@dataclass(frozen=True)
class Maker:
    """Writes records below one folder."""

    root: Path

    def run(
        self,
        run_id: str,
        kind: str = "train",
        scores: Mapping[str, float] | None = None,
        **facts: Any,
    ) -> RunRecord:
        """A finished run with a confusion matrix; `scores` come on top of the matrix's own."""
        given = {
            "config": {"data": {"name": "toy"}, "optimizer": {"lr": 0.1}},
            "name": run_id,
            "git": {"commit": "0123456789abcdef", "dirty": False},
            "packages": {"seglab": "0.1.0"},
            "dataset_fingerprint": "f1",
            "seed": 0,
        }
        record = RunRecord.create(
            self.root / "exp" / run_id,
            experiment="exp",
            kind=kind,
            config_yaml=f"note: {HOSTILE}\n",
            **(given | facts),
        )
        record.write_confusion(record.read()["main_split"], CONFUSION)
        record.set_metrics({**score_dict(CONFUSION, CLASSES, "val"), **(scores or {})})
        record.finish("finished")
        return record

    def curves(self, record: RunRecord, best: float = 0.6) -> RunRecord:
        """Eight epochs; the best is the last but one."""
        for epoch in range(8):
            score = best - 0.05 * abs(6 - epoch)
            row = {
                "epoch": epoch,
                "train/loss": 2.0 / (epoch + 1),
                "val/loss": 2.2 / (epoch + 1),
                "val/miou": score,
                "val/dice": score + 0.1,
                "lr": 10.0 ** -(epoch + 1),
            }
            record.log_epoch(row)
        return record

    def manifest(self, record: RunRecord) -> None:
        """Class names and colours."""
        folder = record.run_dir / "manifest"
        folder.mkdir()
        names = [name.replace("'", "''") for name in CLASSES]
        listed = ", ".join(f"'{name}'" for name in names)
        colours = ", ".join(str(list(colour)) for colour in PALETTE)
        text = f"labels:\n  class_names: [{listed}]\n  palette: [{colours}]\n"
        (folder / "manifest.yaml").write_text(text, "utf-8")

    def gallery(self, record: RunRecord, sample_ids: tuple[str, ...]) -> None:
        """One case a sample; the first is there for two reasons."""
        folder = record.run_dir / "gallery"
        folder.mkdir()
        rng = np.random.default_rng(len(record.run_id))
        rows = []
        for rank, sample in enumerate(sample_ids):
            mask = np.array(PALETTE, np.uint8)[rng.integers(0, 3, (48, 64))]
            pictures = {
                "image": rng.integers(0, 256, (48, 64, 3)).astype(np.uint8),
                "truth": mask,
                "prediction": mask[::-1],
                "confidence": mask[..., 0],
            }
            for name, picture in pictures.items():
                Image.fromarray(picture).save(folder / f"{sample}_{name}.png")
            row = {
                "sample_id": sample,
                "rank": rank,
                "score": 0.1 * rank,
                **{name: f"gallery/{sample}_{name}.png" for name in pictures},
            }
            reasons = [("worst image", "missed", "car as road", "car")]
            if rank == 0:
                reasons.append(("worst of slice night", "boundary", HOSTILE, "road"))
            rows += [
                {
                    **row,
                    "case_id": f"{sample}{reason}",
                    "reason": reason,
                    "error_type": error,
                    "detail": detail,
                    "class_name": name,
                }
                for reason, error, detail, name in reasons
            ]
        pd.DataFrame(rows).to_parquet(record.run_dir / "gallery.parquet")

    def evaluation_tables(self, record: RunRecord, score: float) -> None:
        """Two slices, two corruptions, ten bins, five coverages."""
        iou = [score, score / 2, float("nan")]
        slices = [
            {
                "slice_kind": kind,
                "slice": name,
                "images": images,
                "pixels": 10,
                "miou": score,
                "miou_low": score - 0.1,
                "miou_high": score + 0.1,
                "dice": score,
                "num_classes_averaged": 2,
                "iou": iou,
            }
            for kind, name, images in (("all", "all", 9), ("tag", HOSTILE, 3))
        ]
        pd.DataFrame(slices).to_parquet(record.run_dir / "slices.parquet")
        worse = [
            ("none", 0, 1.0),
            ("fog", 1, 0.9),
            ("fog", 2, 0.5),
            ("jpeg", 1, 0.8),
            ("jpeg", 2, 0.7),
        ]
        corrupted = [
            {
                "corruption": name,
                "severity": level,
                "miou": score * share,
                "dice": score,
                "relative": share,
            }
            for name, level, share in worse
        ]
        pd.DataFrame(corrupted).to_parquet(record.run_dir / "corruptions.parquet")
        edges = np.linspace(0.0, 1.0, 11)
        bins = [
            {
                "class_name": name,
                "bin": index,
                "low": edges[index],
                "high": edges[index + 1],
                "count": index,
                "confidence": edges[index] + 0.05,
                "accuracy": edges[index] + 0.05 - gap if index else float("nan"),
            }
            for name, gap in (("all", 0.02), ("car", 0.04))
            for index in range(10)
        ]
        pd.DataFrame(bins).to_parquet(record.run_dir / "reliability.parquet")
        coverage = np.linspace(0.2, 1.0, 5)
        frame = pd.DataFrame({"coverage": coverage, "risk": 0.1 * coverage})
        frame.to_parquet(record.run_dir / "risk_coverage.parquet")

    def cross_validation(self, run_id: str) -> RunRecord:
        """Three folds, of which one failed."""
        summary = {
            "val/iou_std/road": 0.07,
            "val/miou": 0.5,
            "val/miou_std": 0.1,
            "val/miou_low": 0.3,
            "val/miou_high": 0.7,
        }
        record = self.run(run_id, "cv", summary)
        rows = []
        for fold in range(3):
            member = Maker(self.root / "elsewhere").run(f"{run_id}-{fold}", "fold", fold=fold)
            self.curves(member, 0.4 + 0.1 * fold)
            place = record.run_dir / "folds" / f"{run_id}-r0-f{fold}"
            place.parent.mkdir(exist_ok=True)
            member.run_dir.rename(place)
            rows.append(
                {
                    "repeat": 0,
                    "number": fold,
                    "fold": f"r0-f{fold}",
                    "run_id": place.name,
                    "status": "failed" if fold == 2 else "finished",
                    "images": 10 + fold,
                    "miou": 0.4 + 0.1 * fold if fold < 2 else float("nan"),
                    "dice": 0.5,
                    "iou/road": 0.6 + 0.1 * fold,
                }
            )
        pd.DataFrame(rows).to_parquet(record.run_dir / "fold_scores.parquet")
        return record


@pytest.fixture
def maker(tmp_path: Path) -> Maker:
    return Maker(tmp_path / "runs")


@pytest.fixture(scope="session")
def full_records(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two trainings, their evaluations, a cross-validation and a broken record."""
    maker = Maker(tmp_path_factory.mktemp("report"))
    config = {"data": {"name": "toy"}, "optimizer": {"lr": 0.2}}
    first = maker.curves(maker.run("a-train", scores={"cost/params_m": 3.0, "val/hd95": 9.0}))
    maker.manifest(first)
    second = maker.curves(
        maker.run("b-train", name=HOSTILE, notes=HOSTILE, tags=[HOSTILE], config=config), 0.7
    )
    second.set_metrics({"val/miou": 0.7, "cost/params_m": 5.0, "val/hd95": 4.0})
    for run_id, parent, score in (("c-eval", first, 0.6), ("d-eval", second, 0.7)):
        interval = {"val/miou": score, "val/miou_low": score - 0.05, "val/miou_high": score + 0.05}
        record = maker.run(run_id, "eval", {**interval, "val/ece": 0.03}, parent=parent.run_id)
        maker.evaluation_tables(record, score)
    maker.gallery(maker_record(maker, "c-eval"), ("s1", "s2", HOSTILE.replace("/", "")))
    maker.gallery(maker_record(maker, "d-eval"), ("s2", "s4"))
    maker.cross_validation("e-cv")
    failed = maker.run("f-failed")
    failed.finish("failed", RuntimeError(HOSTILE))
    broken = maker.root / "exp" / "g-broken"
    broken.mkdir()
    (broken / "run.json").write_text("{ half a rec")
    return maker.root / "exp"


def maker_record(maker: Maker, run_id: str) -> RunRecord:
    """Open a record made before."""
    return RunRecord.open(maker.root / "exp" / run_id)


@pytest.fixture(scope="session")
def full_report(full_records: Path) -> Report:
    return collect_report([full_records])


@pytest.fixture(scope="session")
def full_page(full_report: Report, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of all of it, as a file."""
    path = tmp_path_factory.mktemp("page") / "report.html"
    write_page(full_report, path)
    return path
