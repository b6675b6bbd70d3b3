"""Every kind of image and mask file, written by the test and compared with the pixels put in."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import DataError, DataNotFoundError, LabelError, ShapeError
from seglab.core.labels import LabelSpace
from seglab.data.files import images as images_module
from seglab.data.files.images import image_size, orientation, read_image
from seglab.data.files.masks import decode_raw_mask, read_mask

LABELS = LabelSpace(("a", "b", "c"), ((255, 0, 0), (0, 255, 0), (0, 0, 255)))
RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)
GREY = RGB[..., 0]
DEEP = np.random.default_rng(1).integers(0, 65536, (4, 6, 3)).astype(np.uint16)
MASK = np.array([[0, 1, 2, 255, 1, 0], [2, 2, 1, 0, 0, 255]], dtype=np.uint8)


def to_eight_bits(pixels: np.ndarray) -> np.ndarray:
    return np.round(pixels.astype(np.float64) / 257).astype(np.uint8)


def write_png(path: Path, rows: list[bytes], width: int, depth: int, kind: int) -> None:
    """Write a PNG by hand, for the bit depths no library writes."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
        )

    header = struct.pack(">IIBBBBB", width, len(rows), depth, kind, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(48))) if kind == 3 else b""
    body = zlib.compress(b"".join(b"\0" + row for row in rows))
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + palette
        + chunk(b"IDAT", body)
        + chunk(b"IEND", b"")
    )


def deep_tiff(pixels: np.ndarray, turned: int) -> bytes:
    """Return an uncompressed 16-bit RGB TIFF with an orientation tag."""
    height, width, channels = pixels.shape
    data = pixels.astype("<u2").tobytes()
    bits = struct.pack("<3H", 16, 16, 16)
    after = 8 + 2 + 12 * 10 + 4
    tags = [
        (256, 3, 1, width),
        (257, 3, 1, height),
        (258, 3, channels, after),
        (259, 3, 1, 1),
        (262, 3, 1, 2),
        (273, 4, 1, after + len(bits)),
        (274, 3, 1, turned),
        (277, 3, 1, channels),
        (278, 3, 1, height),
        (279, 4, 1, len(data)),
    ]
    entries = b"".join(
        struct.pack("<HHI", tag, kind, count)
        + (struct.pack("<I", value) if kind == 4 or count > 2 else struct.pack("<HH", value, 0))
        for tag, kind, count, value in tags
    )
    head = b"II*\0" + struct.pack("<I", 8) + struct.pack("<H", len(tags))
    return head + entries + struct.pack("<I", 0) + bits + data


def upright(pixels: np.ndarray, turned: int) -> np.ndarray:
    """Apply an EXIF orientation from its definition: where row 0 and column 0 of the file lie."""
    moves = {
        1: lambda a: a,
        2: np.fliplr,
        3: lambda a: np.rot90(a, 2),
        4: np.flipud,
        5: lambda a: a.swapaxes(0, 1),
        6: lambda a: np.rot90(a, -1),
        7: lambda a: np.rot90(a, 2).swapaxes(0, 1),
        8: np.rot90,
    }
    return moves[turned](pixels)


def test_rgb_and_alpha_are_read_as_stored(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(RGB).save(path)
    image = read_image(path)
    assert (image.dtype, image.flags.writeable) == (np.uint8, True)
    np.testing.assert_array_equal(image, RGB)
    alpha = np.dstack([RGB, np.zeros((4, 6), np.uint8)])
    Image.fromarray(alpha).save(path)
    np.testing.assert_array_equal(read_image(path), RGB)


@pytest.mark.parametrize("suffix", ["png", "tif", "bmp"])
def test_grey_is_repeated_over_three_channels(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    Image.fromarray(GREY).save(path)
    np.testing.assert_array_equal(read_image(path), np.dstack([GREY] * 3))
    np.testing.assert_array_equal(read_image(path, channels=1), GREY)


def test_grey_with_alpha_drops_alpha(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.merge("LA", [Image.fromarray(GREY), Image.new("L", (6, 4), 7)]).save(path)
    np.testing.assert_array_equal(read_image(path, channels=1), GREY)


def test_palette_image_gives_its_colours(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    image = Image.fromarray(np.array([[0, 1], [1, 0]], np.uint8))
    image = image.convert("P")
    image.putpalette([10, 20, 30, 200, 100, 50])
    image.save(path, transparency=0)
    expected = np.array([[10, 20, 30], [200, 100, 50]], np.uint8)
    np.testing.assert_array_equal(read_image(path), expected[[[0, 1], [1, 0]]])


def test_one_bit_image_is_black_and_white(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(np.array([[0, 255], [255, 0]], np.uint8)).convert("1").save(path)
    assert read_image(path, channels=1).tolist() == [[0, 255], [255, 0]]


def test_cmyk_jpeg_becomes_rgb(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.new("RGB", (16, 16), (200, 60, 20)).convert("CMYK").save(path, quality=100)
    image = read_image(path)
    assert image.shape == (16, 16, 3)
    assert np.abs(image.astype(int) - (200, 60, 20)).max() <= 4


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_sixteen_bit_grey_is_divided_by_257(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"x.{suffix}"
    deep = np.array([[0, 128, 129, 256, 257, 65535]], np.uint16)
    cv2.imwrite(str(path), deep)
    assert read_image(path, channels=1).tolist() == [[0, 0, 1, 1, 1, 255]]


@pytest.mark.parametrize("suffix", ["png", "tif"])
@pytest.mark.parametrize("alpha", [False, True])
def test_sixteen_bit_colour_is_rounded_not_cut(tmp_path: Path, suffix: str, alpha: bool) -> None:
    path = tmp_path / f"x.{suffix}"
    extra = [np.full((4, 6), 999, np.uint16)] if alpha else []
    cv2.imwrite(str(path), np.dstack([DEEP[..., ::-1], *extra]))
    np.testing.assert_array_equal(read_image(path), to_eight_bits(DEEP))
    assert read_image(path, channels=1).shape == (4, 6)


@pytest.mark.parametrize("turned", range(1, 9))
def test_exif_orientation_is_applied_to_images_and_masks(tmp_path: Path, turned: int) -> None:
    exif = Image.Exif()
    exif[274] = turned
    path, mask_path = tmp_path / "x.png", tmp_path / "m.png"
    Image.fromarray(RGB).save(path, exif=exif)
    Image.fromarray(MASK).save(mask_path, exif=exif)
    np.testing.assert_array_equal(read_image(path), upright(RGB, turned))
    np.testing.assert_array_equal(read_mask(mask_path, LABELS), upright(MASK, turned))
    assert image_size(path) == upright(RGB, turned).shape[:2]
    assert orientation(path.read_bytes(), path) == turned


@pytest.mark.parametrize("turned", range(1, 9))
def test_orientation_of_sixteen_bit_tiff_is_applied_once(tmp_path: Path, turned: int) -> None:
    path = tmp_path / "x.tif"
    path.write_bytes(deep_tiff(DEEP, turned))
    np.testing.assert_array_equal(read_image(path), upright(to_eight_bits(DEEP), turned))
    assert image_size(path) == upright(DEEP, turned).shape[:2]


def test_image_size_of_jpeg_with_orientation(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[274] = 6
    path = tmp_path / "x.jpg"
    Image.fromarray(RGB).save(path, exif=exif)
    assert image_size(path) == (6, 4)
    assert read_image(path).shape == (6, 4, 3)


@pytest.mark.parametrize("suffix", ["gif", "png", "tif"])
def test_several_frames_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"many.{suffix}"
    frames = [Image.fromarray(GREY // (index + 1)) for index in range(3)]
    frames[0].save(path, save_all=True, append_images=frames[1:])
    with pytest.raises(DataError, match=rf"many\.{suffix}: .* with 3 frames or pages"):
        read_image(path)
    with pytest.raises(DataError, match="3 frames or pages"):
        read_mask(path, LABELS)


def test_first_picture_of_a_phone_jpeg_counts(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    first, second = Image.new("RGB", (8, 8), (250, 0, 0)), Image.new("RGB", (8, 8), (0, 250, 0))
    first.save(path, format="MPO", save_all=True, append_images=[second])
    assert read_image(path)[0, 0, 0] > 240


@pytest.mark.parametrize(("mode", "dtype"), [("F", np.float32), ("I", np.int32)])
def test_pixels_without_range_are_refused(tmp_path: Path, mode: str, dtype: type) -> None:
    path = tmp_path / "x.tif"
    Image.fromarray(GREY.astype(dtype)).save(path)
    with pytest.raises(DataError, match=f"x.tif: holds 1 band of {np.dtype(dtype).name}"):
        read_image(path)


def test_float_colour_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.tif"
    cv2.imwrite(str(path), RGB.astype(np.float32))
    with pytest.raises(DataError, match=r"x\.tif"):
        read_image(path)


@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_truncated_files_are_named(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"half.{suffix}"
    noise = np.random.default_rng(2).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    Image.fromarray(noise).save(path)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=rf"half\.{suffix}: "):
        read_image(path)


def test_truncated_sixteen_bit_colour_is_named(tmp_path: Path) -> None:
    path = tmp_path / "half.png"
    cv2.imwrite(
        str(path), np.random.default_rng(3).integers(0, 65536, (64, 64, 3)).astype(np.uint16)
    )
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    with pytest.raises(DataError, match=r"half\.png: corrupt or truncated"):
        read_image(path)


def test_what_is_no_image_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    for content in (b"", b"hello", b"\x89PNG\r\n\x1a\n"):
        path.write_bytes(content)
        with pytest.raises(DataError, match=r"x\.png: "):
            read_image(path)
    with pytest.raises(DataNotFoundError, match=r"gone\.png: no such file"):
        read_image(tmp_path / "gone.png")
    with pytest.raises(DataNotFoundError, match=r"gone\.png: no such file"):
        image_size(tmp_path / "gone.png")


def test_decompression_bomb_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "big.png"
    Image.fromarray(RGB).save(path)
    monkeypatch.setattr(images_module.Image, "MAX_IMAGE_PIXELS", 5)
    with pytest.raises(DataError, match=r"(?s)big\.png: .*24 pixels.*MAX_IMAGE_PIXELS"):
        read_image(path)


def test_channels_must_be_one_or_three(tmp_path: Path) -> None:
    path = tmp_path / "x.png"
    Image.fromarray(RGB).save(path)
    with pytest.raises(ShapeError, match="channels must be 1 or 3, got 4"):
        read_image(path, channels=4)


def test_mask_kinds_hold_the_same_indices(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    as_palette = Image.fromarray(MASK).convert("P")
    # A palette whose colours would mislead whoever reads it through RGB.
    as_palette.putpalette([255 - index // 3 for index in range(768)])
    kinds = [
        Image.fromarray(MASK),
        as_palette,
        Image.fromarray(np.dstack([MASK] * 3)),
        Image.fromarray(np.dstack([MASK] * 3 + [np.full_like(MASK, 9)])),
        Image.fromarray(MASK.astype(np.uint16)),
        Image.merge("LA", [Image.fromarray(MASK), Image.new("L", (6, 2), 7)]),
    ]
    for kind in kinds:
        kind.save(path)
        mask = read_mask(path, LABELS)
        assert mask.dtype == np.uint8, kind.mode
        np.testing.assert_array_equal(mask, MASK, err_msg=kind.mode)


@pytest.mark.parametrize("kind", [0, 3])
def test_few_bit_masks_keep_their_stored_values(tmp_path: Path, kind: int) -> None:
    path = tmp_path / "m.png"
    write_png(path, [bytes([0x12, 0x02]), bytes([0x21, 0x10])], width=4, depth=4, kind=kind)
    assert read_mask(path, LABELS).tolist() == [[1, 2, 0, 2], [2, 1, 1, 0]]
    write_png(path, [bytes([0b00011000])], width=4, depth=2, kind=kind)
    assert read_mask(path, LABELS).tolist() == [[0, 1, 2, 0]]
    write_png(path, [bytes([0b01100000])], width=4, depth=1, kind=kind)
    assert read_mask(path, LABELS).tolist() == [[0, 1, 1, 0]]


def test_sixteen_bit_masks_reach_ids_beyond_255(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    raw = np.array([[7, 1000], [40000, 7]], np.uint16)
    labels = LabelSpace(("a", "b"), raw_ids={7: 0, 1000: 1, 40000: 255})
    Image.fromarray(raw).save(path)
    assert read_mask(path, labels).tolist() == [[0, 1], [255, 0]]
    cv2.imwrite(str(path), np.dstack([raw] * 3))
    assert read_mask(path, labels).tolist() == [[0, 1], [255, 0]]


def test_unknown_mask_values_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(np.array([[0, 7, 9]], np.uint8)).save(path)
    with pytest.raises(LabelError, match=r"m\.png: unknown mask values 7, 9"):
        read_mask(path, LABELS)


def test_lossy_mask_is_explained(tmp_path: Path) -> None:
    path = tmp_path / "m.jpg"
    Image.fromarray(np.kron(MASK, np.ones((5, 7), np.uint8))).save(path, quality=30)
    with pytest.raises(LabelError, match="JPEG compression invents values; save masks as PNG"):
        read_mask(path, LABELS)


def test_colours_in_an_index_mask_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(RGB).save(path)
    with pytest.raises(DataError, match=r"m\.png: holds colours where class indices were expected"):
        read_mask(path, LABELS)
    Image.fromarray(GREY.astype(np.float32)).save(tmp_path / "m.tif")
    with pytest.raises(DataError, match="mode F holds no class indices"):
        read_mask(tmp_path / "m.tif", LABELS)


@pytest.mark.parametrize("kind", ["RGB", "RGBA", "P"])
def test_colour_mask_is_looked_up_and_black_is_ignored(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.png"
    colours = LABELS.colourise(MASK)
    assert colours[0, 3].tolist() == [0, 0, 0]
    image = Image.fromarray(colours)
    image = image.quantize(8) if kind == "P" else image.convert(kind)
    image.save(path)
    np.testing.assert_array_equal(read_mask(path, LABELS, "colour"), MASK)


def test_black_may_be_a_class(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(np.array([[[0, 0, 0], [9, 9, 9]]], np.uint8)).save(path)
    labels = LabelSpace(("night", "fog"), ((0, 0, 0), (9, 9, 9)))
    assert read_mask(path, labels, "colour").tolist() == [[0, 1]]


def test_unknown_and_repeated_colours_are_named(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    Image.fromarray(np.array([[[255, 0, 0], [1, 2, 3]]], np.uint8)).save(path)
    with pytest.raises(LabelError, match=r"m\.png: unknown mask colours \(1, 2, 3\)"):
        read_mask(path, LABELS, "colour")
    twice = LabelSpace(("a", "b"), ((255, 0, 0), (255, 0, 0)))
    with pytest.raises(LabelError, match="palette repeats a colour"):
        read_mask(path, twice, "colour")
    with pytest.raises(DataError, match="must be 'index' or 'colour', got 'rgb'"):
        read_mask(path, LABELS, "rgb")


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is text and begins with 'version"),
        ("\u00e9".encode() * 30, "it is text and begins with '\u00e9"),
        (b"\x00\x01\x02\xff" * 9, "it begins with the bytes 00 01 02 ff"),
    ],
)
def test_what_is_no_image_is_told_by_its_first_bytes(
    tmp_path: Path, content: bytes, told: str
) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(content)
    for read in (read_image, image_size, decode_of_mask):
        with pytest.raises(DataError) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ")
        assert told in str(caught.value)


def decode_of_mask(path: Path) -> None:
    decode_raw_mask(path.read_bytes(), path)
