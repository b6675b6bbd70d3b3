"""A training starts from a run's weights: what fits is taken, what does not is named."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

import pandas as pd
import pytest
import segmentation_models_pytorch as smp
import torch

from seglab.core.bands import Bands
from seglab.core.errors import CheckpointError, ConfigError, RunNotFoundError
from seglab.core.labels import LabelSpace
from seglab.data.manifest import COLUMNS, Manifest
from seglab.experiment.prepare.initial_weights import initialise
from seglab.models import SegNetBasic, build_smp
from seglab.runs import RunRecord

THREE = ("sky", "road", "car")


def manifest(names: tuple[str, ...] = THREE, **splits: str) -> Manifest:
    """One row a `file=split`; other files have other hashes."""
    row = {
        "height": 8,
        "width": 8,
        "annotator": None,
        "tags": [],
        "phash": None,
        "class_pixels": [64, *[0] * len(names)],
        "flags": [],
        "keep": True,
    }
    rows = [
        row
        | {
            "sample_id": file,
            "image": f"{file}.png",
            "mask": f"{file}_mask.png",
            "split": split,
            "group": file,
            "sha256": hashlib.sha256(file.encode()).hexdigest(),
        }
        for file, split in splits.items()
    ]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    return Manifest(table, LabelSpace(names), Path("/nowhere"), "data", "index", {})


def model(num_classes: int = 3, seed: int = 0, width: int = 4) -> SegNetBasic:
    torch.manual_seed(seed)
    return SegNetBasic(num_classes, width=width, kernel_size=3)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """A finished training on images a and b, with weights of seed 1."""
    folder = tmp_path / "runs" / "one"
    record = RunRecord.create(folder, experiment="x", kind="train", config={}, config_yaml="")
    manifest(a="train", b="train", c="val").write(folder / "manifest")
    state = {f"model.{name}": value for name, value in model(seed=1).state_dict().items()}
    torch.save({"state_dict": state}, record.checkpoints_dir / "best.ckpt")
    record.finish("finished")
    return folder


def equal(one: torch.nn.Module, other: torch.nn.Module) -> bool:
    return all(
        torch.equal(a, b)
        for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize("source", ["", "checkpoints/best.ckpt"])
def test_same_classes_take_all_weights(run: Path, source: str) -> None:
    fresh = model()
    report = initialise(fresh, str(run / source), manifest(a="train", c="val"))
    assert equal(fresh, model(seed=1))
    assert (report.missing, report.mismatched) == ((), ())


@pytest.mark.parametrize("names", [("sky", "road"), ("road", "sky", "car"), ("x", "y", "z")])
def test_other_classes_keep_their_own_head(
    run: Path, names: tuple[str, ...], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    fresh, untouched = model(len(names)), model(len(names))
    report = initialise(fresh, str(run), manifest(names, a="train", c="val"))
    assert equal(fresh.head, untouched.head)
    assert equal(fresh.encoder, model(seed=1).encoder)
    assert equal(fresh.decoder, model(seed=1).decoder)
    assert {name.partition(".")[0] for name in report.missing} == {"head"}
    assert "head.weight starts at random: the run had other classes" in caplog.text


def test_images_the_run_was_trained_on_are_told(
    run: Path, caplog: pytest.LogCaptureFixture
) -> None:
    initialise(model(), str(run), manifest(x="train", a="val", b="val", c="test", y="val"))
    assert (
        "2 of 3 images of split 'val' are byte for byte images the run was trained on"
        in caplog.text
    )
    caplog.clear()
    initialise(model(), str(run), manifest(a="train", c="val"))
    assert "was trained on" not in caplog.text


def test_other_bands_are_told(run: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    five = SegNetBasic(3, width=4, kernel_size=3, in_channels=5)
    numbers = (1, 2, 3, 4, 5)
    ones = (1.0,) * 5
    five.normalise_by(Bands(numbers, "uint16", ones, ones, ones, ones, (1, 2, 3)))
    initialise(five, str(run), manifest(a="train", c="val"))
    assert (
        "one was trained on RGB or grey of 8 bits, this model takes bands 1, 2, 3, 4, 5"
        in caplog.text
    )
    assert "is adapted from 3 to 5 channels of the image, as timm does" in caplog.text


def test_what_cannot_be_a_source_is_refused(run: Path, tmp_path: Path) -> None:
    data = manifest(a="train", c="val")
    with pytest.raises(ConfigError, match=r"model\.init_from: expected the folder of a run"):
        initialise(model(), str(tmp_path / "none"), data)
    with pytest.raises(ConfigError, match="not the weights of such a model"):
        initialise(model(width=8), str(run), data)
    torch.save({"state_dict": {"x": torch.ones(1)}}, tmp_path / "x.ckpt")
    with pytest.raises(CheckpointError, match=r"x\.ckpt holds no model of seglab"):
        initialise(model(), str(tmp_path / "x.ckpt"), data)
    (tmp_path / "x.zip").touch()
    with pytest.raises(ConfigError, match=r"model\.init_from: expected the folder of a run, its"):
        initialise(model(), str(tmp_path / "x.zip"), data)
    (tmp_path / "x.pth").write_text("no weights")
    with pytest.raises(ConfigError, match=r"model\.init_from: .*x\.pth is not a readable"):
        initialise(model(), str(tmp_path / "x.pth"), data)
    (run / "checkpoints" / "best.ckpt").unlink()
    with pytest.raises(RunNotFoundError, match="stopped before its first validation"):
        initialise(model(), str(run), data)
    whole = RunRecord.create(tmp_path / "cv", experiment="x", kind="cv", config={}, config_yaml="")
    with pytest.raises(ConfigError, match="it is 'cv'"):
        initialise(model(), str(whole.run_dir), data)


def test_a_plain_file_of_weights_is_a_source_too(tmp_path: Path) -> None:
    torch.save(model(seed=1).state_dict(), tmp_path / "w.pt")
    fresh = model()
    initialise(fresh, str(tmp_path / "w.pt"), manifest(a="train", c="val"))
    assert equal(fresh, model(seed=1))


@pytest.mark.parametrize("theirs", ["resnet18", "tu-resnet18"])
def test_weights_of_segmentation_models_pytorch_are_taken(theirs: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = smp.Unet(theirs, encoder_weights=None, classes=3).eval()
    torch.save(net.state_dict(), tmp_path / "smp.pth")
    model = build_smp(3, arch="unet", encoder_name="resnet18").eval()
    report = initialise(model, str(tmp_path / "smp.pth"), manifest(a="train", c="val"))
    assert (report.missing, report.mismatched, report.unexpected) == ((), (), ())
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(model(image), net(image))
