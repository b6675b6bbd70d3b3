"""Studies as tables, figures and text: what the end of a sweep, notebooks and reports need.

Kept apart from `seglab.analysis`, which it does not make import Optuna and plotly.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
