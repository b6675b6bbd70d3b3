"""Train every architecture and every loss a little on the same images, and show what each makes of them.

    python scripts/gallery.py --out docs/gallery --runs runs/gallery

Writes `architectures.md` and `losses.md`, a picture for each row beside them. A run that is there already
is not trained again, so what was interrupted goes on.
"""

from __future__ import annotations

import argparse
import io
import statistics
import textwrap
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf
from PIL import Image
from rich.console import Console

from seglab.analysis.evaluation.figures import samples_figure
from seglab.config.compose import compose
from seglab.config.language.locate import conf_dir
from seglab.core.disk.provenance import git_state
from seglab.data.files.images import read_image
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from seglab.experiment.evaluate import evaluate
from seglab.experiment.parts import build_model
from seglab.experiment.train import train
from seglab.runs import RunRecord, SamplePrediction
from seglab.runs.predictions import prediction_path

SETTINGS = (
    "data=synth data.options.num_images=80 data.options.image_size=[64,96] data.crop_size=[64,96] "
    "data.batch_size=4 trainer.max_epochs=6 augment=light metrics.train_images=0 logger=none "
    "callbacks.progress=off callbacks.overlays.num_images=0 trainer.num_workers=0 trainer.num_threads=1"
)
# What one choice needs besides: PAN pools down to less than a pixel of smaller crops.
NEEDS = {"pan": ["data.crop_size=[128,128]"]}
PAGES = {
    "architectures": (
        "model",
        "Every architecture of seglab, trained alike on drawn street scenes, and what each made of two.",
        "All from random weights, on a ResNet-18 but for `segformer` (MiT-B0), `dpt` (ViT-S), `segnet` and\n"
        "`segnet_basic` (their own), with the default loss and optimizer. 72 steps and one run each show\n"
        "**how** a network errs while it is young, not which is best: for that, weights that were trained\n"
        "before, more images and more steps ([a study](../../experiments/camvid-architectures/README.md)).",
    ),
    "losses": (
        "loss",
        "Every loss of seglab on the same network and drawn street scenes, and what each made of two.",
        "`model=unet` from the same random weights each time, one run each: a few hundredths of mIoU tell\n"
        "nothing here. What differs is what becomes of small and rare things.",
    ),
}
NOTES = {
    "architectures": "GFLOPs: one image forward. A step: forward, backward and AdamW on 4 images in\n"
    "fp32, one core's own time. `pan` was given crops of 128 x 128, the least it takes.",
    "losses": "Poles are the rarest class.",
}
_STEPS = 3


def main(argv: Sequence[str] | None = None) -> int:
    """Train what is missing, then write the pages; return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("docs/gallery"))
    parser.add_argument("--runs", type=Path, default=Path("runs/gallery"))
    parser.add_argument("--pages", nargs="+", choices=PAGES, default=list(PAGES))
    args = parser.parse_args(argv)
    torch.set_num_threads(1)
    for page in args.pages:
        group = PAGES[page][0]
        choices = sorted(path.stem for path in (conf_dir() / group).glob("*.yaml"))
        runs = [_trained(group, name, args.runs / page / name) for name in choices]
        lines = "\n".join(_page(page, choices, runs, args.out))
        (args.out / f"{page}.md").write_text(lines + "\n", encoding="utf-8")
    return 0


def _trained(group: str, name: str, folder: Path) -> Path:
    """Train one choice and predict the test images, unless that was done; return its folder."""
    quiet, scored = Console(quiet=True), folder / "test"
    if not (scored / "run.json").is_file():
        print(f"{group}={name}", flush=True)
        words = [*SETTINGS.split(), f"{group}={name}"]
        result = train(compose([*words, *NEEDS.get(name, [])]), folder / "run", quiet)
        words = [
            f"run={result.run_dir}",
            "data.split=test",
            "suite=scores",
            "save_predictions=true",
        ]
        evaluate(compose([*words, "trainer.num_workers=0"], "evaluate"), scored, quiet)
    return folder


def _page(page: str, choices: list[str], runs: list[Path], out: Path) -> Iterator[str]:
    group, description, text = PAGES[page]
    yield from ("---", f"description: {description}", "---", f"# {page.capitalize()}", "", text, "")
    rows = [_scores(run) | (_cost(run) if page == "architectures" else {}) for run in runs]
    yield from ("| | " + " | ".join(rows[0]) + " |", "|---|" + "---:|" * len(rows[0]))
    for name, row in zip(choices, rows, strict=True):
        yield f"| [`{name}`](#{name}) | " + " | ".join(row.values()) + " |"
    lines = textwrap.wrap(SETTINGS, 90)
    commit = str(git_state()["commit"])[:8]
    yield from (
        "",
        f"On test images. {NOTES[page]} Written by `scripts/gallery.py` at commit `{commit}`,",
        f"two cores of an Intel Xeon with bf16, torch {torch.__version__}; each as the first one:",
        "",
        '```bash {.not-run data-why="takes a minute each"}',
        f"seglab train {group}={choices[0]} \\",
        *(f"    {line} \\" for line in lines[:-1]),
        f"    {lines[-1]}",
        "```",
        "",
    )
    for name, run in zip(choices, runs, strict=True):
        picture = out / f"{page}-{name}.webp"
        size = _draw(run, picture)
        alt = f"Two street scenes: image, target, what {group}={name} predicts, and its errors"
        yield from (f"## {name}", "", f"![{alt}]({picture.name}){{ {size} }}", "")


def _scores(run: Path) -> dict[str, str]:
    metrics = RunRecord.open(run / "test").read()["metrics"]
    names = ("miou", "iou/pole", "class_acc", "pixel_acc")
    return {
        title: f"{metrics[f'test/{name}']:.3f}"
        for title, name in zip(
            ("mIoU", "IoU of poles", "mean recall", "pixels right"), names, strict=True
        )
    }


def _cost(run: Path) -> dict[str, str]:
    cost = RunRecord.open(run / "run").read()["metrics"]
    return {
        "parameters": f"{cost['cost/params_m']:.1f} M",
        "GFLOPs": f"{cost['cost/gflops']:.2f}",
        "a step": f"{_step_ms(run):.0f} ms",
    }


def _step_ms(run: Path) -> float:
    """Return the processor's milliseconds for a step of a run's network with a plain cross-entropy."""
    cfg = OmegaConf.create(RunRecord.open(run / "run").read()["config"])
    model: Any = build_model(cfg, 7).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    size = tuple(cfg.data.crop_size)
    image = torch.randn(4, 3, *size)
    mask = torch.randint(0, 7, (4, *size))
    times = []
    for _ in range(_STEPS + 1):
        start = time.process_time()
        torch.nn.functional.cross_entropy(model(image), mask).backward()
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.process_time() - start)
    return 1000 * statistics.median(times[1:])


def _draw(run: Path, place: Path) -> str:
    """Draw two test images with what the run predicted, and return the picture's size as attributes."""
    record = RunRecord.open(run / "test")
    manifest = Manifest.read(run / "run/manifest")
    rows = manifest.split("test").to_dict(orient="records")
    samples = []
    for row in (rows[0], rows[len(rows) // 2]):
        mask = read_mask(manifest.path(row["mask"]), manifest.labels, manifest.mask_encoding)
        found = np.asarray(Image.open(prediction_path(record.run_dir, row["sample_id"])))
        image = read_image(manifest.path(row["image"]))
        samples.append(SamplePrediction(row["sample_id"], image, mask, found, np.ones(mask.shape)))
    content = io.BytesIO()
    samples_figure(samples, manifest.labels).savefig(content, format="png", dpi=75)
    picture = Image.open(content).convert("RGB")
    picture.save(place, "WEBP", quality=80, method=6)
    return f'width="{picture.width}" height="{picture.height}" loading=lazy'


if __name__ == "__main__":
    raise SystemExit(main())
