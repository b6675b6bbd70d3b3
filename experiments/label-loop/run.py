"""The loop that pays, or not: find wrong labels, have them corrected, train anew, and count what it brought.

    python experiments/label-loop/run.py --out runs/label-loop                  # five seeds
    python experiments/label-loop/run.py --out runs/label-loop --summarise      # tables and figure alone

Each seed draws another world and plants label errors into 10 % of its training images. What is finished is
not done again, so the same command goes on after an interruption. Writes `results.csv` and `gain.png`
beside itself; with --tiny, which only shows that it works, below --out.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from summarise import summarise

from seglab.annotations.format import annotation_format
from seglab.cli.data import run as seglab_data
from seglab.config.compose import compose
from seglab.core.disk.files import write_json
from seglab.core.seeding import generator
from seglab.data.annotated.export import ExportSettings, export_manifest, own_mask
from seglab.data.files.masks import read_mask
from seglab.data.manifest import Manifest
from seglab.data.synth.faults import load_faults
from seglab.experiment.launch import launch, resume_job
from seglab.runs.locate import RECORD_FILE

HERE = Path(__file__).parent
RESULT = "result.json"
# Shares of the training images; 10 % together.
NOISE = {"noise_swap": 0.04, "noise_missing": 0.03, "noise_boundary": 0.03}
DATA: dict[str, Any] = {
    "image_size": [48, 64],
    "frames_per_group": 2,
    "val_fraction": 0.1,
    "test_fraction": 0.4,
    "noise_splits": "train",
    **NOISE,
}
IMAGES, EPOCHS = 160, 12
TINY_IMAGES, TINY_EPOCHS = 60, 2
MODEL = [
    "model=unet",
    "model.encoder_name=mobilenetv3_small_100",
    "model.encoder_depth=3",
    "model.options.decoder_channels=[48,32,16]",
    "optimizer.lr=5e-3",
    "data.crop_size=[48,64]",
    "data.batch_size=8",
    "trainer.num_workers=0",
    "trainer.num_threads=1",
    "callbacks.progress=off",
    "callbacks.overlays.num_images=0",
    "metrics.train_images=0",
    "logger=none",
]
CV = ["cv=stratified_grouped", "cv.folds=3", "cv.splits=[train]", "cv.workers=1"]
# Takes a folder that was exported as a work list, and leaves it corrected.
Annotate = Callable[[Path], None]


def train(run_dir: Path, manifest: Path, seed: int, epochs: int, *words: str) -> dict[str, float]:
    """Train, or go on with what was begun; return the scores. Nothing but the last epoch is validated."""
    if (run_dir / RECORD_FILE).is_file():
        return resume_job(run_dir, Console(quiet=True)).metrics
    length = [f"trainer.max_epochs={epochs}", f"trainer.val_every={epochs}"]
    places = [f"data.manifest={manifest}", f"paths.data_dir={run_dir.parent / 'cache'}"]
    cfg = compose([*MODEL, *length, *places, f"seed={seed}", *words])
    return launch(cfg, run_dir, Console(quiet=True)).metrics


def ranked(folder: Path, manifest: Path, seed: int, epochs: int) -> list[str]:
    """Return the training images, those first whose labels are likeliest wrong."""
    from seglab.curation.labels.ranking import read_ranking

    train(folder / "cv", manifest, seed, epochs, *CV, "cv.save_probabilities=true")
    words = ["--only", "label_error", "--fail-on", "none", "--no-flags"]
    seglab_data(["audit", str(manifest), "--run", str(folder / "cv"), *words])
    return list(dict.fromkeys(read_ranking(manifest / "audit")["sample_id"]))


def truth(manifest: Manifest) -> Callable[[Any], np.ndarray | None]:
    """Return the oracle: what gives the mask of a row as it was before errors were planted."""
    clean = {one.sample_id: one.clean_mask for one in load_faults(manifest.root)}

    def mask_of(row: Any) -> np.ndarray | None:
        kept = clean.get(row.sample_id)
        if kept is None:
            return own_mask(manifest, row)
        return read_mask(manifest.root / kept, manifest.labels, manifest.mask_encoding)

    return mask_of


def annotate_labelme(manifest: Manifest, names: Sequence[str]) -> Annotate:
    """Return an annotator who opens the JSON files of LabelMe and draws every image as it truly is."""

    def annotate(todo: Path) -> None:
        drawn = todo.with_name(f"{todo.name}-drawn")
        settings = ExportSettings(samples=names, images="none")
        export_manifest(manifest, annotation_format("labelme"), drawn, settings, truth(manifest))
        for path in drawn.glob("*.json"):
            shutil.copyfile(path, todo / path.name)

    return annotate


def correct(place: Path, names: Sequence[str], tool: str, annotate: Annotate) -> None:
    """Send images to an annotation tool and make what comes back the new version of a manifest."""
    todo = place.with_name(f"{place.name}-todo")
    for leftover in (todo, todo.with_name(f"{todo.name}-drawn")):
        shutil.rmtree(leftover, ignore_errors=True)
    listed = todo.with_suffix(".txt")
    listed.write_text("\n".join(names), encoding="utf-8")
    words = ["--format", tool, "--out", str(todo), "--samples", str(listed)]
    _done(seglab_data(["export", str(place), *words]))
    annotate(todo)
    words = ["--out", str(todo / "manifest"), "--option", "unlabelled=void"]
    words += ["--option", "val_fraction=0"]
    _done(seglab_data(["import", tool, str(todo), *words]))
    _done(seglab_data(["clean", str(place), "--corrected", str(todo / "manifest")]))
    listed.replace(place / "corrected.txt")


def run_seed(out: Path, seed: int, tiny: bool, tool: str, studio: str | None) -> None:
    """Run the whole loop on one world; write what it brought to `result.json`."""
    folder, epochs = out / f"seed{seed}", TINY_EPOCHS if tiny else EPOCHS
    if (folder / RESULT).is_file():
        return
    options = [f"{key}={json.dumps(value)}" for key, value in DATA.items() if key != "image_size"]
    words = [word for option in options for word in ("--option", option)]
    words += ["--image-size", *map(str, DATA["image_size"]), "--seed", str(seed)]
    words += ["--num-images", str(TINY_IMAGES if tiny else IMAGES)]
    _done(seglab_data(["synth", str(folder / "world"), *words]))
    base = folder / "world" / "manifest"
    manifest = Manifest.read(base)
    wrong = {one.sample_id: one for one in load_faults(manifest.root)}
    order = ranked(folder, base, seed, epochs)
    drawn = generator("label-loop", seed).permutation(sorted(order)).tolist()
    count = len(wrong)
    result: dict[str, Any] = {"seed": seed, "corrected": count, "train_images": len(order)}
    result["before"] = train(folder / "before", base, seed, epochs)["test/miou"]
    for arm, names in (("ranked", order[:count]), ("random", drawn[:count])):
        place = folder / arm
        if not (place / "corrected.txt").is_file():
            shutil.rmtree(place, ignore_errors=True)
            shutil.copytree(base, place)
            correct(place, names, tool, _annotator(tool, studio, manifest, names))
        score = train(folder / f"{arm}-run", place, seed, epochs)["test/miou"]
        mended = [wrong[name] for name in names if name in wrong]
        pixels = sum(one.parameters["pixels_changed"] for one in mended)
        result |= {arm: score, f"{arm}_wrong": len(mended), f"{arm}_pixels": pixels}
    write_json(folder / RESULT, result)
    print(json.dumps(result), flush=True)


def _annotator(tool: str, studio: str | None, manifest: Manifest, names: Sequence[str]) -> Annotate:
    if tool == "labelme":
        return annotate_labelme(manifest, names)
    from studio import annotate_in_label_studio

    if studio is None:
        raise SystemExit("--tool label_studio: give --studio URL,TOKEN of a running server")
    address, _, token = studio.partition(",")
    return annotate_in_label_studio(address, token, manifest, truth(manifest))


def _done(code: int) -> None:
    if code:
        raise SystemExit(f"a step of the loop ended with {code}")


def main() -> None:
    """Run the seeds that are asked for and tell what all of them say."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder of all that is made")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--tool", choices=("labelme", "label_studio"), default="labelme")
    parser.add_argument("--studio", metavar="URL,TOKEN", help="a running Label Studio")
    parser.add_argument("--tiny", action="store_true", help="sizes that only show that it works")
    parser.add_argument("--summarise", action="store_true", help="run nothing")
    args = parser.parse_args()
    logging.getLogger("seglab").setLevel(logging.ERROR)
    out = args.out.absolute()
    for seed in [] if args.summarise else args.seeds:
        run_seed(out, seed, args.tiny, args.tool, args.studio)
    results = [json.loads(path.read_text()) for path in sorted(out.glob(f"seed*/{RESULT}"))]
    print(summarise(results, out if args.tiny else HERE))


if __name__ == "__main__":
    main()
