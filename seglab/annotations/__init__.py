"""Annotation tools, both ways: one module a format, and the shapes and rasterisers they share.

A format reads files into shapes and writes shapes into files; what is drawn where is decided here, by
the rasteriser that the tool itself has, and nowhere else. Needs numpy, OpenCV and Pillow alone.
"""
