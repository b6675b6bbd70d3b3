"""Models: image float `(B, C, H, W)` in, logits `(B, num_classes, H, W)` out; pure torch.

What there is stands in `__init__.pyi` and loads on first use, so that options are read without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
