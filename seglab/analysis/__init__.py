"""Reading runs and drawing what they say: all that notebooks and reports need.

Names are taken from their modules when they are first asked for: scores need torch, which costs
seconds, and much of what lies in this package does without. No module may have the name of a function
here, or it would take its place once it is imported.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

_NAMES_OF = {
    "analysis.class_scores": "class_table",
    "analysis.comparison": "Comparison compare",
    "analysis.data_views": "class_shares data_overview read_manifest tag_counts",
    "analysis.evaluations": "corruptions_figure latest_evaluations reliability slices slices_figure "
    "worst_classes",
    "analysis.failure_gallery": "gallery",
    "analysis.figures": "confusion_figure samples_figure",
    "analysis.gallery_cases": "FailureGallery",
    "analysis.history_curves": "learning_curves",
    "analysis.overlaid_curves": "curves",
    "analysis.overlays": "blend colour_mask error_map",
    "analysis.run_sources": "labels_of open_run",
    "analysis.settings": "setting_groups varied_settings",
    "analysis.style": "save_figure",
    "analysis.tables": "markdown_table rich_table",
    "analysis.verdict": "Verdict VerdictRules fit_verdict",
    "analysis.views": "confused_pairs confusion fold_boxplot fold_scores image_by_image paired_images",
    "runs": "RunRecord load_histories load_runs",
}
_MODULE_OF = {name: module for module, names in _NAMES_OF.items() for name in names.split()}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> Any:
    """Return a public name from its module (PEP 562)."""
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = getattr(import_module(f"seglab.{_MODULE_OF[name]}"), name)
    return globals()[name]


def __dir__() -> list[str]:
    """Return what there is, for completion."""
    return sorted({*globals(), *__all__})
