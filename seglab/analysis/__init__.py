"""Reading runs and drawing what they say: all that notebooks and reports need.

Some functions are called as the module they come from (`compare`, `curves`). They are bound here
after those modules were imported, so `from seglab.analysis import compare` is always the function.
"""

from seglab.analysis.compare import Comparison, compare
from seglab.analysis.curves import learning_curves
from seglab.analysis.data_views import class_shares, data_overview, read_manifest, tag_counts
from seglab.analysis.evaluations import (
    corruptions_figure,
    latest_evaluations,
    reliability,
    slices,
    slices_figure,
    worst_classes,
)
from seglab.analysis.failure_gallery import gallery
from seglab.analysis.figures import confusion_figure, samples_figure
from seglab.analysis.gallery_cases import FailureGallery
from seglab.analysis.overlaid_curves import curves
from seglab.analysis.overlays import blend, colour_mask, error_map
from seglab.analysis.run_sources import labels_of, open_run
from seglab.analysis.settings import setting_groups, varied_settings
from seglab.analysis.style import save_figure
from seglab.analysis.tables import class_table, markdown_table, rich_table
from seglab.analysis.verdict import Verdict, VerdictRules, fit_verdict
from seglab.analysis.views import (
    confused_pairs,
    confusion,
    fold_boxplot,
    fold_scores,
    image_by_image,
    paired_images,
)
from seglab.runs import RunRecord, load_histories, load_runs

__all__ = [
    "Comparison",
    "FailureGallery",
    "RunRecord",
    "Verdict",
    "VerdictRules",
    "blend",
    "class_shares",
    "class_table",
    "colour_mask",
    "compare",
    "confused_pairs",
    "confusion",
    "confusion_figure",
    "corruptions_figure",
    "curves",
    "data_overview",
    "error_map",
    "fit_verdict",
    "fold_boxplot",
    "fold_scores",
    "gallery",
    "image_by_image",
    "labels_of",
    "latest_evaluations",
    "learning_curves",
    "load_histories",
    "load_runs",
    "markdown_table",
    "open_run",
    "paired_images",
    "read_manifest",
    "reliability",
    "rich_table",
    "samples_figure",
    "save_figure",
    "setting_groups",
    "slices",
    "slices_figure",
    "tag_counts",
    "varied_settings",
    "worst_classes",
]
