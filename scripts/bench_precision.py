"""Does bf16 cost accuracy? The same trainings on `synth` in fp32 and in bf16, over several seeds.

Both precisions see the same images, crops, order and initial weights for a seed, so the difference
is paired. Prints the final validation mIoU of each run, and the mean paired difference beside the
spread over seeds that fp32 has by itself.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

from rich.console import Console

from seglab.config.compose import compose
from seglab.experiment.train import train


def final_miou(precision: str, seed: int, epochs: int, folder: Path) -> float:
    """Train once and return the validation mIoU after the last epoch, not of the best one."""
    cfg = compose(
        [
            "data=synth",
            "data.options.num_images=160",
            "data.options.image_size=[96,128]",
            "data.crop_size=[96,128]",
            "model=unet",
            "model.encoder_name=mobilenetv3_small_100",
            "augment=light",
            "logger=none",
            "callbacks.progress=off",
            "optimizer.lr=2e-3",
            f"trainer.max_epochs={epochs}",
            f"trainer.precision={precision}",
            f"seed={seed}",
        ]
    )
    result = train(cfg, folder / f"{precision}-{seed}", Console(quiet=True))
    history = (result.run_dir / "history.csv").read_text(encoding="utf-8").splitlines()
    header, last = history[0].split(","), history[-1].split(",")
    return float(last[header.index("val/miou")])


def main() -> None:
    """Train all pairs and print them."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=3, help="seeds of each precision (default 3)")
    parser.add_argument(
        "--epochs", type=int, default=12, help="epochs of each training (default 12)"
    )
    arguments = parser.parse_args()
    pairs = []
    with tempfile.TemporaryDirectory() as name:
        for seed in range(arguments.seeds):
            pair = [
                final_miou(kind, seed, arguments.epochs, Path(name)) for kind in ("fp32", "bf16")
            ]
            pairs.append(pair)
            print(f"seed {seed}: fp32 {pair[0]:.4f}  bf16 {pair[1]:.4f}", flush=True)
    differences = [bf16 - fp32 for fp32, bf16 in pairs]
    spread = statistics.stdev(fp32 for fp32, _ in pairs) if len(pairs) > 1 else float("nan")
    print(f"mean of bf16 - fp32: {statistics.mean(differences):+.4f}")
    print(f"standard deviation over seeds, fp32: {spread:.4f}")


if __name__ == "__main__":
    main()
