"""A study in sentences and as a Markdown report: what was asked, what came out, what may be claimed."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from seglab.analysis.study.figures.write import drawings
from seglab.analysis.study.load import PARAM, StudyObjective, StudyView, as_folder, read_study
from seglab.analysis.study.summary import (
    REPEATS,
    StudySummary,
    best_trials,
    pareto_trials,
    study_summary,
)
from seglab.analysis.study.wording import number
from seglab.analysis.tables import Cell, Row, markdown_table
from seglab.analysis.times import format_runtime
from seglab.core.sample_size import MIN_REPEATS, TOO_FEW_REPEATS
from seglab.core.text.escape import markdown, markdown_code
from seglab.core.text.shell import shell_command
from seglab.core.text.wording import joined, plural
from seglab.runs.studies.study import StudyFolder, all_there_are

Protocol = Mapping[str, Any]
_BEST = 5


def study_report(folder: StudyFolder | str | Path, protocol: Protocol | None = None) -> str:
    """Return the report of a study as Markdown.

    Args:
        folder: The study's folder; figures are linked where they have been written.
        protocol: What may be claimed of the winner; None takes `protocol.json` if it is there.
    """
    folder = as_folder(folder)
    view = read_study(folder)
    protocol = protocol if protocol is not None else folder.read_protocol()
    summary = study_summary(view)
    parts = [f"# Study {markdown(view.name)}\n"]
    notes = str((view.asked.get("base_config") or {}).get("notes") or "").strip()
    if notes:
        parts.append("\n".join(f"> {line}" for line in notes.splitlines()) + "\n")
    asked = asked_sentences(view, markdown, markdown_code)
    parts += ["## What was asked\n", *(f"{line}\n" for line in asked)]
    space = [
        {"parameter": name, "values": text}
        for name, text in (view.asked.get("space") or {}).items()
    ]
    parts += [markdown_table(space)] if space else []
    parts += [
        "## What happened\n",
        *(f"{markdown(line)}\n" for line in happened_sentences(view, summary)),
    ]
    parts += [
        "## What came out\n",
        *(f"{markdown(line)}\n" for line in result_sentences(view, summary, protocol)),
    ]
    rows = trial_rows(
        pareto_trials(view) if len(view.objectives) > 1 else best_trials(view, _BEST), view
    )
    parts += [markdown_table(rows)] if rows else []
    figures = list(_figures(view))
    parts += ["## Figures\n", *figures] if figures else []
    return "\n".join(parts)


def asked_sentences(
    view: StudyView, text: Callable[[str], str] = str, code: Callable[[str], str] = str
) -> list[str]:
    """Say what the study was to find, by what means, and with which words.

    Args:
        view: The study.
        text: Escapes prose for where it is shown.
        code: Marks a command there.
    """
    goals = " and ".join(
        f"{goal.metric} as {'high' if goal.maximises else 'low'} as possible"
        for goal in view.objectives
    )
    tools = [_tool(view.asked.get("sampler")), _tool(view.asked.get("pruner"))]
    means = ", ".join([*(tool for tool in tools if tool), f"seed {view.asked.get('seed')}"])
    asked = view.asked.get("n_trials")
    budget = "" if asked is None else f", within {asked} trials"
    sentences = [text(f"To find: {goals}{budget} ({means}).")]
    words = view.asked.get("words") or []
    if words:
        typed = shell_command("seglab", "train", "-m", *map(str, words))
        sentences.append(f"Asked for with {code(typed)}.")
    if view.warm:
        sentences.append(
            f"The sampler was told of {view.warm} trials of other studies; they count nowhere below."
        )
    return sentences


def _tool(node: object) -> str:
    target = node.get("_target_") if isinstance(node, Mapping) else None
    return str(target).rsplit(".", 1)[-1] if target else ""


def happened_sentences(view: StudyView, summary: StudySummary) -> list[str]:
    """Say how the trials ended, what they cost, and how busy the workers were."""
    counted = ", ".join(f"{count} {state}" for state, count in summary.counts.items()) or "none yet"
    of = "" if summary.budget is None else f" of {summary.budget}"
    sentences = [f"{summary.ended}{of} trials ended: {counted}."]
    if view.budget is not None and view.budget < view.asked["n_trials"]:
        searched = view.asked.get("space") or ()
        sentences.append(f"{all_there_are(view.budget, view.asked['n_trials'], searched)}.")
    repeats = view.trials["repeat_of"].notna().sum()
    if repeats:
        sentences.append(
            f"{plural(int(repeats), 'trial')} repeat a setting with another seed; scores below are means "
            "by setting."
        )
    if summary.workers:
        work, wall = (format_runtime(hours * 3600) for hours in (summary.compute_h, summary.wall_h))
        line = f"{plural(summary.workers, 'worker')} did {work} of work in {wall}"
        if not math.isnan(summary.idle.waiting):
            waiting, total = (
                f"{100 * share:.1f} %" for share in (summary.idle.waiting, summary.idle.total)
            )
            line += f"; idle {waiting} of the time while trials waited, {total} with the tail"
        sentences.append(f"{line}.")
    if summary.counts.get("pruned") and summary.saved_h > 0:
        sentences.append(
            f"Pruning saved about {format_runtime(summary.saved_h * 3600)} of work (estimated: each "
            "pruned trial going on at its own pace for as many steps as the median finished one)."
        )
    if summary.retried:
        times = "once" if summary.retried == 1 else f"{summary.retried} times"
        sentences.append(
            f"A trial broke off with its process or controller {times} and was taken up again."
        )
    failed = view.trials[view.trials["state"] == "failed"]
    if len(failed):
        sentences.append(f"Failed: {joined([_failure(row) for row in failed.to_dict('records')])}.")
    return sentences


def _failure(row: Mapping[Hashable, Any]) -> str:
    error = f", {row['error']}" if isinstance(row["error"], str) else ""
    return f"trial {row['number']} ({row['reason'] or 'no reason recorded'}{error})"


def result_sentences(
    view: StudyView, summary: StudySummary, protocol: Protocol | None
) -> list[str]:
    """Say which trial is best and what may be claimed of it."""
    if len(view.objectives) > 1:
        count = len(summary.front)
        return (
            [
                f"{count} trials are on the Pareto front: no other trial beats them in all of "
                f"{', '.join(goal.metric for goal in view.objectives)}. They were picked from "
                f"{summary.ended} trials by these very scores, so they look better than they are."
            ]
            if count
            else ["No trial finished, so there is no best one."]
        )
    if summary.best is None:
        return ["No trial finished, so there is no best one."]
    goal = view.objectives[0]
    considered = (protocol or {}).get("trials_considered") or summary.ended
    sentences = [
        f"Trial {summary.best} is the best: {goal.metric} {summary.best_value:.4f}{_mean_of(summary)}. "
        f"It was chosen as the best of {plural(considered, 'trial')} by this very score, which is "
        "therefore optimistic.",
        f"It was trial number {summary.best_after} to start and was there "
        f"{format_runtime(summary.best_at_h * 3600)} after the first start.",
    ]
    return [*sentences, *protocol_sentences(protocol, goal)]


def _mean_of(summary: StudySummary) -> str:
    return f", the mean of {summary.best_of} seeds" if summary.best_of > 1 else ""


def protocol_sentences(protocol: Protocol | None, goal: StudyObjective) -> list[str]:
    """Say what trainings with other seeds and the test split made of the winner.

    Args:
        protocol: Content of `protocol.json`; None where the study was not concluded.
        goal: What was optimised.
    """
    if protocol is None:
        return ["It has not been trained anew, nor scored on test."]
    return [*_confirmation(protocol, goal), *_test(protocol)]


def _confirmation(protocol: Protocol, goal: StudyObjective) -> Iterator[str]:
    values = [one["value"] for one in protocol.get("confirm") or [] if _is_number(one.get("value"))]
    if not values:
        yield (
            "It was not trained anew with other seeds (study.confirm), so how much of its lead is luck "
            "is unknown."
        )
        return
    mean = protocol["confirm_mean"]
    listed = ", ".join(f"{value:.4f}" for value in values)
    if len(values) == 1:
        yield f"Trained anew with another seed it reached {listed}; one seed gives no interval."
        return
    ends = _interval(protocol, "confirm_low", "confirm_high")
    told = bool(ends) and len(values) >= MIN_REPEATS
    how = (
        f"{ends} (95 %, Student's t over seeds; " if told else f" ({TOO_FEW_REPEATS} an interval; "
    )
    yield (
        f"Trained anew with {len(values)} other seeds, which chose nothing: mean {mean:.4f}"
        f"{how}{listed})."
    )
    gap = goal.sign * (protocol["best_value"] - mean)
    verdict = (
        "by so much the score it was chosen by flatters"
        if gap > 0
        else "the choice did not flatter it"
    )
    yield f"Optimism: best minus mean of the seeds is {gap * goal.sign:+.4f}; {verdict}."


def _test(protocol: Protocol) -> Iterator[str]:
    test = protocol.get("test")
    if not test:
        yield "The test split was not touched."
        return
    if "mean" in test:
        few = len(protocol.get("confirm") or []) < MIN_REPEATS
        ends = "" if few else _interval(test, "low", "high")
        # Undefined where no pixel of test has a class; a file holds null then.
        mean = f"{test['mean']:.4f}" if _is_number(test["mean"]) else "undefined"
        scores = f"{protocol.get('test_metric', 'test')} {mean}{ends}"
    else:
        scores = ", ".join(
            f"{name} {value:.4f}" for name, value in test.items() if _is_number(value)
        )
    moment = str(protocol.get("test_touched") or "")[:16].replace("T", " ")
    seeds = len(protocol.get("confirm") or [])
    whose = f", mean of {plural(seeds, 'seed')}" if seeds else ""
    when = f" ({moment} UTC)" if moment else ""
    yield f"On the test split, touched for the winner alone{when}: {scores}{whose}."


def _interval(node: Mapping[str, Any], low: str, high: str) -> str:
    ends = [node.get(low), node.get(high)]
    return f" [{ends[0]:.4f}, {ends[1]:.4f}]" if all(map(_is_number, ends)) else ""


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not math.isnan(value)


def trial_rows(trials: pd.DataFrame, view: StudyView) -> list[Row]:
    """Return trials as rows for a table: number, scores, parameters and time.

    Args:
        trials: Rows of the study's table, in the order to show.
        view: The study.
    """
    rows = []
    for trial in trials.to_dict("records"):
        row: dict[str, Cell] = {"trial": int(trial["number"])}
        row |= {goal.metric: float(trial[goal.metric]) for goal in view.objectives}
        row |= {
            scale.label: param_text(trial.get(f"{PARAM}{name}"))
            for name, scale in view.scales.items()
        }
        if trial.get(REPEATS, 1) > 1:
            row["mean of"] = int(trial[REPEATS])
        row["time"] = format_runtime(float(trial["duration_s"]))
        rows.append(row)
    return rows


def param_text(value: object) -> str:
    """Return the value of a parameter as words; `-` where a trial has none."""
    if isinstance(value, float):
        return "-" if math.isnan(value) else number(value, 4)
    return str(value)


def _figures(view: StudyView) -> Iterator[str]:
    folder = view.folder.figures_dir
    for drawing in drawings(view):
        png, html = (folder / f"{drawing.name}.{end}" for end in ("png", "html"))
        if png.is_file():
            name = folder.name
            link = f" ([to point at]({name}/{html.name}))" if html.is_file() else ""
            title = markdown(drawing.title)
            yield f"{title}{link}\n\n![{title}]({name}/{png.name})\n"
