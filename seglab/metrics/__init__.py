"""Metrics: integer counts first, scores as pure functions of them, one place for what they are called.

What there is stands in `__init__.pyi` and loads on first use, so that scores are known without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
