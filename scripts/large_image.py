"""Measure how much memory `seglab predict` takes for an image of any size.

Writes a tiled GeoTIFF of side x side pixels and a bundle of 11 classes that predicts by windows of 1024
pixels, predicts it in a process of its own, and prints its peak of resident memory. The network is one small
convolution: what is measured is everything around it.

Example: python scripts/large_image.py --side 20000
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import rasterio

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from tests.bundle.tiny import tiny_weights, write_tiny_bundle

_CLASSES = 11
# Not getrusage: its peak begins with that of the process that started this one.
_CODE = (
    "import pathlib, sys\nfrom seglab.cli.main import run\ncode = run(sys.argv[1:])\n"
    "print(pathlib.Path('/proc/self/status').read_text().split('VmHWM:')[1].split()[0])\n"
    "sys.exit(code)"
)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--side", type=int, default=20_000)
    side = parser.parse_args().side
    with tempfile.TemporaryDirectory() as folder:
        peak_mb, _ = measure(Path(folder), side)
    print(f"{side} x {side} pixels, {_CLASSES} classes: peak {peak_mb:.0f} MB")


def measure(folder: Path, side: int) -> tuple[float, Path]:
    """Return the peak of resident memory in MB, and the mask."""
    bundle = write_tiny_bundle(
        folder / "bundle",
        tiny_weights(classes=_CLASSES),
        golden=False,
        predict={"window": [1024, 1024], "overlap": 0.1},
        labels={
            "class_names": [f"class {index}" for index in range(_CLASSES)],
            "palette": [[20 * index, 0, 90] for index in range(_CLASSES)],
        },
    )
    write_image(folder / "image.tif", side)
    words = [f"bundle={bundle}", f"input={folder / 'image.tif'}", f"output={folder / 'out'}"]
    done = subprocess.run(
        [sys.executable, "-c", _CODE, "predict", *words], capture_output=True, text=True, check=True
    )
    return int(done.stdout.split()[-1]) / 1024, folder / "out" / "masks" / "image.tif"


def write_image(path: Path, side: int) -> None:
    """Write a GeoTIFF of stripes, band by band."""
    profile = {"driver": "GTiff", "count": 3, "height": side, "width": side, "dtype": "uint8"}
    profile |= {"tiled": True, "compress": "deflate", "crs": "EPSG:32633"}
    columns = np.arange(side, dtype=np.uint32)
    with rasterio.open(
        path, "w", transform=rasterio.Affine(1, 0, 0, 0, -1, 0), **profile
    ) as raster:
        for top in range(0, side, 512):
            end = min(top + 512, side)
            band = ((columns + np.arange(top, end)[:, None]) // 80 % 256).astype(np.uint8)
            raster.write(np.stack([band] * 3), window=((top, end), (0, side)))


if __name__ == "__main__":
    main()
