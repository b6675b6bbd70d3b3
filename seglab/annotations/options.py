"""The formats of annotation tools and what each may be told, both ways."""

from __future__ import annotations

from seglab.core.options import Options, Positive
from seglab.core.parts.components import component


class FormatOptions(Options):
    """Base of the options of formats."""


@component("annotation_format", "seglab.annotations.formats.labelme.LabelMe", "labelme")
class LabelMeOptions(FormatOptions):
    """LabelMe: a JSON file beside each image."""

    line_width: Positive = 10
    """Width in pixels of lines, as LabelMe draws them."""
