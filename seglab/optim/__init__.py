"""Optimizers and learning-rate schedules by name; pure torch and timm.

What there is stands in `__init__.pyi` and loads on first use, so that options are read without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
