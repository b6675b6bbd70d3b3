"""A procedural roadside world: a segmentation data set that needs no download.

It is drawn by numpy and OpenCV from a seed: drives past fields, houses, trees, cars and poles, by
day, dusk and night. Faults (label noise, near duplicates, corrupt files, a shifted test split) can
be planted with their ground truth, which real data never comes with.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
