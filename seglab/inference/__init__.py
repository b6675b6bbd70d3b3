"""Inference: images in, logits at the size of the mask out, and their argmax.

Ways of predicting (whole images, windows, test-time augmentation, ensembles) can be put inside one
another; `cost` measures what a model takes. What there is stands in `__init__.pyi` and loads on first use,
so that options are read without torch.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
