"""Reads a period of the log, watches it with the bundles that answered, and writes the page."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from seglab import __version__
from seglab.analysis.report.rendering import render_template
from seglab.bundle.aliases import locate_bundle
from seglab.bundle.loader import Bundle, BundleError, load
from seglab.core.disk.files import write_text
from seglab.core.disk.provenance import utc_now
from seglab.core.errors import DataError
from seglab.monitor.alerts.book import BOOK, Alert, AlertBook
from seglab.monitor.log.reading import read_log
from seglab.monitor.log.schema import OK
from seglab.monitor.quality.estimate import QualityReference
from seglab.monitor.quality.labels import Labels, folder_labels
from seglab.monitor.quality.measured import COLUMNS as LABEL_COLUMNS
from seglab.monitor.quality.measured import measured_quality
from seglab.monitor.report import charts, tables
from seglab.monitor.report.charts import Bar, Clock, moment
from seglab.monitor.report.options import ReportOptions
from seglab.monitor.report.period import COLUMNS, Period, summarise
from seglab.monitor.report.watched import Watched, watch_bundle
from seglab.monitor.samples import reference_sample

_TEMPLATES = Path(__file__).parent / "template"
GENERATOR = "seglab monitor report"
_UNSURE = " Its reference is too small to be sure of that; the end of the page says why."


class Heading(NamedTuple):
    """What every page begins with."""

    title: str
    created: str
    version: str


def write_monitor_report(
    options: ReportOptions,
    labels: Labels | None = None,
    image_of: Callable[[str], Path | None] = lambda _key: None,
) -> Path:
    """Write the page of a period.

    Args:
        options: Log, bundles, period, page.
        labels: By request id; None: those of the folder `options.labels`, where there is one.
        image_of: Key of a label -> its image file, where the log has not stored it.

    Returns:
        The page.

    Raises:
        DataError: The log has no rows in the period, or a bundle cannot be read.
    """
    notes: list[str] = []
    start, end = (_seconds(text) for text in (options.start, options.end))
    table = read_log(options.log, start, end, (*COLUMNS, "class_shares"), tell=notes.append)
    period = summarise(table)
    places = [locate_bundle(name) for name in options.bundle]
    bundles = [_load(place) for place in places]
    if labels is None and options.labels is not None:
        labels = folder_labels(options.labels)
    watched = []
    for bundle, path in zip(bundles, places, strict=True):
        one = watch_bundle(bundle, path, _times_of(table, bundle.id), options)
        if labels is not None:
            rows = read_log(options.log, start, end, LABEL_COLUMNS, tell=lambda _line: None)
            _measure(one, rows, path, labels, image_of, options)
        watched.append(one)
    missing = sorted(set(period.bundles) - {one.bundle.id for one in watched})
    if missing:
        notes.append(
            f"No drift and no quality of images answered by {', '.join(missing)}: give the bundle "
            "(bundle=DIR, several as bundle=OLD,NEW)."
        )
    output = Path(options.output).expanduser()
    content = page_content(period, watched, notes, options)
    heading = Heading(_title(watched, options), utc_now(), __version__)
    html = render_template(
        "monitor.html.j2", generator=GENERATOR, folder=_TEMPLATES, report=heading, **content
    )
    write_text(output, html)
    return output


def page_content(
    period: Period, watched: Sequence[Watched], notes: list[str], options: ReportOptions
) -> dict[str, Any]:
    """Return the parts of the page by their names in the template."""
    clock = Clock(float(period.edges[0]), float(period.edges[-1]))
    alerts = _alerts(options, clock)
    names = _class_names(watched, len(period.shares))
    count = sum(len(one.drifts) for one in watched)
    bad, good = _verdicts(period, watched)
    return {
        "facts": _facts(period, options),
        "big": _figures(period, watched),
        "bad": bad,
        "good": good,
        "timeline": charts.timeline_chart(_bars(period, watched, alerts), clock),
        "bundles": tables.bundle_table(
            period, {one.bundle.id: one.bundle.info["name"] for one in watched}
        ),
        "alerts": tables.alert_table(alerts),
        "run_length": f"{options.drift.run_length:,}",
        "drift": charts.drift_chart(watched, clock),
        "drifts": tables.drift_table(watched),
        "more_drifts": max(0, count - tables.MOST_DRIFTS),
        "statistics": [
            (f"Every statistic, {one.label}", table)
            for one in watched
            if (table := tables.statistic_table(one)) is not None
        ],
        "assumptions": _assumptions(watched),
        "quality": charts.quality_charts(watched, clock),
        "classes": [table for one in watched if (table := tables.class_table(one)) is not None],
        "predictions": charts.prediction_charts(period, clock, names),
        "traffic": charts.traffic_charts(period, clock),
        "statuses": tables.status_table(period),
        "notes": [*notes, *(f"{one.label}: {note}" for one in watched for note in one.notes)],
    }


def _measure(
    one: Watched,
    rows: pa.Table,
    path: Path,
    labels: Labels,
    image_of: Callable[[str], Path | None],
    options: ReportOptions,
) -> None:
    try:
        reference = QualityReference.fit(reference_sample(path))
    except DataError:
        reference = None  # told by the watch
    folder = Path(options.log).expanduser()
    one.measured = measured_quality(rows, folder, labels, one.bundle, reference, image_of)
    if one.measured is None:
        one.notes.append("No labels of its images could be used.")
    else:
        one.notes += one.measured.notes


def _load(path: Path) -> Bundle:
    try:
        return load(path, check=False)
    except BundleError as error:
        raise DataError(str(error)) from error


def _times_of(table: pa.Table, bundle: str) -> np.ndarray:
    own = pc.and_(pc.equal(table["bundle"], bundle), pc.equal(table["status"], OK))
    times: np.ndarray = table["time"].filter(own).cast(pa.int64()).to_numpy()
    return times / 1e6


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    time = datetime.datetime.fromisoformat(text)
    return (time if time.tzinfo else time.replace(tzinfo=datetime.UTC)).timestamp()


def _title(watched: Sequence[Watched], options: ReportOptions) -> str:
    names = ", ".join(dict.fromkeys(one.bundle.info["name"] for one in watched))
    return options.title or f"Service of {names or Path(options.log).name}"


def _class_names(watched: Sequence[Watched], classes: int) -> list[str]:
    for one in watched:
        if len(one.bundle.class_names) == classes:
            return one.bundle.class_names
    return [f"class {place}" for place in range(classes)]


def _facts(period: Period, options: ReportOptions) -> list[tuple[str, str]]:
    return [
        ("Log", options.log),
        ("From", moment(float(period.edges[0]))),
        ("To", moment(float(period.edges[-1]))),
        ("Images", f"{period.rows:,} of {period.requests:,} requests"),
        ("Streams", f"{period.streams:,}"),
        ("Page written", f"{moment(datetime.datetime.now(datetime.UTC).timestamp())}"),
    ]


def _figures(period: Period, watched: Sequence[Watched]) -> list[tuple[str, str, str]]:
    failed = int(period.failed.sum())
    found = [
        ("images", f"{period.rows:,}", f"{period.requests:,} requests"),
        ("failed", f"{failed / period.rows:.2%}", f"{failed:,} images"),
        (
            "95 of 100 requests below",
            f"{period.p95:.3g} s" if period.p95 == period.p95 else "-",
            "",
        ),
        ("times of drift", str(sum(len(one.drifts) for one in watched)), ""),
    ]
    for one in watched:
        for name, score in (
            ("estimated mIoU", one.estimate),
            ("measured mIoU", one.measured.measured if one.measured else None),
        ):
            if score is not None:
                low, high = score.interval
                told = f"{low:.3f} to {high:.3f}, {one.label}"
                found.append((name, f"{score.miou:.3f}", told))
    return found


def _verdicts(period: Period, watched: Sequence[Watched]) -> tuple[list[str], list[str]]:
    """Return what is wrong, and what is well, a sentence each."""
    bad, good = [], []
    for one in watched:
        windows = sum(len(line.ends) for line in one.timelines)
        if one.drifts:
            above = sum(drift.windows for drift in one.drifts)
            lasts = one.timelines[-1].drifted[-1]
            bad.append(
                f"The images that {one.label} got were not like those it was measured on: drift first at "
                f"{moment(one.drifts[0].first)}, in {above / windows:.0%} of {windows:,} windows, "
                f"{'and at the end of the period too' if lasts else 'but not at the end of the period'}."
                f"{_UNSURE if one.detector and one.detector.notes else ''}"
            )
        elif windows:
            good.append(f"No drift of {one.label} in {windows:,} windows.")
        if one.measured is not None and not one.measured.measured.assumption.ok:
            bad.append(f"{one.label}: {one.measured.measured.assumption.why}")
    if not watched:
        good.append("No bundle was given, so there is no word on drift and quality (bundle=DIR).")
    return bad, good


def _assumptions(watched: Sequence[Watched]) -> list[tuple[str, bool]]:
    found = []
    for one in watched:
        if one.estimate is not None:
            told, doubtful = one.estimate.assumption, one.doubtful
            sentence = f"{one.label}, estimated: {told.why}"
            if told.ok and doubtful:
                time, first = doubtful[0]
                sentence += (
                    f" But not in {len(doubtful)} of {len(one.estimates)} parts of the period, first about "
                    f"{moment(time)}: {first.assumption.why}"
                )
            found.append((sentence, told.ok and not doubtful))
        if one.measured is not None:
            against = one.measured.measured.assumption
            found.append((f"{one.label}, measured: {against.why}", against.ok))
    return found


def _bars(period: Period, watched: Sequence[Watched], alerts: Sequence[Alert]) -> list[Bar]:
    spans = sorted(period.bundles.items(), key=lambda one: one[1][0])
    bars = [
        Bar(name[:8], ((first, last),), slot=slot)
        for slot, (name, (first, last, _)) in enumerate(spans)
    ]
    drifts = sorted((one.first, one.last) for each in watched for one in each.drifts)
    if drifts:
        bars.append(Bar("drift", tuple(drifts), tuple(first for first, _ in drifts), 3))
    if alerts:
        first, last = float(period.edges[0]), float(period.edges[-1])
        lasted = ((one.since, one.seen if one.over is None else one.over) for one in alerts)
        inside = tuple((max(start, first), min(end, last)) for start, end in lasted)
        begun = tuple(one.since for one in alerts if first <= one.since)
        bars.append(Bar("alerts", inside, begun, 4))
    return bars


def _alerts(options: ReportOptions, clock: Clock) -> list[Alert]:
    """Return the alerts of the period: those that last, and those that are over."""
    place = Path(options.alerts or Path(options.log) / BOOK).expanduser()
    if not place.is_file():
        if options.alerts is None:
            return []
        raise DataError(f"alerts: expected the file that seglab monitor watch keeps, got {place}")
    book = AlertBook.read(place)
    inside = (
        one
        for one in (*book.past, *book.alerts.values())
        if one.since <= clock.last and (one.seen if one.over is None else one.over) >= clock.first
    )
    return sorted(inside, key=lambda one: one.since)
