"""Cross-validation folds that cannot leak: what one group or one scene shows is never on both sides.

`make_folds` cuts a manifest into a `FoldPlan`, a pure function of manifest and settings, which is
written beside the results. `fold_manifest` is the data set as one fold sees it.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
