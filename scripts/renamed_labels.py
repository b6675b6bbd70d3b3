"""How far labels of swapped classes, and images that shifted, are apart in the check of `seglab retrain`.

    python scripts/renamed_labels.py --bundle DIR --manifest DIR --swap road:building --swap sky:building

Prints, for labels as they are, for each swap, and for images corrupted at severity 5, the share of pixels
on which the bundle agrees with the labels, the share under the best other names, and whether it is told.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from seglab.augment.corruption.corruptions import CORRUPTIONS, corrupt
from seglab.bundle.loader import Bundle, load
from seglab.curation.samples import Sample, read_sample
from seglab.data.manifest import Manifest
from seglab.deploy.retrain.labels import agreement
from seglab.deploy.retrain.options import RetrainOptions
from seglab.metrics.confusion import mask_confusion

_SEVERITY = 5


def main() -> None:
    """Read the arguments and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--manifest", type=Path, required=True)
    parser.add_argument("--split", default="val", help="whose images; val by default")
    parser.add_argument("--every", type=int, default=8, help="take every n-th image; 8 by default")
    parser.add_argument("--swap", action="append", default=[], metavar="CLASS:CLASS")
    args = parser.parse_args()
    bundle, manifest = load(args.bundle, check=False), Manifest.read(args.manifest)
    rows = manifest.split(args.split).iloc[:: args.every].to_dict(orient="records")
    samples = [read_sample(manifest, {str(key): one for key, one in row.items()}) for row in rows]
    clean = _confusion(bundle, samples)
    print(f"{len(samples)} images of {manifest.name}")
    _tell("as they are", clean, bundle)
    for words in args.swap:
        one, other = (bundle.class_names.index(name) for name in words.split(":"))
        order = np.arange(len(clean))
        order[[one, other]] = order[[other, one]]
        _tell(words, clean[order], bundle)
    for name in CORRUPTIONS:
        _tell(f"{name} {_SEVERITY}", _confusion(bundle, samples, name), bundle)


def _confusion(bundle: Bundle, samples: list[Sample], corruption: str = "") -> np.ndarray:
    total = np.zeros((len(bundle.class_names),) * 2, np.int64)
    for sample in samples:
        image = sample.image
        if corruption and image is not None:
            batch = torch.from_numpy(image.copy()).permute(2, 0, 1)[None]
            changed = corrupt(batch, corruption, _SEVERITY, 0, [sample.sample_id])[0]
            image = np.ascontiguousarray(changed.permute(1, 2, 0).numpy())
        if image is not None and sample.mask is not None:
            ignored = bundle.info["labels"]["ignore_index"]
            found = bundle.predict(image).mask
            total += mask_confusion(found, sample.mask, len(total), ignored)
    return total


def _tell(what: str, confusion: np.ndarray, bundle: Bundle) -> None:
    limit = RetrainOptions.model_fields["max_renamed"].default
    found = agreement(confusion, bundle.class_names)
    said = "told" if found.is_renamed(limit) else ""
    print(f"{what:24} {found.now:.3f} {found.best:.3f} {found.best - found.now:+.3f} {said}")


if __name__ == "__main__":
    main()
