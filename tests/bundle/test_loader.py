"""The loader predicts as the evaluation does, and refuses what was not exported so."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import tokenize
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from seglab.bundle import loader
from seglab.bundle.loader import BundleError, ImageError, load
from seglab.bundle.sealing import pack
from seglab.data.files.images import decode_image
from seglab.data.loading.decoding import _resize
from seglab.inference.ensemble import Ensemble
from seglab.inference.geometry import pad_to_multiple, resize_logits
from seglab.inference.predictor import WholeImage
from seglab.inference.sliding_window import SlidingWindow
from seglab.inference.tta import TestTimeAugmentation
from tests.bundle.tiny import tiny_weights, write_tiny_bundle

IMAGE = np.random.default_rng(3).integers(0, 256, (23, 31, 3), dtype=np.uint8)


class Convolution(torch.nn.Module):
    """The network of the tiny bundle, in torch."""

    def __init__(self, weights: np.ndarray) -> None:
        super().__init__()
        self.weights = torch.from_numpy(weights)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Return logits."""
        return F.conv2d(image, self.weights, padding=self.weights.shape[-1] // 2)


@pytest.mark.parametrize("window", [None, (8, 12), (40, 40)])
@pytest.mark.parametrize(("flips", "scales"), [((), (1.0,)), (("h", "v", "hv"), (0.75, 1.0, 1.6))])
def test_predicts_as_the_evaluation(
    tmp_path: Path,
    window: tuple[int, int] | None,
    flips: tuple[str, ...],
    scales: tuple[float, ...],
) -> None:
    weights = tiny_weights(kernel=5)
    predict = {"window": window, "overlap": 0.4, "flips": flips, "scales": scales}
    accepts = {"size_divisor": 4, "min_size": 8}
    folder = write_tiny_bundle(
        tmp_path / "b", weights, predict=predict, input=accepts, temperature=1.7
    )
    net = Convolution(weights)
    one = SlidingWindow(net, window, 0.4, **accepts) if window else WholeImage(net, **accepts)
    views = TestTimeAugmentation(one, flips, scales)
    image = torch.from_numpy(IMAGE).permute(2, 0, 1)[None].float()
    wanted = Ensemble([views])(image)

    bundle = load(folder)
    found = bundle.predict(IMAGE)

    np.testing.assert_array_equal(found.mask, wanted[0].argmax(0).numpy())
    [mask_alone] = bundle.predict_batch([IMAGE], give="masks")
    np.testing.assert_array_equal(mask_alone.mask, found.mask)
    assert mask_alone.probabilities.shape == (0, *found.mask.shape)
    probabilities = (wanted[0] / 1.7).softmax(0).numpy()
    np.testing.assert_allclose(found.probabilities, probabilities, atol=2e-5)


def test_works_at_the_size_of_the_training(tmp_path: Path) -> None:
    weights = tiny_weights()
    folder = write_tiny_bundle(tmp_path / "b", weights, input={"image_size": [15, 47]})
    image = torch.from_numpy(_resize(IMAGE, (15, 47))).permute(2, 0, 1)[None].float()
    wanted = resize_logits(Convolution(weights)(image), IMAGE.shape[:2])[0].softmax(0).numpy()
    found = load(folder).predict(IMAGE)
    assert found.mask.shape == IMAGE.shape[:2]
    # OpenCV grows uint8 in fixed point: one grey value off here and there.
    np.testing.assert_allclose(found.probabilities, wanted, atol=0.01)


@pytest.mark.parametrize(("old", "new"), [((7, 9), (16, 16)), ((1, 1), (3, 5)), ((5, 8), (5, 8))])
def test_pads_as_the_evaluation(old: tuple[int, int], new: tuple[int, int]) -> None:
    batch = torch.rand(2, 3, *old)
    wanted = pad_to_multiple(pad_to_multiple(batch, 1, new[0])[..., : old[1]], 1, 1)
    found = loader.pad(batch.numpy(), *new)
    assert found.shape[2:] == new
    np.testing.assert_array_equal(found[..., : wanted.shape[2], : old[1]], wanted.numpy())


def test_images_of_several_sizes_come_back_in_their_order(tmp_path: Path) -> None:
    bundle = load(write_tiny_bundle(tmp_path / "b"))
    images = [IMAGE, IMAGE[:7], IMAGE[::-1], IMAGE[:7, ::-1]]
    for image, found in zip(images, bundle.predict_batch(images), strict=True):
        alone = bundle.predict(image)
        np.testing.assert_array_equal(found.mask, alone.mask)
        assert found.features is not None
        np.testing.assert_allclose(found.features, image.mean((0, 1)), rtol=1e-5)


def _encoded(kind: str) -> bytes:
    held = io.BytesIO()
    image = Image.fromarray(IMAGE)
    if kind == "jpeg turned":
        exif = Image.Exif()
        exif[274] = 6
        image.save(held, "JPEG", exif=exif.tobytes())
    elif kind == "grey 16":
        Image.fromarray(IMAGE[..., 0].astype(np.uint16) * 250).save(held, "PNG")
    elif kind == "palette":
        image.quantize(16).save(held, "PNG")
    elif kind == "alpha":
        image.putalpha(90)
        image.save(held, "PNG")
    elif kind == "tiff turned":
        image.save(held, "TIFF", tiffinfo={274: 8})
    else:
        image.convert(kind).save(held, "JPEG" if kind == "CMYK" else "PNG")
    return held.getvalue()


@pytest.mark.parametrize(
    "kind", ["jpeg turned", "tiff turned", "grey 16", "palette", "alpha", "CMYK", "L", "1", "RGB"]
)
@pytest.mark.parametrize("channels", [3, 1])
def test_decodes_as_the_training(tmp_path: Path, kind: str, channels: int) -> None:
    accepts = {"channels": channels}
    bundle = load(write_tiny_bundle(tmp_path / "b", golden=False, input=accepts))
    content = _encoded(kind)
    wanted = decode_image(content, Path("x"), channels).reshape(*bundle.decode(content).shape)
    np.testing.assert_array_equal(bundle.decode(content), wanted)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not an image"),
        (b"GIF89a", "not an image"),
        (_encoded("RGB")[:200], "not an image, or damaged"),
        (b"\x93NUMPY\x01\x00", "not an image, or damaged"),
    ],
)
def test_refuses_what_is_no_image(tmp_path: Path, content: bytes, says: str) -> None:
    bundle = load(write_tiny_bundle(tmp_path / "b"))
    with pytest.raises(ImageError, match=says):
        bundle.decode(content)


def test_refuses_more_pixels_than_the_contract_says(tmp_path: Path) -> None:
    bundle = load(write_tiny_bundle(tmp_path / "b", golden=False, input={"max_pixels": 700}))
    with pytest.raises(ImageError, match="above 700 pixels"):
        bundle.decode(_encoded("RGB"))


def test_a_zip_is_a_bundle_too(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    assert load(pack(folder, tmp_path / "b.zip")).id == load(folder).id


def test_a_bundle_of_every_version_still_loads() -> None:
    """Each file was written when its version was the newest; none of them is ever written anew."""
    for version in loader.VERSIONS:
        bundle = load(Path(__file__).parent / f"version_{version}.zip")
        assert bundle.info["version"] == version
        image = np.array([[[200, 10, 10], [10, 200, 10]]], np.uint8)
        found = bundle.predict(image)
        logits = np.einsum("kcij,hwc->khw", tiny_weights(), image.astype(np.float32))
        np.testing.assert_allclose(found.probabilities, loader.softmax(logits[None])[0], atol=1e-6)
        assert found.features is not None


def test_a_bundle_that_was_changed_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    model = folder / "model.onnx"
    sound = model.read_bytes()
    model.write_bytes(sound[:-1] + b"x")
    with pytest.raises(BundleError, match=r"changed, missing or added\): \['model.onnx'\]"):
        load(folder)
    model.write_bytes(sound)
    (folder / "more.py").write_text("x")
    with pytest.raises(BundleError, match=r"\['more.py'\]"):
        load(folder)
    (folder / "more.py").unlink()
    (folder / "golden" / "link").symlink_to("/etc/passwd")
    with pytest.raises(BundleError, match="symbolic links"):
        load(folder)


def test_a_bundle_that_predicts_otherwise_is_refused(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    path = folder / "bundle.json"
    path.write_text(path.read_text().replace('"temperature": 1.0', '"temperature": 3.0'))
    with pytest.raises(BundleError, match=r"golden/0.png comes out other than at export"):
        load(folder)
    assert load(folder, check=False).info["temperature"] == 3.0


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}'])
def test_a_bundle_without_a_sound_list_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "bundle.json").write_text(content)
    with pytest.raises(BundleError, match=r"sound bundle\.json"):
        load(tmp_path)


def test_says_which_version_and_variant_it_takes(tmp_path: Path) -> None:
    folder = write_tiny_bundle(tmp_path / "b")
    with pytest.raises(BundleError, match=r"expected a variant of \['fp32'\], got int8"):
        load(folder, variant="int8")
    path = folder / "bundle.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 9}))
    with pytest.raises(BundleError, match=r"expected version \(1,\), got 9"):
        load(folder)
    with pytest.raises(BundleError, match="expected a bundle: a folder, or a zip"):
        load(tmp_path / "nothing")


def test_a_zip_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "b.zip", "w") as archive:
        archive.writestr("bundle.json", "{}")
    large = zipfile.ZipInfo("large")
    large.file_size = 9 << 30
    monkeypatch.setattr(zipfile.ZipFile, "infolist", lambda self: [large])
    with pytest.raises(BundleError, match="8 GiB"):
        load(tmp_path / "b.zip")


def test_is_one_short_file_without_torch() -> None:
    path = Path(loader.__file__)
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    with tokenize.open(path) as file:
        tokens = [one for one in tokenize.generate_tokens(file.readline) if one.type not in skipped]
    lines = {one.start[0] for one in tokens if not one.line.strip().startswith('"""')}
    assert len(lines) < 200
    script = (
        "import runpy, sys; [sys.modules.__setitem__(n, None) for n in ('torch', 'cv2', 'seglab', 'scipy')]; "
        f"runpy.run_path({str(path)!r}, run_name='copied')"
    )
    subprocess.run([sys.executable, "-c", script], check=True)
