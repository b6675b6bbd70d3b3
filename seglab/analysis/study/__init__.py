"""Studies as tables, figures and text: what the end of a sweep, notebooks and reports need.

Kept apart from `seglab.analysis`, which it does not make import Optuna and plotly.
"""

from seglab.analysis.study.figures.parallel import parallel_figure
from seglab.analysis.study.figures.parameter_figures import (
    contour_figure,
    importance_figure,
    slice_figure,
)
from seglab.analysis.study.figures.progress_figures import (
    history_figure,
    intermediate_figure,
    pareto_figure,
)
from seglab.analysis.study.figures.timeline import timeline_figure
from seglab.analysis.study.figures.write import write_figures
from seglab.analysis.study.idle import IdleShare, idle_share
from seglab.analysis.study.importance import importance_table
from seglab.analysis.study.load import StudyView, load_trials, read_study, write_trials_csv
from seglab.analysis.study.summary import (
    REPEATS,
    StudySummary,
    best_trials,
    pareto_front,
    pareto_trials,
    study_summary,
)
from seglab.analysis.study.text import study_report

__all__ = [
    "REPEATS",
    "IdleShare",
    "StudySummary",
    "StudyView",
    "best_trials",
    "contour_figure",
    "history_figure",
    "idle_share",
    "importance_figure",
    "importance_table",
    "intermediate_figure",
    "load_trials",
    "parallel_figure",
    "pareto_figure",
    "pareto_front",
    "pareto_trials",
    "read_study",
    "slice_figure",
    "study_report",
    "study_summary",
    "timeline_figure",
    "write_figures",
    "write_trials_csv",
]
