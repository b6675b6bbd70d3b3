"""Measure what scoring an image costs: counting pixels, and the argmax before it.

Competitors run in the same process, taking turns, so that a busy machine slows all of them; the
median over turns is printed, with how the mIoU they report compares. Masks are regions with some
wrong and some ignored pixels, generated from the seed.

Example: python scripts/bench_metrics.py --classes 11 --size 360 480 --batch-size 8 --threads 1
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial

import numpy as np
import segmentation_models_pytorch as smp
import torch
from torchmetrics.classification import MulticlassJaccardIndex

from seglab.inference import argmax_mask
from seglab.metrics import SegmentationMetrics, miou

IGNORE_INDEX = 255
REGION_PX = 32
WRONG_FRAC = 0.1
IGNORED_FRAC = 0.05


def parse_arguments() -> argparse.Namespace:
    """Return the command line's arguments."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--classes", type=int, default=11, help="number of classes (11)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(360, 480), metavar=("H", "W"), help="size (360 480)"
    )
    parser.add_argument("--batch-size", type=int, default=8, help="images per batch (8)")
    parser.add_argument("--turns", type=int, default=15, help="turns; the median counts (15)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (1)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the masks (0)")
    return parser.parse_args()


def make_masks(args: argparse.Namespace) -> tuple[torch.Tensor, torch.Tensor]:
    """Return predicted and target masks, int64 `(B, H, W)`."""
    rng = np.random.default_rng(args.seed)
    height, width = args.size
    coarse = (args.batch_size, -(-height // REGION_PX), -(-width // REGION_PX))
    regions = rng.integers(0, args.classes, coarse)
    mask = regions.repeat(REGION_PX, 1).repeat(REGION_PX, 2)[:, :height, :width].copy()
    wrong = rng.random(mask.shape) < WRONG_FRAC
    pred_mask = np.where(wrong, rng.integers(0, args.classes, mask.shape), mask)
    mask[rng.random(mask.shape) < IGNORED_FRAC] = IGNORE_INDEX
    return torch.from_numpy(pred_mask), torch.from_numpy(mask)


def counters(
    args: argparse.Namespace, pred_mask: torch.Tensor, mask: torch.Tensor
) -> dict[str, Callable[[], float]]:
    """Return name -> a call that scores the batch from a fresh state and returns mIoU."""
    ids = [str(index) for index in range(len(mask))]
    bytes_pred, bytes_mask = pred_mask.to(torch.uint8), mask.to(torch.uint8)

    def ours(prediction: torch.Tensor, target: torch.Tensor, per_image: bool) -> float:
        metric = SegmentationMetrics(args.classes, IGNORE_INDEX, per_image=per_image)
        metric.update(prediction, target, ids)
        return miou(metric.compute().confusion)

    def jaccard(validate_args: bool) -> float:
        metric = MulticlassJaccardIndex(
            args.classes, average="macro", ignore_index=IGNORE_INDEX, validate_args=validate_args
        )
        metric.update(pred_mask, mask)
        return float(metric.compute())

    def smp_macro() -> float:
        stats = smp.metrics.get_stats(
            pred_mask, mask, mode="multiclass", num_classes=args.classes, ignore_index=IGNORE_INDEX
        )
        return float(smp.metrics.iou_score(*stats, reduction="macro"))

    return {
        "seglab, uint8 prediction, int64 mask, per image": lambda: ours(bytes_pred, mask, True),
        "seglab, int64 prediction and mask": lambda: ours(pred_mask, mask, False),
        "seglab, uint8 prediction and mask": lambda: ours(bytes_pred, bytes_mask, False),
        "torchmetrics Jaccard, validate_args=False": lambda: jaccard(False),
        "torchmetrics Jaccard, validate_args=True": lambda: jaccard(True),
        "SMP get_stats + iou_score": smp_macro,
    }


def argmaxes(args: argparse.Namespace) -> dict[str, Callable[[], float]]:
    """Return name -> a call that takes the argmax of a batch of random logits."""
    rng = torch.Generator().manual_seed(args.seed)
    logits = torch.randn(args.batch_size, args.classes, *args.size, generator=rng)
    kinds = {
        "float32": logits,
        "float32 channels-last": logits.contiguous(memory_format=torch.channels_last),
        "bfloat16": logits.bfloat16(),
        "bfloat16 channels-last": logits.bfloat16().contiguous(memory_format=torch.channels_last),
    }
    calls: dict[str, Callable[[], float]] = {}
    for name, tensor in kinds.items():
        assert torch.equal(argmax_mask(tensor), tensor.argmax(1).to(torch.uint8))
        calls[f"argmax_mask, {name}"] = partial(first_pixel, argmax_mask, tensor)
        calls[f"torch.argmax, {name}"] = partial(first_pixel, partial(torch.argmax, dim=1), tensor)
    return calls


def first_pixel(argmax: Callable[[torch.Tensor], torch.Tensor], logits: torch.Tensor) -> float:
    """Return the first class of the argmax, so that the call has a number to hand back."""
    return float(argmax(logits)[0, 0, 0])


def measure(
    calls: dict[str, Callable[[], float]], turns: int
) -> dict[str, tuple[float, float, float]]:
    """Return name -> (median and least milliseconds a call, last result); the calls take turns."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    results = {name: call() for name, call in calls.items()}
    for _ in range(turns):
        for name, call in calls.items():
            start = time.perf_counter()
            results[name] = call()
            times[name].append(1000 * (time.perf_counter() - start))
    return {
        name: (statistics.median(times[name]), min(times[name]), results[name]) for name in calls
    }


def main() -> None:
    """Print one line a competitor."""
    args = parse_arguments()
    torch.set_num_threads(args.threads)
    pred_mask, mask = make_masks(args)
    print(
        f"{args.classes} classes, {args.size[0]}x{args.size[1]}, batches of {args.batch_size}, "
        f"{args.threads} thread(s), median of {args.turns} turns, torch {torch.__version__}"
    )
    print(f"{'counting, ms per image':50} {'median':>8} {'least':>8} {'mIoU':>9}")
    for name, result in measure(counters(args, pred_mask, mask), args.turns).items():
        median, least, score = result
        print(f"{name:50} {median / len(mask):8.3f} {least / len(mask):8.3f} {score:9.6f}")
    print(f"{'argmax, ms per image':50} {'median':>8} {'least':>8}")
    for name, result in measure(argmaxes(args), args.turns).items():
        print(f"{name:50} {result[0] / len(mask):8.3f} {result[1] / len(mask):8.3f}")


if __name__ == "__main__":
    main()
