"""The scores that a study may choose by: of validation or of folds, never of the test split."""

from __future__ import annotations

from collections.abc import Iterator

from seglab.config.rules.named_objects import names_subclass
from seglab.config.rules.scores import (
    class_scores,
    cost_keys,
    is_fold_score,
    is_own_score,
    is_val_score,
    lower_is_better,
    val_scores,
)
from seglab.config.rules.valid_view import Rule, ValidView
from seglab.core.problems import Problem, did_you_mean, nearest_keys, show


def _objectives_are_scores(value: ValidView) -> Iterator[Problem]:
    folds = value("cv.scheme") != "none"
    for index, objective in enumerate(value("study.objectives", None) or ()):
        metric, key = objective["metric"], f"study.objectives[{index}]"
        if metric.startswith("test/"):
            yield Problem(
                f"{key}.metric",
                "a study that chooses by test scores has none left to test with; use "
                f"{metric.replace('test/', 'val/', 1)}, got {show(metric)}",
            )
            continue
        if is_own_score(metric, value("metrics.extra", {})):
            continue
        problem = _metric_problem(metric, folds)
        if problem:
            yield Problem(f"{key}.metric", problem)
            continue
        right = "minimize" if lower_is_better(metric) else "maximize"
        if objective["direction"] != right:
            yield Problem(
                f"{key}.direction",
                f"expected {right} for {metric}, got {show(objective['direction'])}",
            )


def _metric_problem(metric: str, folds: bool) -> str:
    of_class = " or ".join(f"val/{name}/CLASS" for name in class_scores())
    if folds:
        if is_fold_score(metric):
            return ""
        of_folds = [key for key in val_scores() if is_fold_score(key)]
        return f"a cross-validation has {', '.join(of_folds)} and {of_class}, got {show(metric)}"
    if is_val_score(metric) or metric in cost_keys():
        return ""
    known = [*val_scores(), *cost_keys()]
    meant = did_you_mean(nearest_keys(metric, known))
    return f"expected one of {', '.join(known)}, {of_class}; got {show(metric)}{meant}"


def _folds_fit(value: ValidView) -> Iterator[Problem]:
    value("study.sampler")
    scheme, pruner = value("cv.scheme"), value("study.pruner", None)
    from optuna.pruners import WilcoxonPruner

    if scheme == "none" and names_subclass(pruner, WilcoxonPruner):
        yield Problem(
            "study.pruner",
            "WilcoxonPruner compares trials fold by fold; add cv=kfold, cv=grouped or another",
        )
    if scheme == "nested":
        yield Problem(
            "cv.scheme",
            "the scores of nested are of test folds, which a study may not choose by; use "
            "cv=stratified or another for the study",
        )


SCORE_RULES: tuple[Rule, ...] = (_objectives_are_scores, _folds_fit)
