"""Reading runs and drawing what they say: all that notebooks and reports need.

Names are taken from their modules when they are first asked for: scores need torch, which costs
seconds, and much of what lies in this package does without. No module or package may have the name of a
function here, or it would take its place once it is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES_OF = {
    "comparison.compare": "Comparison compare",
    "data_views": "class_shares data_overview read_manifest tag_counts",
    "evaluation.class_scores": "class_table",
    "evaluation.evaluations": "corruptions_figure latest_evaluations reliability slices slices_figure "
    "worst_classes",
    "evaluation.figures": "confusion_figure samples_figure",
    "evaluation.folds": "fold_boxplot fold_scores",
    "evaluation.views": "confused_pairs confusion image_by_image paired_images",
    "failures.cases": "FailureGallery",
    "failures.gallery": "gallery",
    "learning.history_curves": "learning_curves",
    "learning.overlaid_curves": "curves",
    "learning.verdict": "Verdict VerdictRules fit_verdict",
    "overlays": "blend colour_mask error_map",
    "run_sources": "labels_of open_run",
    "settings": "setting_groups varied_settings",
    "style": "save_figure",
    "tables": "markdown_table rich_table",
}
_MODULE_OF = {
    name: f"seglab.analysis.{module}"
    for module, names in _NAMES_OF.items()
    for name in names.split()
} | dict.fromkeys(("RunRecord", "load_histories", "load_runs"), "seglab.runs")
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Return a public name from its module (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(_MODULE_OF[name]), name)
    return globals()[name]


def __dir__() -> list[str]:
    """Return what there is, for completion."""
    return sorted({*globals(), *__all__})
