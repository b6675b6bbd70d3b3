"""From a list of files to a manifest: what an importer hands over, and every file read once and checked.

What there is stands in `__init__.pyi` and loads on first use.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
