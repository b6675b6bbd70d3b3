"""Cross-validation folds that cannot leak: what one group or one scene shows is never on both sides.

`make_folds` cuts a manifest into a `FoldPlan`, a pure function of manifest and settings, which is
written beside the results. `fold_manifest` is the data set as one fold sees it.
"""

from __future__ import annotations

from seglab.data.folds.leaks import find_leaks, require_no_leaks
from seglab.data.folds.making import make_folds
from seglab.data.folds.plan import Fold, FoldPlan, fold_manifest
from seglab.data.folds.settings import FoldSettings
from seglab.data.folds.warnings import fold_warnings, leak_warnings

__all__ = [
    "Fold",
    "FoldPlan",
    "FoldSettings",
    "find_leaks",
    "fold_manifest",
    "fold_warnings",
    "leak_warnings",
    "make_folds",
    "require_no_leaks",
]
