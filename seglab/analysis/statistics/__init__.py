"""Statistics of comparisons: paired by image, by fold, over seeds; pure functions of numbers."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
