"""A procedural roadside world: a segmentation data set that needs no download.

It is drawn by numpy and OpenCV from a seed: drives past fields, houses, trees, cars and poles, by
day, dusk and night. Faults (label noise, near duplicates, corrupt files, a shifted test split) can
be planted with their ground truth, which real data never comes with.
"""

from __future__ import annotations

from seglab.data.synth.classes import LABELS
from seglab.data.synth.faults import PlantedFault, load_faults
from seglab.data.synth.importer import import_synth
from seglab.data.synth.options import SynthOptions
from seglab.data.synth.render import Frame, render_frame
from seglab.data.synth.scene import Scene, SceneOptions, build_scene

__all__ = [
    "LABELS",
    "Frame",
    "PlantedFault",
    "Scene",
    "SceneOptions",
    "SynthOptions",
    "build_scene",
    "import_synth",
    "load_faults",
    "render_frame",
]
