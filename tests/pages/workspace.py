"""A folder where the commands of pages run as they stand: what they call DIR or RUN_DIR lies there."""

from __future__ import annotations

import shutil
from pathlib import Path

from PIL import Image
from rich.console import Console

from seglab.cli.main import run as seglab
from seglab.config.compose import compose
from seglab.data.manifest import Manifest
from seglab.experiment.train import train
from tests import training
from tests.pages.blocks import ROOT

_QUICK = ["trainer.accelerator=cpu", "trainer.num_workers=0", "trainer.num_threads=1"]
_SMALL = [
    *_QUICK,
    "data.crop_size=[32,32]",
    "callbacks.progress=off",
    "callbacks.overlays.num_images=0",
    "logger=none",
    "trainer.max_epochs=1",
]


def light(words: list[str]) -> list[str]:
    """Return what is typed behind a command so that it takes a moment, and says the same otherwise."""
    name, *rest = words
    if name == "evaluate":
        return _QUICK
    if name != "train":
        return []
    if any(word.startswith("resume=") for word in rest):
        return ["trainer.max_epochs=3"]
    named = any(word.startswith("model=") for word in rest)
    model = [] if named else ["model=segnet_basic", "model.width=4"]
    return [*_SMALL, *model, "study.n_trials=1"] if "-m" in rest else [*_SMALL, *model]


def build_workspace(folder: Path) -> None:
    """Draw images and masks, and leave runs, bundles and a log of requests of them.

    Args:
        folder: Where the pages' commands are to run; the working folder.
    """
    drawn = ["--num-images", "24", "--image-size", "48", "64", "--option", "frames_per_group=2"]
    drawn += ["--option", "void_border=0"]
    _seglab("data", "synth", "drawn", *drawn)
    for name in ("images", "masks"):
        shutil.copytree(f"drawn/data/{name}", f"DIR/{name}")
    shutil.copytree("drawn/data/images", "PHOTOS")
    _camvid(Path("CAMVID"))
    for name in ("mine", "street"):
        shutil.copytree("drawn/manifest", f"manifests/{name}")
    words = [*training.TINY, *_SMALL[:-1], "trainer.max_epochs=2"]
    for seed, name in enumerate(("A", "B")):
        run = folder / "runs/synth-unet" / name
        train(compose([*words, f"model.width={4 + seed}"]), run, Console(quiet=True))
        _seglab("export", f"run={run}", f"output=bundles/{name}", "int8=false")
    shutil.copytree("runs/synth-unet/A", "RUN_DIR")
    for place in (
        "synth-unet/RUN_ID",
        "synth-unet/20250131-120059-a1b2c3",
        "demo/RUN_ID",
        "mine-unet/RUN_ID",
    ):
        shutil.copytree("RUN_DIR", f"runs/{place}")
    shutil.copytree("bundles/A", "model")
    shutil.copy("bundles/A.zip", "model.zip")
    shutil.copytree("bundles/B", "bundles/unet")
    _seglab("monitor", "backfill", "bundle=model", "input=PHOTOS", "log=log")
    _seglab("registry", "add", "model", "registry=models")
    _seglab("registry", "promote", "registry=models")
    shutil.copy(ROOT / "seglab/bundle/loader.py", "loader.py")
    shutil.copy("model.zip", "bundle.zip")
    Image.open(min(Path("PHOTOS").iterdir())).save("photo.jpg")


def _camvid(root: Path) -> None:
    """Lay the drawn images out as CamVid is; their classes have numbers that CamVid has too."""
    manifest = Manifest.read(Path("drawn/manifest"))
    for split, rows in manifest.table.groupby("split"):
        lines = []
        for name in rows["sample_id"]:
            for folder, kind in ((str(split), "images"), (f"{split}annot", "masks")):
                (root / folder).mkdir(parents=True, exist_ok=True)
                shutil.copy(f"drawn/data/{kind}/{name}.png", root / folder)
            lines.append(
                f"/SegNet/CamVid/{split}/{name}.png /SegNet/CamVid/{split}annot/{name}.png\n"
            )
        (root / f"{split}.txt").write_text("".join(lines))


def _seglab(*words: str) -> None:
    assert seglab([*words]) == 0, words
