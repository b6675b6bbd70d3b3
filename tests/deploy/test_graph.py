"""Networks as graphs: pooling that exports, sizes that stay open, and what cannot be exported."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import onnx
import onnxruntime as ort
import pytest
import timm
import torch
from torch import Tensor, nn

from seglab.deploy.export.graph import (
    ExportError,
    RawInput,
    _fixed_same_padding,
    _PoolByProducts,
    example_sizes,
    export_program,
    exportable,
    measure_parity,
    save_program,
    write_onnx,
)
from seglab.models import Segmenter, SegNetBasic, build_smp
from seglab.models.normalization import Normalization
from seglab.models.options import ModelFacts

_SAME_PADDED = "tu-tf_efficientnet_lite0"


class Branching(Segmenter):
    """A network whose way depends on what the image holds."""

    def __init__(self) -> None:
        facts = ModelFacts(stride=1, min_size=1, min_train_batch=1)
        super().__init__("branching", 2, 3, Normalization((0.5,) * 3, (0.5,) * 3), facts)
        self.head = nn.Conv2d(3, 2, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return logits."""
        return self.head(image) if image.mean() > 0 else -self.head(image)  # type: ignore[no-any-return]


@pytest.mark.parametrize("bins", [1, 2, 3, 6, (2, None), (None, 5)])
@pytest.mark.parametrize("size", [(6, 6), (7, 13), (2, 3), (1, 1), (48, 64)])
def test_pooling_by_products_is_adaptive_pooling(
    bins: int | tuple[int | None, int | None], size: tuple[int, int]
) -> None:
    image = torch.rand(2, 3, *size)
    pair = bins if isinstance(bins, tuple) else (bins, bins)
    wanted = nn.AdaptiveAvgPool2d(bins)(image)
    torch.testing.assert_close(_PoolByProducts(pair)(image), wanted)


def test_same_padding_is_fixed_where_the_stride_divides_the_side() -> None:
    wanted = timm.layers.padding.get_same_padding
    for side, kernel_size, stride, dilation in product((12, 24), (1, 2, 3, 5), (1, 2, 3), (1, 2)):
        found = _fixed_same_padding(side, kernel_size, stride, dilation)
        assert found == wanted(side, kernel_size, stride, dilation)


def test_what_is_replaced_is_put_back() -> None:
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.AdaptiveAvgPool2d(3), nn.ReLU())
    pools, padding = [model[0], model[1]], timm.layers.padding.get_same_padding
    with exportable(model):
        assert model[0] is pools[0]
        assert isinstance(model[1], _PoolByProducts)
        assert timm.layers.padding.get_same_padding is _fixed_same_padding
    assert [model[0], model[1]] == pools
    assert timm.layers.padding.get_same_padding is padding


def test_takes_stored_values_and_gives_features() -> None:
    model = build_smp(arch="unet", encoder_name="resnet18", encoder_weights=None, num_classes=3)
    model.eval()
    image = torch.randint(0, 256, (2, 3, 32, 64)).float()
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (model.mean, model.std))
    logits, *features = RawInput(model).eval()(image)
    normalised = (image / 255 - mean) / std
    torch.testing.assert_close(logits, model(normalised), atol=1e-4, rtol=1e-4)
    wanted = model.encoder(normalised)[-1].mean((2, 3))
    torch.testing.assert_close(features[0], wanted, atol=1e-4, rtol=1e-4)


def test_sizes_are_ones_that_the_model_takes() -> None:
    model = build_smp(arch="pan", encoder_name="resnet18", encoder_weights=None, num_classes=2)
    for size in example_sizes(model):
        model.check_image(torch.zeros(1, 3, *size))
    assert len(set(example_sizes(model))) == 4


def test_names_what_cannot_be_exported() -> None:
    with pytest.raises(
        ExportError, match=r"torch.export cannot export Branching \(branching\): \S"
    ):
        export_program(RawInput(Branching()).eval())


def _as_run(path: Path) -> set[str]:
    """Return the operators that are left once layers are merged."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(path.with_name("merged.onnx"))
    ort.InferenceSession(str(path), options)
    return {node.op_type for node in onnx.load(options.optimized_model_filepath).graph.node}


@pytest.mark.slow
@pytest.mark.parametrize("arch", ["pspnet", "segformer", "segnet_basic", "unet"])
def test_graph_is_the_network_at_sizes_it_has_not_seen(arch: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    if arch == "segnet_basic":
        model: Segmenter = SegNetBasic(num_classes=5, width=8)
    else:
        encoder = {"segformer": "mit_b0", "unet": _SAME_PADDED}.get(arch, "resnet18")
        model = build_smp(arch=arch, encoder_name=encoder, encoder_weights=None, num_classes=5)
    network = RawInput(model.eval()).eval()
    with exportable(model):
        program, _ = export_program(network)
        write_onnx(program, model, tmp_path / "m.onnx")
    save_program(program, model, tmp_path / "m.pt2")
    found = measure_parity(network, tmp_path / "m.onnx")
    assert len(found.tried) == 8
    assert found.largest <= 1e-3 * max(1.0, found.scale)
    assert "BatchNormalization" not in _as_run(tmp_path / "m.onnx")
    # Another network than that of the graph is noticed.
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.5)
    with pytest.raises(ExportError, match="is not the network"):
        measure_parity(network, tmp_path / "m.onnx")
