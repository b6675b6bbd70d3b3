"""Bands are read as they are stored, whatever wrote the file, and known by the training part alone."""

from __future__ import annotations

import itertools
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from seglab.core.bands import Bands, picture_of
from seglab.core.errors import ConfigError, DataError
from seglab.core.labels import LabelSpace
from seglab.data.bands.decode import decode_bands, select_bands
from seglab.data.bands.statistics import choose_bands, fit_bands, layout_of
from seglab.data.build import ImportedFiles, SampleFiles, build_manifest
from seglab.data.description.describe import describe, format_description
from seglab.data.files.image_files import IMAGE_SUFFIXES
from seglab.data.files.images import image_size, orientation, read_image
from seglab.data.importers import import_dataset
from seglab.data.loading.cache import PackedCache
from seglab.data.manifest import Manifest
from tests.multiband import draw, write_dataset, write_tiff


def _read(path: Path) -> np.ndarray:
    return decode_bands(path.read_bytes(), path)


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    options = {"class_names": ["ground", "disc"]}
    root = write_dataset(tmp_path / "data", 6)
    return import_dataset("folder", root, tmp_path / "manifest", "tiles", options)


@pytest.mark.parametrize(
    ("dtype", "count", "one_by_one"),
    [
        *itertools.product(["uint8", "uint16", "float32"], [2, 5, 16], [False, True]),
        ("float32", 1, False),
    ],
)
def test_tiff_gives_the_values_that_were_written(
    tmp_path: Path, dtype: str, count: int, one_by_one: bool
) -> None:
    image = np.arange(7 * 9 * count).reshape(7, 9, count).astype(dtype) * 3
    write_tiff(tmp_path / "x.tif", image, one_by_one=one_by_one)
    found = _read(tmp_path / "x.tif")
    assert found.dtype == dtype
    assert np.array_equal(found, image)
    assert (
        select_bands(found, [count, 1], Path("x"))[3, 4].tolist() == image[3, 4, [-1, 0]].tolist()
    )


@pytest.mark.parametrize(("dtype", "compression"), [("uint16", 5), ("uint8", 8), ("float32", 5)])
def test_files_of_another_writer(tmp_path: Path, dtype: str, compression: int) -> None:
    # OpenCV writes its LZW and deflate files with the horizontal predictor.
    image = np.random.default_rng(0).integers(0, 255, (40, 30, 3)).astype(dtype)
    path = tmp_path / "x.tiff"
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, compression])
    assert np.array_equal(_read(path), image)


def test_arrays_are_read_and_never_unpickled(tmp_path: Path) -> None:
    image = draw(0, 4)[0]
    np.save(tmp_path / "x.npy", image)
    assert np.array_equal(_read(tmp_path / "x.npy"), image)
    np.save(tmp_path / "rgb.npy", image[..., :3].astype(np.uint8))
    assert read_image(tmp_path / "rgb.npy").shape == (64, 64, 3)
    assert ".npy" in IMAGE_SUFFIXES
    np.save(tmp_path / "objects.npy", np.array([[{}]]), allow_pickle=True)
    np.save(tmp_path / "first.npy", np.zeros((5, 64, 80)))
    for name, text in (("objects", "allow_pickle=False"), ("first", "np.moveaxis")):
        with pytest.raises(DataError, match=f"{name}.npy: .*{text}"):
            _read(tmp_path / f"{name}.npy")


def test_colours_are_bands_too_where_bands_are_asked_for(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 65535, (6, 5, 4), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), pixels[..., [2, 1, 0, 3]])
    assert np.array_equal(_read(tmp_path / "deep.png"), pixels)
    eight = (pixels >> 8).astype(np.uint8)
    Image.fromarray(eight).save(tmp_path / "eight.png")
    assert np.array_equal(_read(tmp_path / "eight.png"), eight)
    Image.fromarray(eight[..., 0]).save(tmp_path / "grey.jpg")
    assert _read(tmp_path / "grey.jpg").shape == (6, 5, 1)
    with pytest.raises(DataError, match=r"grey.jpg: has 1 band, and data.bands asks for band 4"):
        select_bands(_read(tmp_path / "grey.jpg"), [1, 4], tmp_path / "grey.jpg")


def test_fourth_band_is_not_dropped_as_if_it_were_alpha(tmp_path: Path) -> None:
    write_tiff(tmp_path / "x.tif", draw(0, 4, dtype="uint8")[0])
    with pytest.raises(DataError, match=r"x.tif: holds 4 bands of uint8, where RGB or grey"):
        read_image(tmp_path / "x.tif")


def test_faulty_files_are_named(tmp_path: Path) -> None:
    image = draw(0)[0]
    write_tiff(tmp_path / "cut.tif", image)
    (tmp_path / "cut.tif").write_bytes((tmp_path / "cut.tif").read_bytes()[:-40])
    holes = image.astype(np.float32)
    holes[3, 4, 1] = np.nan
    write_tiff(tmp_path / "nan.tif", holes)
    write_tiff(tmp_path / "wide.tif", image.astype(np.uint32))
    pages = [Image.fromarray(image[..., 0].astype(np.float32)) for _ in range(2)]
    pages[0].save(tmp_path / "pages.tif", save_all=True, append_images=pages[1:])
    for name, text in (
        ("cut", "corrupt or truncated"),
        ("nan", "1 values are NaN or infinite"),
        ("wide", "bands of uint32; expected uint8"),
        ("pages", "TIFF with 2 pages"),
    ):
        with pytest.raises(DataError, match=f"{name}.tif: .*{text}"):
            _read(tmp_path / f"{name}.tif")


def test_orientation_of_a_tiff_of_bands_is_applied(tmp_path: Path) -> None:
    image = np.arange(6, dtype=np.float32).reshape(2, 3)
    Image.fromarray(image).save(tmp_path / "x.tif", tiffinfo={274: 6})
    assert _read(tmp_path / "x.tif")[..., 0].tolist() == [[3, 0], [4, 1], [5, 2]]
    assert orientation((tmp_path / "x.tif").read_bytes(), tmp_path / "x.tif") == 6
    assert image_size(tmp_path / "x.tif") == (3, 2)


def test_import_says_what_bands_there_are(manifest: Manifest) -> None:
    assert str(layout_of(manifest)) == "5 bands of uint16"
    assert manifest.table["height"].tolist() == [64] * 6
    assert manifest.table["phash"].nunique() > 1
    assert "5 bands of uint16, numbered from 1" in format_description(describe(manifest))
    assert layout_of(Manifest.read(manifest.root.parent / "manifest")) == layout_of(manifest)


def test_other_numbers_of_bands_in_a_data_set_are_refused_by_name(tmp_path: Path) -> None:
    root = write_dataset(tmp_path, 4)
    write_tiff(root / "images" / "tile_02.tif", draw(2, 4)[0])
    with pytest.raises(
        DataError, match=r"tile_02.tif: 4 bands of uint16, most images 5 bands of uint16"
    ):
        import_dataset("folder", root, tmp_path / "manifest", "tiles", {})


@pytest.mark.parametrize(
    ("wanted", "expected"), [(None, (1, 2, 3, 4, 5)), ([4, 3, 2], (4, 3, 2)), ([5], (5,))]
)
def test_cache_keeps_the_chosen_bands_at_their_depth(
    manifest: Manifest, tmp_path: Path, wanted: list[int] | None, expected: tuple[int, ...]
) -> None:
    numbers = choose_bands(wanted, manifest)
    assert numbers == expected
    cache = PackedCache.open(manifest, tmp_path / "cache", bands=numbers)
    assert (cache.dtype, cache.channels, cache.bands) == (np.uint16, len(expected), expected)
    stored = draw(3)[0]
    assert np.array_equal(cache.image(3), stored[..., [number - 1 for number in expected]])
    # A cache of its own, whatever else was cached before.
    assert cache.folder != PackedCache.open(manifest, tmp_path / "cache", bands=(1, 2)).folder


def test_working_size_averages_all_bands(manifest: Manifest, tmp_path: Path) -> None:
    cache = PackedCache.open(manifest, tmp_path / "cache", (32, 16), bands=(1, 2, 3, 4, 5))
    averaged = draw(0)[0].reshape(32, 2, 16, 4, 5).mean(axis=(1, 3))
    assert np.abs(cache.image(0).astype(float) - averaged).max() <= 0.5


def test_bands_that_are_not_there_are_refused(manifest: Manifest) -> None:
    with pytest.raises(ConfigError, match="5 bands of uint16, numbered from 1; there is no band 7"):
        choose_bands([1, 7], manifest)


def test_types_that_differ_are_refused_by_name(tmp_path: Path) -> None:
    Image.fromarray(np.zeros((4, 4, 3), np.uint8)).save(tmp_path / "a.png")
    cv2.imwrite(str(tmp_path / "b.png"), np.zeros((4, 4, 3), np.uint16))
    labels = LabelSpace(("ground", "disc"))
    samples = [SampleFiles(name, Path(f"{name}.png"), None, "unlabeled", name) for name in "ab"]
    manifest = build_manifest(ImportedFiles(samples, labels), tmp_path, "mixed", {})
    with pytest.raises(DataError, match=r"b.png: holds uint16, the images before it uint8"):
        PackedCache.open(manifest, tmp_path / "cache", bands=(1, 2, 3))


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32"])
def test_statistics_are_those_of_all_training_pixels(tmp_path: Path, dtype: str) -> None:
    options = {"class_names": ["ground", "disc"]}
    root = write_dataset(tmp_path / "data", 4, count=4, dtype=dtype)
    manifest = import_dataset("folder", root, tmp_path / "m", "tiles", options)
    cache = PackedCache.open(manifest, tmp_path / "cache", bands=(4, 1))
    bands = fit_bands(cache, [0, 2], (4, 1))
    pixels = np.concatenate([draw(i, 4, dtype=dtype)[0].reshape(-1, 4)[:, [3, 0]] for i in (0, 2)])
    pixels = pixels.astype(np.float64)
    assert (bands.dtype, bands.numbers, bands.display) == (dtype, (4, 1), (4, 4, 4))
    np.testing.assert_allclose(bands.mean, pixels.mean(0), rtol=1e-6)
    np.testing.assert_allclose(bands.std, pixels.std(0), rtol=1e-5)
    np.testing.assert_allclose((bands.low, bands.high), np.percentile(pixels, (2, 98), 0), atol=1)
    assert Bands.from_dict(bands.to_dict()) == bands


def test_constant_band_can_still_be_divided_by_its_deviation(tmp_path: Path) -> None:
    class Flat:
        dtype = np.dtype(np.uint16)

        def image(self, row: int) -> np.ndarray:
            return np.full((4, 4, 2), [7, 9], np.uint16)

    bands = fit_bands(Flat(), [0], (1, 2))
    assert (bands.mean, bands.std, bands.low, bands.high) == ((7, 9), (1, 1), (7, 9), (8, 10))


def test_picture_shows_the_display_bands_stretched() -> None:
    bands = Bands(
        (4, 3, 2),
        "uint16",
        (0.0,) * 3,
        (1.0,) * 3,
        (100.0, 0.0, 50.0),
        (300.0, 1000.0, 60.0),
        (2, 3, 4),
    )
    image = np.array([[[100, 500, 60], [400, 0, 50]]], np.uint16)
    assert picture_of(image, bands).tolist() == [[[255, 128, 0], [0, 0, 255]]]
    assert "pictures show bands 2, 3, 4 as red, green, blue" in bands.sentence()
