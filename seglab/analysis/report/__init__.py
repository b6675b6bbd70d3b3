"""Run records as one HTML page that can be read, printed and sent round; it needs no network."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
