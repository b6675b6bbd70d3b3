"""The label space of the procedural roadside world, in one place for drawing, faults and tests."""

from __future__ import annotations

from seglab.core.labels import LabelSpace

TERRAIN, SKY, ROAD, VEGETATION, BUILDING, VEHICLE, POLE = range(7)

LABELS = LabelSpace(
    class_names=("terrain", "sky", "road", "vegetation", "building", "vehicle", "pole"),
    palette=(
        (152, 190, 96),
        (84, 160, 214),
        (136, 92, 148),
        (34, 106, 52),
        (172, 106, 74),
        (222, 58, 66),
        (250, 208, 60),
    ),
)

# Things with an outline of their own, which an annotator can forget, shift or take for another.
OBJECT_CLASSES = (VEGETATION, BUILDING, VEHICLE, POLE)

# The few-pixel classes that `class_imbalance` takes out of scenes.
RARE_CLASSES = (VEHICLE, POLE)
