"""Export networks of random weights and hold each graph against its network, at sizes it has not seen.

Prints, for each, the largest difference of a logit over four sizes and two batch sizes, of which the
exporter saw one size, and the seconds that it took. Ends with 1 where one cannot be exported.

Example: python scripts/export_parity.py unet/resnet18 segnet
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import torch

from seglab.core.architectures import ARCHITECTURES
from seglab.deploy.export.graph import (
    ExportError,
    RawInput,
    export_program,
    exportable,
    measure_parity,
    write_onnx,
)
from seglab.models import Segmenter, SegNet, SegNetBasic, build_smp

_OWN = {"segnet": SegNet, "segnet_basic": SegNetBasic}
_ENCODERS = {"segformer": "mit_b0", "dpt": "vit_tiny_patch16_224"}
_MORE = ("unet/tu-tf_efficientnet_lite0",)  # SAME padding
_CLASSES = 5


def main() -> int:
    """Export each, and print a line for it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("models", nargs="*", help="ARCH or ARCH/ENCODER; none: every one there is")
    failed = 0
    for word in parser.parse_args().models or [*ARCHITECTURES, *_OWN, *_MORE]:
        started = time.perf_counter()
        try:
            said = parity_of(build(*word.split("/")))
        except ExportError as error:
            failed, said = failed + 1, f"FAILED: {error}"
        print(f"{word:24} {said}, {time.perf_counter() - started:.0f} s", flush=True)
    return 1 if failed else 0


def build(arch: str, encoder: str = "") -> Segmenter:
    """Return a network of random weights, always the same."""
    torch.manual_seed(0)
    if arch in _OWN:
        return _OWN[arch](num_classes=_CLASSES).eval()
    name = encoder or _ENCODERS.get(arch, "resnet18")
    return build_smp(
        arch=arch, encoder_name=name, encoder_weights=None, num_classes=_CLASSES
    ).eval()


def parity_of(model: Segmenter) -> str:
    """Export a network and return in words how far graph and network are apart."""
    network = RawInput(model).eval()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        with exportable(model):
            write_onnx(export_program(network)[0], model, path)
        found = measure_parity(network, path)
    return f"logits of up to {found.scale:.3g} differ by up to {found.largest:.2g}"


if __name__ == "__main__":
    sys.exit(main())
