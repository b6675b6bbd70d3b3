"""All labels of a data set in the order in which they are worth a second look, and the file that keeps it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from seglab.core.errors import DataNotFoundError
from seglab.curation.findings import Finding, read_rows, rows_frame, write_rows
from seglab.curation.labels.confident import ClassStatistics, Region, score_labels
from seglab.curation.labels.scenes import ImageNumbers, image_scores
from seglab.curation.samples import audited_rows, read_sample
from seglab.data.manifest import Manifest

LABEL_ERROR = "label_error"
# Surprise in nats from which a region is proposed to be labelled anew.
LIMIT = 5.0
RANKING_NAME = "label_ranking.parquet"
Predictions = Callable[[str], np.ndarray | None]
_SCHEMA = pa.schema(
    [
        ("rank", pa.int64()),
        ("sample_id", pa.string()),
        ("image", pa.string()),
        ("image_score", pa.float64()),
        ("id", pa.string()),
        ("region", pa.list_(pa.int64())),
        ("pixels", pa.int64()),
        ("given", pa.string()),
        ("suggested", pa.string()),
        ("score", pa.float64()),
        ("action", pa.string()),
    ]
)


class LabelRanker:
    """Ranks labels in two passes over masks and predictions on disk; keeps a few numbers of each image.

    Args:
        manifest: Of the data.
        predictions: sample_id -> probabilities float `(C, H, W)` of a model that was not trained on the
            sample, None where there are none; see `seglab.curation.predictions.kept_predictions`.
        limit: Score from which a region is proposed to be labelled anew.
    """

    def __init__(self, manifest: Manifest, predictions: Predictions, limit: float = LIMIT) -> None:
        self._manifest, self._predictions, self._limit = manifest, predictions, limit
        self._statistics = ClassStatistics(manifest.labels.num_classes)
        self._rows: list[Mapping[str, Any]] = []

    def learn(self, row: Mapping[str, Any], mask: np.ndarray) -> str:
        """Take one image into what is usual: the first pass.

        Args:
            row: Of the manifest.
            mask: Class indices uint8 `(H, W)`.

        Returns:
            Why the image cannot be ranked, in words; empty where it can.
        """
        probabilities = self._predictions(str(row["sample_id"]))
        if probabilities is None:
            return "no prediction was kept"
        if probabilities.shape[1:] != mask.shape:
            return f"sizes differ: prediction {probabilities.shape[1:]}, mask {mask.shape} (H, W)"
        self._statistics.add(mask, probabilities)
        self._rows.append(row)
        return ""

    def table(self) -> pd.DataFrame:
        """Rank all images and their regions: the second pass.

        Returns:
            The images one after the other, the likeliest wrong first, each with a row for every region,
            the surest first, or with one row without a region:

            - `rank`: of the image, from 1; `sample_id`; `image`: path below the root; `image_score`: how odd
              it is among all, in robust standard deviations, see `scenes.image_scores`.
            - `id`: of the finding in the audit; `region`: box `[x0, y0, x1, y1]` in pixels of the mask, ends
              exclusive; `pixels`: their number; `given`, `suggested`: names of classes; `score`. All None
              where nothing in the image stands out.
            - `action`: `relabel`, or `keep` where the score is below the limit.
        """
        scored = list(self._scored())
        odd = image_scores(
            [numbers for _, _, numbers in scored], [str(row["group"]) for row, _, _ in scored]
        )
        order = np.argsort(-odd, kind="stable").tolist()
        rows = [
            {"rank": rank, **row}
            for rank, place in enumerate(order, 1)
            for row in self._of_image(scored[place][0], scored[place][1], float(odd[place]))
        ]
        return rows_frame(rows, _SCHEMA.names)

    def _scored(self) -> Iterator[tuple[Mapping[str, Any], tuple[Region, ...], ImageNumbers]]:
        usual = self._statistics.usual()
        for row in self._rows:
            mask = read_sample(self._manifest, dict(row), mask_only=True).mask
            probabilities = self._predictions(str(row["sample_id"]))
            if mask is not None and probabilities is not None:
                found = score_labels(mask, probabilities, usual)
                yield row, found.regions, ImageNumbers.of(found)

    def _of_image(
        self, row: Mapping[str, Any], regions: Sequence[Region], odd: float
    ) -> Iterator[dict[str, Any]]:
        names, sample_id = self._manifest.labels.class_names, str(row["sample_id"])
        image = {"sample_id": sample_id, "image": row["image"], "image_score": odd}
        if not regions:
            nothing = dict.fromkeys(("id", "region", "pixels", "given", "suggested", "score"))
            yield {**image, **nothing, "action": "keep"}
        boxes: Counter[tuple[int, ...]] = Counter()
        for one in regions:
            found = Finding(LABEL_ERROR, sample_id, region=one.box, number=boxes[one.box])
            boxes[one.box] += 1
            yield {
                **image,
                "id": found.id,
                "region": list(one.box),
                "pixels": one.pixels,
                "given": names[one.given],
                "suggested": names[one.suggested],
                "score": round(one.score, 4),
                "action": "relabel" if one.score >= self._limit else "keep",
            }


def rank_labels(manifest: Manifest, predictions: Predictions) -> pd.DataFrame:
    """Rank the labels of a data set by what a model that did not learn them predicts.

    Args:
        manifest: Of the data; samples without a readable mask or without a prediction are left out.
        predictions: sample_id -> probabilities float `(C, H, W)`, None where there are none, such as
            `seglab.curation.predictions.kept_predictions(run_dir, manifest)`.

    Returns:
        See `LabelRanker.table`. `table["sample_id"].drop_duplicates().head(10)` are the ten images that are
        likeliest wrong.
    """
    ranker = LabelRanker(manifest, predictions)
    for row in audited_rows(manifest):
        mask = read_sample(manifest, row, mask_only=True).mask
        if mask is not None:
            ranker.learn(row, mask)
    return ranker.table()


def write_ranking(table: pd.DataFrame, folder: Path) -> Path:
    """Write a ranking into `folder` as Parquet, in one step; return the path."""
    return write_rows(table, _SCHEMA, folder / RANKING_NAME)


def read_ranking(path: Path) -> pd.DataFrame:
    """Read what `write_ranking` wrote, from the file or its folder.

    Raises:
        DataNotFoundError: There is none.
        DataError: It is damaged or something else.
    """
    file = path / RANKING_NAME if path.is_dir() else path
    if not file.is_file():
        raise DataNotFoundError(
            f"no ranking of labels at {path}; write it with `seglab data audit --run`"
        )
    return read_rows(file, _SCHEMA, "ranking of labels")
