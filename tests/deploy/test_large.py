"""Images in bands give what the loader gives for the whole, and keep their place on Earth."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from seglab.bundle.loader import load
from seglab.core.disk.mask_png import write_mask_rows
from seglab.deploy.predict.large import bands, pixels
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.outputs import entropy
from seglab.deploy.predict.run import predict_files
from tests.bundle.tiny import PALETTE, tiny_weights, write_tiny_bundle

rasterio = pytest.importorskip("rasterio")
_RNG = np.random.default_rng(11)
IMAGE = _RNG.integers(0, 256, (41, 67, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    "changes",
    [
        {"predict": {"window": [16, 12], "overlap": 0.4}},
        {"predict": {"window": [16, 12], "flips": ["h", "v", "hv"], "scales": [0.7, 1.0, 1.3]}},
        {"predict": {"window": [50, 12]}, "input": {"size_divisor": 8, "min_size": 24}},
        {"predict": {"window": [8, 90], "flips": ["v"]}, "temperature": 1.7},
        {"input": {"image_size": [20, 30]}},
        {"input": {"image_size": [60, 30]}, "predict": {"window": [16, 12]}},
    ],
    ids=str,
)
def test_bands_give_what_the_whole_gives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]
) -> None:
    monkeypatch.setattr(bands, "_MOST_HELD", 3 * 2.5 * 30 * 40)
    monkeypatch.setattr(bands, "_MOST_BAND", 3 * 30 * 7)
    monkeypatch.setattr(pixels, "_STRIP_BYTES", 67 * 3 * 5)
    folder = write_tiny_bundle(tmp_path / "b", tiny_weights(kernel=5), golden=False, **changes)
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    given = {"bundle": str(folder), "input": str(tmp_path / "a.png"), "threads": 1}
    written = {"overlays": True, "probabilities": True, "entropy": True}

    found = predict_files(
        PredictFilesOptions(**given, **written, output=str(tmp_path / "out"), whole_pixels=1000)
    )

    assert found.faults == {}
    wanted = load(folder).predict(IMAGE)
    kept = np.load(found.output / "probabilities" / "a.npy")
    np.testing.assert_allclose(kept, wanted.probabilities, atol=1e-3)
    with Image.open(found.output / "masks" / "a.png") as mask:
        assert (mask.mode, (mask.getpalette() or [])[3:6]) == ("P", list(PALETTE[1]))
        np.testing.assert_array_equal(np.array(mask), wanted.mask)
    with Image.open(found.output / "entropy" / "a.png") as unsure:
        off = np.abs(np.array(unsure).astype(int) - entropy(wanted.probabilities))
        assert off.max() <= 1
    assert (found.output / "overlays" / "a.jpg").is_file()
    assert not list((found.output / "done").glob("large*"))


def test_without_windows_of_the_bundle_those_of_the_options_are_taken(tmp_path: Path) -> None:
    weights = tiny_weights(kernel=5)
    folder = write_tiny_bundle(tmp_path / "b", weights, golden=False)
    windowed = write_tiny_bundle(
        tmp_path / "w", weights, golden=False, predict={"window": [24, 32]}
    )
    Image.fromarray(IMAGE).save(tmp_path / "a.png")
    found = predict_files(
        PredictFilesOptions(
            bundle=str(folder),
            input=str(tmp_path / "a.png"),
            output=str(tmp_path / "out"),
            whole_pixels=1000,
            window=(24, 32),
        )
    )
    with Image.open(found.output / "masks" / "a.png") as mask:
        np.testing.assert_array_equal(np.array(mask), load(windowed).predict(IMAGE).mask)
    assert found.notes[0].startswith(
        "1 image of more than whole_pixels=1000 went by windows of 24 x"
    )


@pytest.mark.parametrize(
    "kind", ["jpeg turned", "tiff turned", "grey", "grey 16", "palette", "npy"]
)
@pytest.mark.parametrize("channels", [3, 1])
def test_spooled_pixels_are_those_of_the_loader(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, channels: int
) -> None:
    monkeypatch.setattr(pixels, "_BY_LOADER", 0)
    image, path = Image.fromarray(IMAGE), tmp_path / "a.png"
    if kind == "jpeg turned":
        exif = Image.Exif()
        exif[274] = 6
        path = tmp_path / "a.jpg"
        image.save(path, exif=exif.tobytes(), subsampling=0)
    elif kind == "tiff turned":
        path = tmp_path / "a.tif"
        image.save(path, tiffinfo={274: 8})
    elif kind == "grey":
        image.convert("L").save(path)
    elif kind == "grey 16":
        Image.fromarray(IMAGE[..., 0].astype(np.uint16) * 250).save(path)
    elif kind == "palette":
        image.quantize(16).save(path)
    else:
        path = tmp_path / "a.npy"
        np.save(path, IMAGE[..., :channels])
    bundle = load(write_tiny_bundle(tmp_path / "b", golden=False, input={"channels": channels}))
    source = pixels.Source("a", path)
    found = pixels.spool(source, bundle, tmp_path)
    wanted = bundle.decode(path.read_bytes())
    off = np.abs(found.part(slice(None), slice(None)).astype(int) - wanted)
    assert off.max() <= (kind == "jpeg turned")


def test_rows_of_a_png(tmp_path: Path) -> None:
    mask = _RNG.integers(0, 256, (23, 17), dtype=np.uint8)
    write_mask_rows(tmp_path / "m.png", (mask[:9], mask[9:]), (23, 17), PALETTE)
    with Image.open(tmp_path / "m.png") as kept:
        np.testing.assert_array_equal(np.array(kept), mask)


@pytest.mark.parametrize("whole_pixels", [10_000, 1000])
@pytest.mark.parametrize("numbers", [None, [4, 1, 2]])
def test_a_geotiff_keeps_its_place(
    tmp_path: Path, whole_pixels: int, numbers: list[int] | None
) -> None:
    transform = rasterio.Affine(0.5, 0, 300_000, 0, -0.5, 5_700_000)
    stored = _RNG.integers(0, 256, (3 if numbers is None else 4, 41, 67), dtype=np.uint8)
    profile = {"driver": "GTiff", "count": len(stored), "height": 41, "width": 67}
    profile |= {"dtype": "uint8", "crs": "EPSG:32633", "transform": transform}
    with rasterio.open(tmp_path / "city.tif", "w", **profile) as raster:
        raster.write(stored)
    folder = write_tiny_bundle(
        tmp_path / "b", golden=False, predict={"window": [24, 32]}, input={"bands": numbers}
    )
    given = {"bundle": str(folder), "input": str(tmp_path / "city.tif"), "areas": "parquet"}
    found = predict_files(
        PredictFilesOptions(
            **given,
            output=str(tmp_path / "out"),
            probabilities=True,
            entropy=True,
            whole_pixels=whole_pixels,
        )
    )
    assert found.faults == {}
    seen = stored[[number - 1 for number in numbers or (1, 2, 3)]]
    wanted = load(folder).predict(np.moveaxis(seen, 0, 2))
    for kind in ("masks", "entropy", "probabilities"):
        with rasterio.open(found.output / kind / "city.tif") as raster:
            assert (raster.crs.to_epsg(), raster.transform) == (32633, transform)
    with rasterio.open(found.output / "masks" / "city.tif") as raster:
        np.testing.assert_array_equal(raster.read(1), wanted.mask)
        assert raster.colormap(1)[1][:3] == PALETTE[1]
    with rasterio.open(found.output / "probabilities" / "city.tif") as raster:
        np.testing.assert_allclose(raster.read(), wanted.probabilities, atol=1e-3)
    import pyarrow.parquet as pq

    rows = pq.read_table(found.output / "areas.parquet").to_pylist()
    assert sum(row["area_m2"] for row in rows) == pytest.approx(41 * 67 * 0.25)


@pytest.mark.slow
def test_memory_is_bounded(tmp_path: Path) -> None:
    """As a whole its class scores would take 0.7 GB, several times over."""
    from scripts.large_image import measure

    peak_mb, mask = measure(tmp_path, side=4000)
    assert peak_mb < 900
    with rasterio.open(mask) as raster:
        assert (raster.height, raster.crs.to_epsg()) == (4000, 32633)
