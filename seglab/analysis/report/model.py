"""What a report page shows, as plain values: no files behind it, nothing of HTML in it."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from seglab.analysis.learning.verdict import Verdict
from seglab.core.disk.data_names import data_set_name
from seglab.metrics.names import metric_key
from seglab.runs.schema import data_of

Palette = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class Picture:
    """One picture of the page, kept once however often it is shown.

    Args:
        key: Name within the page, safe as an HTML id.
        uri: A `data:` address with the whole picture in it.
        width: Pixels.
        height: Pixels.
    """

    key: str
    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class Case:
    """What one run made of one sample of its failure gallery; pictures by key, None where missing.

    Several rows of a gallery about the same pictures (worst image, worst of a class) are one case
    with several reasons.
    """

    sample_id: str
    reasons: tuple[str, ...]
    error_types: tuple[str, ...]
    class_names: tuple[str, ...]
    details: tuple[str, ...]
    rank: int
    score: float
    image: str | None = None
    truth: str | None = None
    prediction: str | None = None
    confidence: str | None = None


@dataclass(frozen=True)
class CrossValidation:
    """What a cross-validation adds to its record.

    Args:
        scores: `fold_scores.parquet`, or None where it is missing.
        folds: Histories of the fold runs by the name of the fold, `r0-f2`.
    """

    scores: pd.DataFrame | None
    folds: Mapping[str, pd.DataFrame]


@dataclass(frozen=True)
class RunView:
    """One run record and all of its files that a reader may want to see.

    Args:
        key: Name within the page, safe as an HTML id.
        label: Short and unique among the runs of the page.
        facts: The fields of `run.json`; `status` is that of a living or dead process.
        metrics: Scores by key; undefined ones are NaN.
        class_names: As in metric keys, by class index; empty if not known.
        palette: Colours by class index; empty if not known.
        config_text: The resolved configuration as YAML.
        history: Learning curves, one row per epoch; may be empty.
        verdict: Underfit, fine or overfit; None without curves.
        confusions: Integer `(C, C)` by split, rows = target.
        tables: `slices`, `corruptions`, `reliability`, `risk_coverage`: those that are there.
        cases: The failure gallery.
        samples: Key of the figure of sample predictions.
        cross_validation: For a run of kind cv.
    """

    key: str
    label: str
    run_dir: str
    facts: Mapping[str, Any]
    metrics: Mapping[str, float]
    class_names: tuple[str, ...] = ()
    palette: Palette = ()
    config_text: str = ""
    history: pd.DataFrame = field(default_factory=pd.DataFrame)
    verdict: Verdict | None = None
    confusions: Mapping[str, np.ndarray] = field(default_factory=dict)
    tables: Mapping[str, pd.DataFrame] = field(default_factory=dict)
    cases: tuple[Case, ...] = ()
    samples: str | None = None
    cross_validation: CrossValidation | None = None

    @property
    def kind(self) -> str:
        """One of train, fold, cv, trial, eval."""
        return str(self.facts["kind"])

    @property
    def status(self) -> str:
        """One of running, finished, failed, pruned, interrupted."""
        return str(self.facts["status"])

    @property
    def split(self) -> str:
        """The split its main scores are of."""
        return str(self.facts["main_split"])

    @property
    def fingerprint(self) -> str | None:
        """Content hash of the data set, as it was before audits flagged it."""
        return data_of(self.facts)

    @property
    def data_name(self) -> str:
        """Name of the data set; empty without any."""
        data = self.facts["config"].get("data")
        if not isinstance(data, dict):
            return ""
        name, given = str(data.get("name") or ""), data.get("manifest")
        # Former versions named a manifest's data set after the choice of `data=`, if by nobody else.
        is_default = given and name in ("", data.get("importer"))
        return data_set_name(Path(str(given))) if is_default else name

    @property
    def scored_on(self) -> Hashable:
        """What two runs must share for their scores to be compared: data, split and classes."""
        return self.fingerprint, self.split, self.class_names

    def metric(self, key: str) -> float:
        """Return a score; NaN where the run has none of that name."""
        return self.metrics.get(key, float("nan"))

    def interval(
        self, split: str, metric: str, class_name: str | None = None
    ) -> tuple[float | None, float | None]:
        """Return the ends of a score's interval: NaN with too few images to tell, None without one."""
        low, high = (metric_key(split, f"{metric}_{end}", class_name) for end in ("low", "high"))
        return self.metrics.get(low), self.metrics.get(high)


def by_data(runs: Sequence[RunView]) -> list[tuple[str, list[RunView]]]:
    """Return runs in groups that were scored on the same data, each with a title.

    The title is empty where there is one group only.
    """
    groups: dict[Hashable, list[RunView]] = {}
    for run in runs:
        groups.setdefault(run.scored_on, []).append(run)
    if len(groups) == 1:
        return [("", list(runs))]
    return [
        (
            f"{members[0].data_name or 'data'}, {members[0].split} ({members[0].fingerprint})",
            members,
        )
        for members in groups.values()
    ]


@dataclass(frozen=True)
class Report:
    """The whole page.

    Args:
        title: Heading of the page.
        created: ISO 8601, UTC.
        version: Of the seglab that wrote the page.
        runs: In the order given.
        problems: Records and files that could not be read, one sentence each.
        warnings: Why numbers of these runs may not be comparable, one sentence each.
        pictures: By key.
    """

    title: str
    created: str
    version: str
    runs: tuple[RunView, ...]
    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    pictures: Mapping[str, Picture] = field(default_factory=dict)
