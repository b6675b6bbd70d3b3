"""Measure `seglab predict` against a plain torch loop on a folder of images.

Both take the same network (a U-Net of random weights, which take as long as trained ones) from the same
files to palette masks, in turns. The loop is what people write: open, normalise, eager fp32, argmax, save,
one image after the other. Ours is timed with loading and checking the bundle. Prints the times of each turn,
the ratio of medians, and the share of pixels that agree.

Example: python scripts/bench_predict.py --images ../shared/data/camvid/train --count 200 --turns 3
With a trained network, and the variants that its export kept: --run RUN_DIR --bundle BUNDLE --variant int8
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import nn

from seglab.bundle.loader import load
from seglab.bundle.sealing import seal
from seglab.core.labels import default_palette
from seglab.deploy.export.graph import RawInput, export_program, exportable, write_onnx
from seglab.deploy.export.trained import open_run
from seglab.deploy.options import ExportOptions
from seglab.deploy.predict.options import PredictFilesOptions
from seglab.deploy.predict.run import predict_files
from seglab.models import Segmenter, build_smp

CLASSES = 11


def main() -> None:
    """Run both in turns and print what came out."""
    args = _parse()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    model = trained(args.run) if args.run else random_network(args.encoder)
    mean, std = (torch.tensor(one).view(3, 1, 1) for one in (model.mean, model.std))
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        files = sorted(args.images.rglob("*.png"))[: args.count]
        (folder / "in").mkdir()
        for file in files:
            shutil.copy(file, folder / "in")
        bundle = args.bundle or write_bundle(folder / "bundle", model)
        plain, ours = [], []
        for turn in range(args.turns):
            shutil.rmtree(folder / "plain", ignore_errors=True)
            plain.append(_timed(lambda: loop(folder, model, mean, std)))
            shutil.rmtree(folder / "ours", ignore_errors=True)
            ours.append(_timed(lambda: ours_once(folder, bundle, args)))
            print(f"turn {turn + 1}: plain torch loop {plain[-1]:.1f} s, predict {ours[-1]:.1f} s")
        same = agreement(folder)
    ratio = statistics.median(plain) / statistics.median(ours)
    rate = len(files) / statistics.median(ours)
    name = args.run or f"U-Net/{args.encoder}"
    print(f"{len(files)} images, {args.threads} threads, {name}: {rate:.1f} images/s")
    print(f"ratio of medians {ratio:.2f}; {100 * same:.3f} % of the pixels agree")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--images", type=Path, required=True, help="folder of PNG files")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch-size", type=int, default=4)
    parser.add_argument("--encoder", default="resnet18")
    parser.add_argument("--run", metavar="RUN_DIR", help="a training whose network is taken")
    parser.add_argument("--bundle", type=Path, help="what `seglab export` made of it")
    parser.add_argument("--variant", help="of the bundle: fp32 or int8; by default its best")
    args = parser.parse_args()
    if bool(args.run) != bool(args.bundle):
        parser.error("--run and --bundle go together: the same network in both forms")
    return args


def random_network(encoder: str) -> Segmenter:
    """Return a U-Net of random weights."""
    return build_smp(CLASSES, arch="unet", encoder_name=encoder).eval()


def trained(run: str) -> Segmenter:
    """Return the network of a training, in float32."""
    [model] = open_run(ExportOptions(run=run)).models
    return model


def write_bundle(folder: Path, model: Segmenter) -> Path:
    """Write the network as a bundle without golden images."""
    folder.mkdir()
    with exportable(model):
        program, _ = export_program(RawInput(model).eval())
        write_onnx(program, model, folder / "model.onnx")
    seal(
        folder,
        {
            "name": "bench",
            "labels": {
                "class_names": [f"class {index}" for index in range(CLASSES)],
                "palette": [list(colour) for colour in default_palette(["class"] * CLASSES)],
                "ignore_index": 255,
            },
            "input": {
                "channels": 3,
                "bands": None,
                "size_divisor": model.size_divisor,
                "min_size": model.min_size,
                "image_size": None,
                "max_pixels": 100_000_000,
            },
            "predict": {"window": None, "overlap": 0.5, "flips": [], "scales": [1.0]},
            "temperature": 1.0,
            "variant": "fp32",
            "variants": {"fp32": ["model.onnx"]},
            "golden": [],
        },
    )
    load(folder)
    return folder


@torch.no_grad()
def loop(folder: Path, model: Segmenter, mean: torch.Tensor, std: torch.Tensor) -> None:
    """Predict as a script of ten lines does."""
    (folder / "plain").mkdir()
    palette = [
        value for colour in default_palette(["class"] * model.num_classes) for value in colour
    ]
    for path in sorted((folder / "in").iterdir()):
        image = torch.from_numpy(np.array(Image.open(path).convert("RGB")))
        batch = ((image.permute(2, 0, 1).float() / 255 - mean) / std)[None]
        height, width = batch.shape[2:]
        padded = nn.functional.pad(batch, (0, -width % 32, 0, -height % 32), mode="reflect")
        mask = model(padded)[0, :, :height, :width].argmax(0).to(torch.uint8)
        picture = Image.fromarray(mask.numpy())
        picture.putpalette(palette)
        picture.save(folder / "plain" / path.name)


def ours_once(folder: Path, bundle: Path, args: argparse.Namespace) -> None:
    """Predict as the command does."""
    found = predict_files(
        PredictFilesOptions(
            bundle=str(bundle),
            variant=args.variant,
            input=str(folder / "in"),
            output=str(folder / "ours"),
            threads=args.threads,
            batch_size=args.batch_size,
        )
    )
    assert not found.faults


def agreement(folder: Path) -> float:
    """Return the share of pixels in which both masks agree."""
    shares = []
    for path in (folder / "plain").iterdir():
        with Image.open(path) as one, Image.open(folder / "ours" / "masks" / path.name) as other:
            shares.append(float((np.array(one) == np.array(other)).mean()))
    return statistics.mean(shares)


def _timed(work: Any) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
