"""The trials that run and the best of those that finished, drawn for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.text import Text

from seglab.core.text.terminal import PlainTable
from seglab.sweep.watch.tally import Best, RunningTrial
from seglab.sweep.watch.wording import score, short_words, span


def trials_table(
    trials: Sequence[RunningTrial], metric: str | None, width: int, now: float
) -> PlainTable:
    """Return the trials that run, one per row.

    Args:
        trials: In the order of the rows.
        metric: Name of the score where the trials have not reported one.
        width: Of the table; the parameters get what the numbers leave.
        now: By the watch's clock.
    """
    metrics = {trial.metric for trial in trials if trial.metric}
    if metrics:
        metric = metrics.pop() if len(metrics) == 1 else "score"
    table = PlainTable(box=None, pad_edge=False, width=width, header_style="dim")
    table.add_column("trial", justify="right", no_wrap=True)
    table.add_column("on", no_wrap=True, max_width=max(12, width // 6))
    table.add_column("parameters", no_wrap=True, ratio=1)
    is_folds = any(trial.is_folds for trial in trials)
    table.add_column("fold" if is_folds else "epoch", justify="right", no_wrap=True)
    table.add_column(metric or "score", justify="right", no_wrap=True, max_width=14)
    table.add_column("time", justify="right", no_wrap=True)
    table.add_column("left", justify="right", no_wrap=True)
    for trial in trials:
        left = trial.seconds_left(now)
        table.add_row(
            str(trial.number),
            trial.worker,
            short_words(trial.words),
            trial.where or ("starting" if trial.attempt == 1 else "resuming"),
            score(trial.value),
            span(now - trial.started),
            "" if left is None else span(left),
        )
    return table


def best_line(best: Best, finished: int) -> Text:
    """Return the best trial so far; `finished` trials there are, known here or not."""
    if not best.trials:
        known = "the best of earlier trials is not known here" if finished else "none finished yet"
        return Text(known, style="dim")
    one = best.trials[-1]
    named = zip(best.objectives, one.values, strict=True)
    scores = ", ".join(f"{objective.metric} {score(value)}" for objective, value in named)
    front = f"Pareto front of {len(best.trials)}, the last: "
    head = "best so far: " if len(best.objectives) == 1 else front
    return Text.assemble(
        head, (scores, "bold green"), f", trial {one.number}  {short_words(one.words)}"
    )
