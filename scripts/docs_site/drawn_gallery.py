"""Pages of the gallery drawn with every build: what augmentations and corruptions do to a picture."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from seglab.augment.corruption.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from seglab.augment.options import AugmentSpec
from seglab.augment.preview import PreviewOptions, PreviewSample, augment_batch, overlay_mask
from seglab.config.declared.key_help import keys_below
from seglab.data.synth import LABELS, SceneOptions, build_scene, render_frame

# Each effect by the words that show it: strong enough to be seen, and always, where training draws lots.
EFFECTS = (
    "geometry.hflip=1",
    "geometry.vflip=1",
    "geometry.scale=[0.5,2.0]",
    "geometry.aspect=[0.6,1.7]",
    "geometry.rotate=30",
    "geometry.shear=20",
    "geometry.perspective=0.4 geometry.perspective_p=1",
    "geometry.crop=random geometry.scale=[1.8,2.0] geometry.rare_class_crop=1",
    "colour.p=1 colour.brightness=0.5",
    "colour.p=1 colour.contrast=0.7",
    "colour.p=1 colour.saturation=0.9",
    "colour.p=1 colour.hue=0.2",
    "colour.p=1 colour.gamma=1.5",
    "colour.p=1 colour.grayscale=1",
    "blur.p=1 blur.sigma=[1.0,3.0]",
    "noise.p=1 noise.std=[10,30]",
    "jpeg.p=1 jpeg.quality=[5,20]",
    "erasing.p=1 erasing.scale=[0.05,0.2] erasing.ratio=[0.5,2.0]",
    "mixing.cutmix=1",
    "mixing.classmix=1",
    "mixing.mosaic=1",
    "mixing.copy_paste=1",
)
_SIZE = (144, 192)
_DRAWS = 3
_GAP = 4


def gallery_pages(conf: Path) -> dict[str, str | bytes]:
    """Return the pages and their pictures by their place in the site.

    Args:
        conf: Folder of the configuration, whose choices of `augment` are shown as well.
    """
    pages: dict[str, str | bytes] = {}
    pages["gallery/augmentations.md"] = "\n".join(_augmentations(conf, pages))
    pages["gallery/corruptions.md"] = "\n".join(_corruptions(pages))
    return pages


def _augmentations(conf: Path, files: dict[str, str | bytes]) -> Iterator[str]:
    yield from (
        "---",
        "description: Every augmentation of seglab on the same drawn street scene, with its mask.",
        "---",
        "# Augmentations",
        "",
        "Each effect alone on one drawn scene: on the left as it is, then three draws; below each image",
        "what the mask becomes. Pixels without an answer are striped. The settings are stronger than those",
        "of training, and always strike, so that they can be seen. `seglab data preview` draws your own",
        "images with your own settings. Drawn with this build of the site.",
        "",
        "## Choices",
        "",
        "What `augment=light`, `standard` and `strong` make of it, by lot.",
        "",
    )
    samples = list(_samples())
    for path in sorted(conf.glob("augment/*.yaml")):
        if path.stem != "none":
            yield from (f"### `augment={path.stem}`", "")
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            spec = AugmentSpec.read(content, "augment")
            yield from _strip(f"augment-{path.stem}", f"augment={path.stem}", spec, samples, files)
    yield from ("## One by one", "")
    sentences = {key.name: key.sentence for key in keys_below(AugmentSpec)}
    for words in EFFECTS:
        key = words.split()[-1].partition("=")[0]
        if key.endswith(("perspective_p", "ratio")):
            key = words.split()[-2].partition("=")[0]
        shown = " ".join(f"augment.{word}" for word in words.split())
        yield from (f"### `{key}`", "", sentences[key].replace("<", "&lt;"), "", f"`{shown}`", "")
        yield from _strip(key, shown, AugmentSpec.read(_nested(words), "augment"), samples, files)


def _strip(
    name: str,
    words: str,
    spec: AugmentSpec,
    samples: list[PreviewSample],
    files: dict[str, str | bytes],
) -> Iterator[str]:
    """Draw a scene and its draws side by side, masks below, and yield the words that show it."""
    options = PreviewOptions(crop_hw=_SIZE)
    drawn = [augment_batch(samples, LABELS, spec, options, draw)[0] for draw in range(_DRAWS)]
    cells = [(samples[0].image, samples[0].mask), *drawn]
    images = _row([image for image, _ in cells])
    masks = _row([overlay_mask(image, mask, LABELS) for image, mask in cells])
    place = f"gallery/drawn/{name}.webp"
    alt = f"A drawn street scene as it is, and {_DRAWS} times under {words}; their masks below"
    files[place], shown = _picture([images, masks], alt, place)
    yield from (shown, "")


def _corruptions(files: dict[str, str | bytes]) -> Iterator[str]:
    yield from (
        "---",
        "description: Seven corruptions at five severities, as suite=full scores a model under them.",
        "---",
        "# Corruptions",
        "",
        "`seglab evaluate run=RUN_DIR suite=full` scores a model under each of these at five severities",
        "(after ImageNet-C, [Hendrycks and Dietterich, 2019](https://arxiv.org/abs/1903.12261)); no pixel",
        "moves, so masks stay as they are. First the image as it is, then severities 1 to 5, line by line.",
        "Drawn with this build of the site.",
        "",
    )
    sample = next(_samples())
    image = torch.from_numpy(sample.image.copy()).permute(2, 0, 1)[None]
    for name, corruption in CORRUPTIONS.items():
        changed = [corrupt(image, name, severity, 0, [sample.sample_id]) for severity in SEVERITIES]
        cells = [sample.image, *(one[0].permute(1, 2, 0).numpy() for one in changed)]
        place = f"gallery/drawn/{name}.webp"
        alt = f"A drawn street scene as it is, and under {name} at severities 1 to 5"
        files[place], shown = _picture([_row(cells[:3]), _row(cells[3:])], alt, place)
        yield from (f"## `{name}`", "")
        yield from (f"`suite.corruptions=[{name}]`: {corruption.description}", "", shown, "")


def _samples() -> Iterator[PreviewSample]:
    """Yield scenes by day; the further ones are mixed into the first."""
    for number in (3, 5, 8, 9):
        frame = render_frame(build_scene(0, number, SceneOptions()), 0, _SIZE)
        yield PreviewSample(f"scene{number}", frame.image, frame.mask)


def _nested(words: str) -> dict[str, dict[str, object]]:
    found: dict[str, dict[str, object]] = {}
    for word in words.split():
        key, _, value = word.partition("=")
        group, _, leaf = key.partition(".")
        found.setdefault(group, {})[leaf] = yaml.safe_load(value)
    return found


def _row(cells: list[np.ndarray]) -> np.ndarray:
    """Put cells of one size side by side, a white gap between them."""
    gap = np.full((cells[0].shape[0], _GAP, 3), 255, np.uint8)
    parts = [part for cell in cells for part in (np.asarray(cell), gap)]
    return np.concatenate(parts[:-1], axis=1)


def _picture(rows: list[np.ndarray], alt: str, place: str) -> tuple[bytes, str]:
    gap = np.full((_GAP, rows[0].shape[1], 3), 255, np.uint8)
    pixels = np.concatenate([part for row in rows for part in (row, gap)][:-1], axis=0)
    content = io.BytesIO()
    Image.fromarray(pixels).save(content, "WEBP", quality=85, method=4)
    size = f'width="{pixels.shape[1]}" height="{pixels.shape[0]}" loading=lazy'
    return content.getvalue(), f"![{alt}]({place.removeprefix('gallery/')}){{ {size} }}"
