"""Reading runs and drawing what they say: all that notebooks and reports need."""

from seglab.analysis.curves import learning_curves
from seglab.analysis.figures import confusion_figure, samples_figure
from seglab.analysis.overlays import blend, colour_mask, error_map
from seglab.analysis.style import save_figure
from seglab.analysis.tables import class_table, markdown_table, rich_table
from seglab.analysis.verdict import Verdict, VerdictRules, fit_verdict
from seglab.runs import RunRecord, load_histories, load_runs

__all__ = [
    "RunRecord",
    "Verdict",
    "VerdictRules",
    "blend",
    "class_table",
    "colour_mask",
    "confusion_figure",
    "error_map",
    "fit_verdict",
    "learning_curves",
    "load_histories",
    "load_runs",
    "markdown_table",
    "rich_table",
    "samples_figure",
    "save_figure",
]
