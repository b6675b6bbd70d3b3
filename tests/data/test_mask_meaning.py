"""What values in masks mean: taken as stated, inferred where one reading fits, else refused."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.config.language.grammar import read_value
from seglab.core.errors import ConfigError, DataError, LabelError
from seglab.core.text.option_words import typed_as_flags
from seglab.data.importers import import_dataset
from seglab.data.manifest import Manifest

NAMES = ["background", "building"]
# Classes 0 and 1: 4 and 2 pixels.
M = np.array([[0, 1, 0], [0, 1, 0]], np.uint8)
COLOURS = np.array([[[0, 0, 0], [255, 0, 0], [0, 255, 0]], [[255, 0, 0]] * 3], np.uint8)
Save = Callable[[np.ndarray, Path], None]


def save_png(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask).save(path.with_suffix(".png"))


def make(root: Path, masks: Sequence[np.ndarray], save: Save = save_png) -> Path:
    for folder in ("images", "masks"):
        (root / folder).mkdir(parents=True)
    for index, mask in enumerate(masks):
        pixels = np.full((*mask.shape[:2], 3), index, np.uint8)
        Image.fromarray(pixels).save(root / "images" / f"{index}.png")
        save(mask, root / "masks" / str(index))
    return root


def run(root: Path, **options: Any) -> Manifest:
    return import_dataset("folder", root, root / "out", "tiny", {"val_fraction": 0.5, **options})


def refuse(root: Path, **options: Any) -> str:
    with pytest.raises(LabelError) as caught:
        run(root, **options)
    return str(caught.value)


def typed(message: str) -> list[dict[str, Any]]:
    """Return what each of the proposed command lines sets."""
    lines = [line for line in message.splitlines() if line.startswith(("  data.", "  'data."))]
    words = [shlex.split(line, comments=True) for line in lines]
    return [
        {
            key.removeprefix("data.options."): read_value(text)
            for key, _, text in (word.partition("=") for word in line)
        }
        for line in words
    ]


def counts(root: Path, **options: Any) -> list[list[int]]:
    return [list(pixels) for pixels in run(root, **options).table["class_pixels"]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "raw"


def test_indices_without_gaps_are_inferred_said_and_kept(root: Path) -> None:
    make(root, [np.array([[0, 1, 2], [2, 1, 255]], np.uint8)] * 3)
    manifest = run(root)
    assert manifest.labels.class_names == ("class_0", "class_1", "class_2")
    assert manifest.table["class_pixels"][0] == [1, 2, 2, 1]
    assert Manifest.read(root / "out").provenance["mask_values"] == (
        "mask values inferred from the masks: 0 is class_0 (3 pixels in 3 masks), 1 is class_1 (6 "
        "pixels in 3 masks), 2 is class_2 (6 pixels in 3 masks), 255 is ignored (3 pixels in 3 masks)"
    )
    assert "class_names not given: class_0 to class_2" in manifest.provenance["notes"]


@pytest.mark.parametrize("names", [None, NAMES])
def test_255_beside_one_value_is_refused_and_every_way_out_works(
    root: Path, names: list[str] | None
) -> None:
    make(root, [M * 255] * 2)
    given = {} if names is None else {"class_names": names}
    message = refuse(root, **given)
    assert "found: 0 (8 pixels in 2 masks), 255 (4 pixels in 2 masks)" in message
    as_class, as_void = typed(message)
    second = (names or ["background", "foreground"])[1]
    assert as_class == {"raw_ids": {0: "background", 255: second}}
    assert counts(root, **given, **as_class) == [[4, 2, 0]] * 2
    assert as_void == {"raw_ids": "identity"}
    assert counts(root, **given, **as_void) == [[4, 0, 2]] * 2
    assert counts(root, **given, binary=True) == [[4, 2, 0]] * 2


@pytest.mark.parametrize(
    ("masks", "names", "reason", "first"),
    [
        ([M * 4], None, "gaps: no pixel has 1, 2, 3", {0: "background", 4: "foreground"}),
        ([M * 4], NAMES, "4 is no index of the 2 classes", {0: "background", 4: "building"}),
        ([M + 1], NAMES, "2 is no index", {1: "background", 2: "building"}),
        ([M], [*NAMES, "tree"], "no pixel has 2, the index of tree", "identity"),
        ([M, M * 255], NAMES, "no mask holds both 1 and 255", None),
        (
            [np.where(M, 255, [[0, 1, 2]] * 2).astype(np.uint8)],
            [*NAMES, "a", "b"],
            "no pixel",
            None,
        ),
        ([M * 0], None, "all masks hold only 0", "identity"),
        ([np.arange(40, dtype=np.uint8).reshape(5, 8)], None, "40 values are as likely", None),
        (
            [M.astype(np.uint16) * 1000],
            None,
            "no pixel has 1, 2, 3",
            {0: "background", 1000: "foreground"},
        ),
    ],
)
def test_other_readings_are_refused(
    root: Path, masks: list[np.ndarray], names: list[str] | None, reason: str, first: Any
) -> None:
    make(root, masks * 2)
    given = {} if names is None else {"class_names": names}
    message = refuse(root, **given)
    assert reason in message
    ways = typed(message)
    assert first is None or ways[0] == {"raw_ids": first}
    for way in ways:
        assert sum(map(sum, counts(root, **given, **way))) == sum(mask.size for mask in masks) * 2


def test_several_values_and_255_are_classes_and_ignored_pixels_first(root: Path) -> None:
    make(root, [np.array([[0, 10, 20], [30, 255, 0]], np.uint8)] * 2)
    first, second, *_ = ways = typed(refuse(root))
    classes = {0: "class_0", 10: "class_1", 20: "class_2", 30: "class_3"}
    assert first == {"raw_ids": classes | {255: "ignore"}}
    assert second == {"raw_ids": classes | {255: "class_4"}}
    assert not any("0-127" in one["raw_ids"] for one in ways), "more than two values are not cut"


def test_ways_out_are_typed_as_the_command_takes_them(root: Path) -> None:
    make(root, [M * 4] * 2)
    with typed_as_flags():
        message = refuse(root)
        with pytest.raises(ConfigError, match=r"--option seeds: .*mean '--option seed'\?"):
            run(root, seeds=1)
    assert "  --option 'raw_ids={0: background, 4: foreground}'" in message
    assert "data.options" not in message


def test_identity_of_values_that_are_mostly_no_indices_is_doubted(
    root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    make(root, [np.array([[0, 10, 20], [30, 255, 0]], np.uint8)] * 2)
    run(root, raw_ids="identity")
    assert (
        "27 of 31 classes have no pixel: 1, 2, 3, 4, 5, 6, 7, 8, 9, 11 and 17 more" in caplog.text
    )
    assert "did you mean 'data.options.raw_ids={0: class_0, 10: class_1, 20: class_2" in caplog.text
    caplog.clear()
    few = root.parent / "few"
    make(few, [np.array([[0, 1, 2], [4, 255, 0]], np.uint8)] * 2)
    run(few, raw_ids="identity")
    assert "1 of 5 classes have no pixel: 3" in caplog.text
    assert "did you mean" not in caplog.text


def test_ignored_borders_are_recognised_where_all_names_have_pixels(root: Path) -> None:
    border = np.array([[0, 1, 255], [0, 1, 0]], np.uint8)
    make(root, [border] * 2)
    assert counts(root, class_names=NAMES) == [[3, 2, 1]] * 2
    assert "255 beside 2 other values" in refuse(root)
    assert counts(root, ignore_index=255) == [[3, 2, 1]] * 2


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize("void", [0, 65535])
def test_ignored_values_that_are_no_index_are_stated_in_raw_ids(
    root: Path, void: int, names: list[str] | None
) -> None:
    mask = np.where(M == 1, 1, [[2, 2, void]] * 2).astype(np.uint16)
    make(root, [mask] * 2)
    given = {} if names is None else {"class_names": names}
    message = refuse(root, ignore_index=void, **given)
    assert f"ignore_index={void} is not above the class indices 0 to " in message
    (way,) = typed(message)
    assert counts(root, **given, **way) == [[2, 2, 2]] * 2
    with pytest.raises(ConfigError, match="leave it out: raw_ids say which value is ignored"):
        run(root, ignore_index=void, **given, **way)


def test_absent_classes_are_fine_where_the_meaning_is_stated(root: Path) -> None:
    make(root, [M] * 2)
    names = [f"c{index}" for index in range(11)]
    assert counts(root, class_names=names, raw_ids="identity")[0] == [4, 2, *[0] * 9, 0]
    mapped = run(root, raw_ids={0: "road", 1: "sky", 7: "rare", "200-255": "ignore"})
    assert mapped.labels.class_names == ("road", "sky", "rare")
    assert mapped.provenance["mask_values"].startswith(
        "mask values as stated in raw_ids: 59 values"
    )


def save_jpeg(mask: np.ndarray, path: Path) -> None:
    Image.fromarray(mask).save(path.with_suffix(".jpg"))


def save_smoothed(mask: np.ndarray, path: Path) -> None:
    small = Image.fromarray(mask).resize((25, 25), Image.Resampling.BILINEAR)
    small.resize((32, 32), Image.Resampling.BILINEAR).save(path.with_suffix(".png"))


@pytest.mark.parametrize("names", [None, NAMES])
@pytest.mark.parametrize(
    ("save", "reason"), [(save_jpeg, "2 of 2 masks are JPEG"), (save_smoothed, "is not certain")]
)
def test_values_that_compression_or_smoothing_made_are_refused(
    root: Path, save: Save, reason: str, names: list[str] | None
) -> None:
    mask = np.zeros((32, 32), np.uint8)
    mask[5:21, 7:27] = 255
    make(root, [mask] * 2, save)
    given = {} if names is None else {"class_names": names}
    message = refuse(root, **given)
    assert reason in message
    # Thresholds bring the mask back.
    threshold = typed(message)[0]
    assert set(threshold["raw_ids"]) == {"0-127", "128-255"}
    background, building, ignored = counts(root, **given, **threshold)[0]
    assert (background + building, ignored) == (1024, 0)
    assert abs(building - 320) < 20


def test_only_lossless_webp_is_read(root: Path) -> None:
    make(
        root / "lossy",
        [COLOURS] * 2,
        lambda mask, path: Image.fromarray(mask).save(path.with_suffix(".webp"), quality=80),
    )
    message = refuse(root / "lossy")
    assert "2 of 2 masks are lossy WebP" in message
    assert "write the masks anew: PNG" in message
    assert typed(message) == []
    make(
        root,
        [M] * 2,
        lambda mask, path: Image.fromarray(np.repeat(mask[..., None], 3, 2)).save(
            path.with_suffix(".webp"), lossless=True
        ),
    )
    message = refuse(root)
    assert "WebP" not in message
    assert "2 of 2 masks are RGB" in message
    assert counts(root, raw_ids="identity") == [[4, 2, 0]] * 2


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA"])
def test_several_channels_are_refused_unless_stated(root: Path, mode: str) -> None:
    make(
        root,
        [M] * 2,
        lambda mask, path: Image.fromarray(mask).convert(mode).save(path.with_suffix(".png")),
    )
    message = refuse(root, class_names=NAMES)
    assert f"2 of 2 masks are {mode} (for example {root}/masks/0.png): more channels" in message
    assert "found: 0 (8 pixels in 2 masks), 1 (4 pixels in 2 masks)" in message
    for way in typed(message):
        assert counts(root, class_names=NAMES, **way) == [[4, 2, 0]] * 2
    notes = run(root, class_names=NAMES, raw_ids="identity").provenance["notes"]
    assert f"2 masks are {mode}: their one value is taken, alpha left out" in notes


def test_colours_are_listed_and_black_is_asked_for(root: Path) -> None:
    make(root, [COLOURS] * 2)
    message = refuse(root)
    assert "[0, 0, 0] (2 pixels in 2 masks), [0, 255, 0] (2 pixels in 2 masks)" in message
    as_class, as_void = typed(message)
    assert counts(root, **as_class) == [[1, 1, 4, 0]] * 2
    assert counts(root, **as_void) == [[1, 4, 1]] * 2
    options = {"mask_encoding": "colour", "palette": [[255, 0, 0], [0, 255, 0]]}
    message = refuse(root, **options, class_names=["red", "green"])
    assert "2 masks hold black [0, 0, 0], which is not in the palette" in message
    assert counts(root, **options, ignore_colour=[0, 0, 0]) == [[4, 1, 1]] * 2
    other = {"mask_encoding": "colour", "palette": [[0, 0, 0], [255, 0, 0]]}
    manifest = run(root, **other, ignore_colour=[0, 255, 0])
    assert manifest.table["class_pixels"][0] == [1, 4, 1]
    assert Manifest.read(root / "out").labels == manifest.labels
    with pytest.raises(ConfigError, match="mask_encoding=colour needs a palette"):
        run(root, mask_encoding="colour")


def test_palette_images_that_number_colours_differently_are_refused(root: Path) -> None:
    def save(mask: np.ndarray, path: Path) -> None:
        image = Image.fromarray(mask).convert("P")
        image.putdata(mask.reshape(-1).tolist())
        red, green = (255, 0, 0), (0, 255, 0)
        order = (red, green) if path.name == "0" else (green, red)
        image.putpalette([*order[0], *order[1]])
        image.save(path.with_suffix(".png"))

    make(root, [M, M], save)
    message = refuse(root, class_names=NAMES)
    assert "index 0 is painted [255, 0, 0] in 0.png and [0, 255, 0] in 1.png" in message


def test_binary_is_held_against_the_masks(root: Path) -> None:
    make(root, [M, M * 255])
    message = refuse(root, binary=True)
    assert "the masks hold both 1 and 255" in message
    assert {"raw_ids": {0: "background", 1: "foreground", 255: "foreground"}} in typed(message)
    with pytest.raises(ConfigError, match="goes with two class_names, got 3"):
        run(root, binary=True, class_names=["a", "b", "c"])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int64])
def test_masks_may_be_arrays(root: Path, dtype: type) -> None:
    make(root, [M] * 2, lambda mask, path: np.save(path, mask.astype(dtype)))
    assert counts(root) == [[4, 2, 0]] * 2
    np.save(root / "masks" / "0", M * 9)
    with pytest.raises(DataError, match=r"0\.npy: unknown mask values 9; known are"):
        run(root, class_names=NAMES, raw_ids="identity")
    np.save(root / "masks" / "0", M * 0.5)
    with pytest.raises(DataError, match=r"0\.npy: a mask of float64 .* expected integers"):
        run(root, class_names=NAMES, raw_ids="identity")


def test_one_bit_binary_masks(root: Path) -> None:
    make(
        root,
        [M * 255] * 2,
        lambda mask, path: Image.fromarray(mask).convert("1").save(path.with_suffix(".png")),
    )
    assert counts(root) == [[4, 2, 0]] * 2
    manifest = run(root, binary=True, class_names=["skin", "lesion"])
    assert manifest.labels.class_names == ("skin", "lesion")


def test_masks_that_tell_nothing_are_named(root: Path) -> None:
    make(root, [M, M])
    for path in (root / "masks").iterdir():
        path.write_bytes(b"text")
    with pytest.raises(DataError, match=r"2 of 2 cannot be read, for example .*/masks/0\.png: not"):
        run(root)
    make(root / "void", [M * 0 + 255] * 2)
    with pytest.raises(DataError, match=r"all hold 255 \(12 pixels in 2 masks\) alone"):
        run(root / "void", raw_ids="identity")


def test_mistakes_in_raw_ids_are_all_named(root: Path) -> None:
    make(root, [M])
    wrong = {"x": 0, "0-9": 0, 5: 1, 7: "bulding"}
    with pytest.raises(ConfigError) as caught:
        run(root, raw_ids=wrong, class_names=NAMES)
    assert [problem.partition(": ")[2][:39] for problem in caught.value.problems] == [
        "expected a value such as 255, or 0-127,",
        "5 says value 5 anew or backwards",
        "no class is called 'bulding' (did you m",
    ]
    with pytest.raises(ConfigError, match=r"got 'road': the value comes first, \{10: road\}"):
        run(root, raw_ids={"road": 10, "building": 20})
    with pytest.raises(ConfigError, match=r"put a space after the colon, \{0: other\}"):
        run(root, raw_ids={"0:other": "", 1: "x"})
    with pytest.raises(
        ConfigError, match=r"raw_ids\.11: expected a whole number .* or text, got true"
    ):
        run(root, raw_ids={11: True}, class_names=NAMES)
    with pytest.raises(ConfigError, match=r"got 'identical' \(did you mean 'identity'\?\)"):
        run(root, raw_ids="identical")
    with pytest.raises(ConfigError, match="gives class indices and names"):
        run(root, raw_ids={0: 0, 1: "building"})


def test_names_in_composed_and_decomposed_form_are_one(root: Path) -> None:
    make(root, [M] * 2)
    with pytest.raises(LabelError, match="unique, repeated: Stra\u00dfe\u00e9"):
        run(root, class_names=["Stra\u00dfee\u0301", "Stra\u00dfe\u00e9"])
    manifest = run(root, class_names=["e\u0301", "b"], raw_ids={0: "\u00e9", 1: "b"})
    assert manifest.labels.class_names == ("\u00e9", "b")
    for wrong, shown in ((False, "false"), (None, "null"), (1000.0, "1000.0")):
        with pytest.raises(ConfigError, match=rf"class_names\[0\]: expected text, got {shown}"):
            run(root, class_names=[wrong, "b"])


def test_published_data_sets_in_lossy_files_are_refused(tmp_path: Path) -> None:
    for folder in ("images/training", "annotations/training"):
        (tmp_path / folder).mkdir(parents=True)
    Image.fromarray(COLOURS).save(tmp_path / "images/training/a.jpg")
    # Named as a PNG, but not one.
    Image.fromarray(M).save(tmp_path / "annotations/training/a.png", format="JPEG")
    with pytest.raises(LabelError, match=r"(?s)1 of 1 masks are JPEG.*take the masks as they were"):
        import_dataset("ade20k", tmp_path, tmp_path / "out", "ade")
