"""Reading runs and drawing what they say: all that notebooks and reports need.

What there is stands in `__init__.pyi` and loads on first use: scores need torch, which costs seconds, and
much of what lies in this package does without. No module or package may have the name of a function
here, or it would take its place once it is imported.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
