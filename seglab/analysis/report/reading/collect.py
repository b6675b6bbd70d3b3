"""From run folders to the plain values of a page; broken records become sentences, not errors."""

from __future__ import annotations

import glob
import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from seglab import __version__
from seglab.analysis.learning.loss_trend import Kind
from seglab.analysis.learning.verdict import Verdict, fit_verdict
from seglab.analysis.report.cells import as_number
from seglab.analysis.report.model import CrossValidation, Palette, Report, RunView
from seglab.analysis.report.reading.files import (
    EVALUATION_TABLES,
    FOLD_SCORES,
    READ_ERRORS,
    RunFiles,
)
from seglab.analysis.report.reading.gallery import read_gallery
from seglab.analysis.report.reading.pictures import Album
from seglab.core.disk.provenance import utc_now
from seglab.core.errors import DataError, RunNotFoundError, list_problems
from seglab.core.text.shell import shell_command
from seglab.core.text.wording import joined, plural
from seglab.metrics.names import IOU
from seglab.runs import RunRecord, find_runs
from seglab.runs.locate import RECORD_FILE, describe_missing
from seglab.runs.process import effective_status

# Kinds of runs that `seglab train resume=` takes; a fold goes on with its cross-validation.
_TAKEN_UP = ("train", "cv")
# Fields of a record whose parts the page reads, and what stands there if they are of another kind.
_FORMS: dict[str, tuple[type, Any]] = {
    "metrics": (dict, {}),
    "config": (dict, {}),
    "git": (dict, None),
    "packages": (dict, None),
    "error": (dict, None),
    "tags": (list, []),
}


@dataclass(frozen=True)
class ReportOptions:
    """How much of the pictures goes into a page.

    Args:
        title: Heading; made from the experiments when empty.
        max_cases: Cases of the failure gallery a run.
        image_width: Pixels a picture of a case is wide at most.
        max_picture_bytes: All pictures together; they shrink until they fit.
    """

    title: str = ""
    max_cases: int = 40
    image_width: int = 480
    max_picture_bytes: int = 8_000_000


def collect_report(
    runs: Iterable[str | Path],
    options: ReportOptions | None = None,
    progress: Callable[[str], None] = lambda _text: None,
) -> Report:
    """Read runs for a page.

    Args:
        runs: Run folders, folders with runs below them, or patterns of such (`runs/demo/*`). The
            folds of a cross-validation are read with it.
        options: How much goes in.
        progress: Told the label of each run as it is read.

    Returns:
        The page. A file that is missing or broken is left out; what is broken is named in
        `problems`, why numbers may not be comparable in `warnings`.

    Raises:
        RunNotFoundError: A path or pattern leads to no run.
        DataError: Not one of the records can be read; all are named.
    """
    options = options or ReportOptions()
    folders = list(dict.fromkeys(folder for given in runs for folder in _folders(str(given))))
    problems: list[str] = []
    read = [(folder, _read_facts(folder, problems)) for folder in folders]
    records = [(folder, facts) for folder, facts in read if facts is not None]
    if not records:
        raise DataError(list_problems("no run record can be read", problems))
    album = Album(options.image_width, options.max_picture_bytes)
    labels = _labels([facts for _, facts in records])
    views = []
    for number, ((folder, facts), label) in enumerate(zip(records, labels, strict=True)):
        progress(label)
        files = RunFiles(folder, problems)
        views.append(_view(f"r{number}", label, facts, files, album, options.max_cases))
    views = _with_palettes(views)
    return Report(
        title=options.title or _title(views),
        created=utc_now(),
        version=__version__,
        runs=tuple(views),
        problems=tuple(problems),
        warnings=tuple(_warnings(views)),
        pictures=album.develop(),
    )


def _folders(given: str) -> Iterator[Path]:
    path = Path(given).expanduser()
    matches = [path]
    if not path.exists() and glob.has_magic(given):
        matches = sorted(Path(found) for found in glob.glob(str(path), recursive=True))  # noqa: PTH207
    found = [
        run
        for match in matches
        for run in find_runs(match.parent if match.name == RECORD_FILE else match)
    ]
    if not found:
        if glob.has_magic(given):
            raise RunNotFoundError(f"no run matches the pattern {given}")
        raise RunNotFoundError(describe_missing(path, None))
    yield from (folder.resolve() for folder in found)


def _read_facts(folder: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return the fields of a record, with the status its process says; None where it is broken."""
    try:
        facts = RunRecord(folder).read()
        for name, (form, instead) in _FORMS.items():
            if facts[name] is None:
                facts[name] = instead
            elif not isinstance(facts[name], form):
                problems.append(f"{folder.name}: {name} is no {form.__name__}; it is left out")
                facts[name] = instead
        return {**facts, "run_id": folder.name, "status": effective_status(facts)}
    except READ_ERRORS as error:
        problems.append(f"{folder.name}: the record is left out: {error}")
        return None


def _labels(records: list[dict[str, Any]]) -> list[str]:
    """Return a short name for each run: its own, or the experiment and the end of the run id."""
    names = [str(facts["name"] or facts["experiment"] or facts["run_id"]) for facts in records]
    times = Counter(names)
    labels = []
    for name, facts in zip(names, records, strict=True):
        unique = facts["name"] and times[name] == 1
        label = name if unique else f"{name} {str(facts['run_id']).rsplit('-', 1)[-1]}"
        is_eval = facts["kind"] == "eval" and "eval" not in label
        labels.append(f"eval {label}" if is_eval else label)
    times = Counter(labels)
    return [
        f"{label} ({number})" if times[label] > 1 else label
        for number, label in enumerate(labels, start=1)
    ]


def _view(
    key: str, label: str, facts: dict[str, Any], files: RunFiles, album: Album, max_cases: int
) -> RunView:
    metrics = {str(name): as_number(value) for name, value in facts["metrics"].items()}
    main_split = str(facts["main_split"])
    confusions = files.confusions(main_split)
    names, palette = files.labels() or (_classes_of_metrics(metrics, main_split), ())
    sizes = {len(matrix) for matrix in confusions.values()}
    if not names and len(sizes) == 1:
        names = tuple(f"class {index}" for index in range(sizes.pop()))
    for split, matrix in list(confusions.items()):
        if len(matrix) != len(names):
            size = f"{len(matrix)} classes, the run has {len(names)}"
            files.complain(f"the confusion matrix of {split} is of {size}; it is left out")
            del confusions[split]
    history = files.history()
    tables = {
        name: files.table(f"{name}.parquet", shape) for name, shape in EVALUATION_TABLES.items()
    }
    return RunView(
        key=key,
        label=label,
        run_dir=str(files.folder),
        facts=facts,
        metrics=metrics,
        class_names=names,
        palette=palette,
        config_text=files.text("config.yaml"),
        history=history,
        verdict=_verdict(files, history),
        confusions=confusions,
        cases=read_gallery(files, album, max_cases),
        tables={name: table for name, table in tables.items() if table is not None},
        samples=files.attempt("figures/samples.png", lambda path: album.add(path, "figure")),
        cross_validation=_cross_validation(files) if facts["kind"] == "cv" else None,
    )


def _verdict(files: RunFiles, history: pd.DataFrame) -> Verdict | None:
    """Return the verdict the training ended with; before it has one, that of the curves alone."""
    if history.empty:
        return None
    curves = fit_verdict(history)
    return files.attempt("verdict.json", partial(_read_verdict, curves)) or curves


def _read_verdict(curves: Verdict, path: Path) -> Verdict:
    told = json.loads(path.read_text("utf-8"))
    if told["kind"] not in get_args(Kind):
        raise DataError(f"expected one of {', '.join(get_args(Kind))}, got {told['kind']!r}")
    return replace(curves, kind=told["kind"], sentence=str(told["sentence"]))


def _classes_of_metrics(metrics: Mapping[str, float], split: str) -> tuple[str, ...]:
    prefix = f"{split}/{IOU}/"
    return tuple(
        key.removeprefix(prefix)
        for key in metrics
        if key.startswith(prefix) and key.removesuffix("_std") not in metrics.keys() - {key}
    )


def _cross_validation(files: RunFiles) -> CrossValidation:
    folds = {}
    for folder in find_runs(files.folder / "folds", depth=1):
        history = RunFiles(folder, files.problems).history()
        if not history.empty:
            # A fold's run id begins with that of its cross-validation, which says nothing here.
            folds[folder.name.removeprefix(f"{files.folder.name}-")] = history
    return CrossValidation(files.table("fold_scores.parquet", FOLD_SCORES), folds)


def _with_palettes(views: list[RunView]) -> list[RunView]:
    """Give an evaluation, which keeps no manifest, the colours of a run with the same classes."""
    known: dict[tuple[str, ...], Palette] = {
        view.class_names: view.palette for view in views if view.palette
    }
    return [
        view if view.palette else replace(view, palette=known.get(view.class_names, ()))
        for view in views
    ]


def _title(views: list[RunView]) -> str:
    names = dict.fromkeys(str(view.facts["experiment"]) for view in views)
    return f"{joined(names, 3)}: {plural(len(views), 'run')}"


def _warnings(views: list[RunView]) -> Iterator[str]:
    scored = [view for view in views if view.metrics]
    prints = sorted({str(view.fingerprint or "unknown") for view in scored})
    if len(prints) > 1:
        yield (
            f"The runs were scored on different data (fingerprints {', '.join(prints)}). Compare "
            "only runs with the same fingerprint; the best are marked within each."
        )
    splits = sorted({view.split for view in scored})
    if len(splits) > 1:
        yield (
            f"The main scores are of different splits ({', '.join(splits)}). Compare numbers only "
            "within one column."
        )
    classes = {view.class_names for view in scored if view.class_names}
    if len(classes) > 1:
        yield f"The runs have {len(classes)} different lists of classes; their means differ in kind."
    dirty = [view.label for view in views if (view.facts["git"] or {}).get("dirty")]
    if dirty:
        yield f"Made from code with uncommitted changes: {joined(dirty)}."
    open_runs = [f"{view.label} ({view.status})" for view in views if view.status != "finished"]
    if open_runs:
        yield f"Not finished: {joined(open_runs)}."
    stopped = [
        shell_command("seglab", "train", f"resume={view.run_dir}")
        for view in views
        if view.status == "interrupted" and view.kind in _TAKEN_UP
    ]
    if stopped:
        yield f"Stopped, and taken up where it was by: {joined(stopped, 3)}"
