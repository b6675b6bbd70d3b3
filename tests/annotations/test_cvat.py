"""CVAT: shapes of images 1.1, tracks of video 1.1, runs as CVAT's own library writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.annotations.formats.cvat import Cvat, encode_runs
from seglab.annotations.options import CvatOptions
from seglab.annotations.reading import Tree
from seglab.annotations.shapes import AnnotatedImage
from seglab.core.errors import DataError

META = (
    "<meta><task><size>{size}</size><labels><label><name>car</name><color>#ff0080</color></label>"
    "<label><name>tree</name></label></labels><original_size><width>12</width><height>10</height>"
    "</original_size></task></meta>"
)


def _bitmap() -> np.ndarray:
    mask = np.zeros((5, 7), bool)
    mask[1:4, 2:6] = mask[4, 0] = True
    mask[2, 3] = False
    return mask


def _read(root: Path, body: str, images: int = 1, size: int = 1) -> list[AnnotatedImage]:
    names = [f"frame_{number:06d}.png" for number in range(images)]
    for name in names:
        Image.new("RGB", (12, 10)).save(root / name)
    (root / "annotations.xml").write_text(
        f"<annotations>{META.format(size=size)}{body}</annotations>"
    )
    found = Cvat().read(Tree(root, names))
    assert found.class_names == ("car", "tree")
    assert found.palette == {"car": (255, 0, 128)}
    assert not found.faults
    return found.images


def _image(shapes: str) -> str:
    return f'<image id="0" name="frame_000000.png" width="12" height="10">{shapes}</image>'


def _drawn(one: AnnotatedImage, line_width: int = 0) -> np.ndarray:
    canvas = Cvat(CvatOptions(line_width=line_width)).canvas(10, 12, 0)
    for shape in one.load(10, 12):
        canvas.draw(shape, {"car": 1, "tree": 2}[shape.label])
    return np.array(canvas.pixels)


def test_runs_are_those_of_cvat() -> None:
    # cvat_sdk.masks.encode_mask, less the box at its end.
    assert encode_runs(_bitmap()[1:, :6]) == [2, 4, 2, 1, 1, 2, 2, 5, 5]
    starts_full = _bitmap()[:, :6]
    starts_full[0, 0] = True
    assert encode_runs(starts_full) == [0, 1, 7, 4, 2, 1, 1, 2, 2, 5, 5]


def test_higher_z_order_is_nearer_whatever_the_order_of_the_file(tmp_path: Path) -> None:
    near = '<box label="car" xtl="2" ytl="1" xbr="6" ybr="4" z_order="3"/>'
    far = '<polygon label="tree" points="0,0;12,0;12,10;0,10" z_order="-1"/>'
    drawn = _drawn(_read(tmp_path, _image(near + far))[0])
    expected = np.full((10, 12), 2)
    expected[1:4, 2:6] = 1
    assert (drawn == expected).all()


def test_box_turns_about_its_centre(tmp_path: Path) -> None:
    body = _image('<box label="car" xtl="3" ytl="4" xbr="9" ybr="6" rotation="90"/>')
    expected = np.zeros((10, 12))
    expected[2:8, 5:7] = 1
    assert (_drawn(_read(tmp_path, body)[0]) == expected).all()


def test_ellipse_turns(tmp_path: Path) -> None:
    flat = '<ellipse label="car" cx="5" cy="5" rx="4" ry="2"/>'
    upright = '<ellipse label="car" cx="5" cy="5" rx="2" ry="4" rotation="90"/>'
    drawn = _drawn(_read(tmp_path, _image(flat))[0])
    assert np.flatnonzero(drawn[5]).tolist() == list(range(1, 10))
    assert np.flatnonzero(drawn[:, 5]).tolist() == list(range(3, 8))
    assert (drawn == _drawn(_read(tmp_path, _image(upright))[0])).all()


def test_lines_and_points_are_drawn_when_asked(tmp_path: Path) -> None:
    body = _image('<polyline label="car" points="1,5;10,5"/><points label="tree" points="3,3"/>')
    one = _read(tmp_path, body)[0]
    assert not _drawn(one).any()
    drawn = _drawn(one, line_width=1)
    assert (drawn[5, 9:11] == 1).all()
    assert drawn[3, 3] == 2


@pytest.mark.parametrize(
    ("shape", "told"),
    [
        ('<mask label="car" rle="2, 3" left="0" top="0" width="2" height="2"/>', "runs cover 5"),
        ('<mask label="car" rle="1, x" left="0" top="0" width="2" height="2"/>', "whole numbers"),
        ('<mask label="car" rle="4" left="0" top="0" width="99999" height="99999"/>', "pixels"),
        ('<polygon label="car" points="1,2;3,4"/>', "3 points or more"),
        ('<polygon label="car" points="1,2;3"/>', "x,y;x,y"),
        ('<polygon label="car" points="1,2;3,nan;4,5"/>', "not finite"),
        ('<cuboid label="car"/>', "cannot be drawn"),
        ("<polygon points='1,2;3,4;5,6'/>", "label"),
    ],
)
def test_broken_shape_is_named(tmp_path: Path, shape: str, told: str) -> None:
    one = _read(tmp_path, _image(shape))[0]
    with pytest.raises(DataError, match=told) as caught:
        one.load(10, 12)
    assert "annotations.xml: frame_000000.png: shape 0" in str(caught.value)


def _track(*steps: str) -> str:
    return f'<track id="0" label="car">{"".join(steps)}</track>'


def _box(frame: int, left: float, **more: int) -> str:
    extra = "".join(f' {key}="{value}"' for key, value in more.items())
    return (
        f'<box frame="{frame}" xtl="{left}" ytl="2" xbr="{left + 2}" ybr="4" keyframe="1"{extra}/>'
    )


def test_tracks_move_between_keyframes_and_end_outside(tmp_path: Path) -> None:
    body = _track(_box(1, 0), _box(3, 4), _box(4, 4, outside=1))
    images = _read(tmp_path, body, images=6, size=6)
    columns = [np.flatnonzero(_drawn(one).any(0)).tolist() for one in images]
    assert columns == [[], [0, 1], [2, 3], [4, 5], [], []]
    assert all(one.annotated for one in images)


def test_track_stays_until_the_video_ends(tmp_path: Path) -> None:
    images = _read(tmp_path, _track(_box(0, 3)), images=4, size=3)
    assert [bool(one.annotated and _drawn(one).any()) for one in images] == [True] * 3 + [False]


def test_outline_that_changes_its_vertices_needs_every_frame(tmp_path: Path) -> None:
    first = '<polygon frame="0" points="0,0;4,0;4,4"/>'
    other = '<polygon frame="2" points="0,0;4,0;4,4;0,4"/>'
    images = _read(tmp_path, _track(first, other), images=3, size=3)
    assert _drawn(images[2])[:4, :4].all()
    with pytest.raises(DataError, match="list every frame"):
        images[1].load(10, 12)


def test_entities_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (12, 10)).save(tmp_path / "a.png")
    bomb = '<!DOCTYPE a [<!ENTITY b "bbbb">]><annotations>&b;</annotations>'
    (tmp_path / "annotations.xml").write_text(bomb)
    found = Cvat().read(Tree(tmp_path, ["a.png"]))
    assert "document type" in found.faults["annotations.xml"]


@pytest.mark.slow
def test_runs_agree_with_cvat_on_many_masks(ask: Any) -> None:
    rng = np.random.default_rng(0)
    masks = [rng.random((6, 9)) < share for share in (0.05, 0.3, 0.5, 0.9) for _ in range(25)]
    program = (
        "import numpy as np\nfrom cvat_sdk.masks import encode_mask\n"
        "answer = [encode_mask(np.array(one, bool), [0, 0, 9, 6])[:-4] for one in given]"
    )
    answer = ask("cvat_sdk", program, [one.tolist() for one in masks])
    assert [encode_runs(one) for one in masks] == answer
