import io
import logging
import time
import zipfile
from pathlib import Path

import pytest
import timm
import torch
from huggingface_hub import constants
from safetensors.torch import load_file, save_file

from seglab.core.errors import ConfigError
from seglab.models import build_smp, read_state_dict
from seglab.models.weights import hub
from seglab.models.weights.encoder_weights import LoadReport, copy_weights

LITE0 = (
    Path(__file__).resolve().parents[2].parent
    / "shared"
    / "weights"
    / "tf_efficientnet_lite0.safetensors"
)
LIGHT = "mobilenetv3_small_100"


@pytest.fixture
def light_file(tmp_path):
    torch.manual_seed(7)
    state = timm.create_model(LIGHT).state_dict()
    save_file(state, tmp_path / "light.safetensors")
    return tmp_path / "light.safetensors"


@pytest.mark.skipif(not LITE0.is_file(), reason=f"real weights are not at {LITE0}")
class TestRealWeights:
    def test_every_encoder_tensor_equals_the_file(self):
        model = build_smp(11, "unet", "tf_efficientnet_lite0", encoder_weights=str(LITE0))
        file = load_file(LITE0)
        report = model.load_report
        assert report is not None
        assert (report.missing, report.mismatched) == ((), ())
        # The head of the classifier: last convolution, its normalisation, the linear layer.
        assert {name.split(".")[0] for name in report.unexpected} == {
            "conv_head",
            "bn2",
            "classifier",
        }
        counters = [name for name in file if name.endswith("num_batches_tracked")]
        assert len(report.loaded) + len(report.unexpected) + len(counters) == len(file)
        for name, value in model.encoder.model.state_dict().items():
            if name in file or not name.endswith("num_batches_tracked"):
                assert torch.equal(value, file[name]), name

    @pytest.mark.parametrize("in_channels", [1, 2, 5, 16])
    def test_first_layer_of_other_bands_is_that_of_timm(self, in_channels):
        ours = build_smp(
            2, "unet", "tf_efficientnet_lite0", encoder_weights=str(LITE0), in_channels=in_channels
        )
        theirs = timm.create_model(
            "tf_efficientnet_lite0",
            pretrained=True,
            in_chans=in_channels,
            pretrained_cfg_overlay={"file": str(LITE0)},
        )
        assert ours.encoder.model.conv_stem.weight.shape[1] == in_channels
        assert torch.equal(ours.encoder.model.conv_stem.weight, theirs.conv_stem.weight)
        assert ours.load_report.missing == ours.load_report.mismatched == ()

    def test_features_equal_those_of_timm(self):
        model = build_smp(11, "fpn", "tf_efficientnet_lite0", encoder_weights=str(LITE0)).eval()
        reference = timm.create_model(
            "tf_efficientnet_lite0", pretrained=False, features_only=True
        ).eval()
        reference.load_state_dict(load_file(LITE0), strict=False)
        image = torch.randn(1, 3, 64, 96)
        with torch.inference_mode():
            ours, theirs = model.encoder(image)[1:], reference(image)
        assert len(ours) == len(theirs) == 5
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.equal(mine, other)

    def test_file_of_another_encoder_is_refused(self):
        with pytest.raises(ConfigError, match="not the weights of 'resnet18'; 0 of 100"):
            build_smp(3, "unet", "resnet18", encoder_weights=str(LITE0))


@pytest.mark.parametrize(
    ("name", "arch", "options"),
    [
        ("resnet18", "pspnet", {}),
        ("convnext_atto", "unet", {}),
        pytest.param("vgg11_bn", "unet", {}, marks=pytest.mark.slow),
        ("densenet121", "fpn", {}),
        ("swin_tiny_patch4_window7_224", "upernet", {"encoder": {"strict_img_size": False}}),
        ("vit_tiny_patch16_224", "dpt", {}),
    ],
)
def test_timm_key_layouts_of_all_kinds_are_matched(name, arch, options):
    model = build_smp(2, arch, name, options=options)
    torch.manual_seed(11)
    state = timm.create_model(name).state_dict()
    report = copy_weights(model.encoder, state, "file")
    assert (report.missing, report.mismatched) == ((), ())
    parameters = dict(model.encoder.named_parameters())
    kernels = [key for key in report.loaded if key in parameters and parameters[key].ndim > 1]
    values = {value.shape: value for value in state.values()}
    assert kernels
    assert all(parameters[key].shape in values for key in kernels)
    first = parameters[kernels[0]]
    assert any(first.shape == v.shape and torch.equal(first, v) for v in state.values())


@pytest.mark.parametrize(
    ("wrapper", "prefix"), [(None, ""), ("state_dict", ""), ("model", "module.")]
)
def test_pth_files_are_unwrapped(tmp_path, wrapper, prefix):
    state = {f"{prefix}conv.weight": torch.arange(4.0), f"{prefix}conv.bias": torch.ones(1)}
    torch.save({wrapper: state, "epoch": 3} if wrapper else state, tmp_path / "file.pth")
    read = read_state_dict(tmp_path / "file.pth")
    assert list(read) == ["conv.weight", "conv.bias"]
    assert torch.equal(read["conv.weight"], torch.arange(4.0))


def test_files_that_are_not_weights(tmp_path):
    with pytest.raises(ConfigError, match=r"there is no file '.*absent\.pth'"):
        read_state_dict(tmp_path / "absent.pth")
    with pytest.raises(ConfigError, match=r"expected 'imagenet', null or a file .* got 'imagenot'"):
        read_state_dict(Path("imagenot"))
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ConfigError, match="holds no tensors by name but list"):
        read_state_dict(tmp_path / "list.pth")
    torch.save({"epoch": 1}, tmp_path / "keys.pth")
    with pytest.raises(ConfigError, match="holds no tensors by name but keys epoch"):
        read_state_dict(tmp_path / "keys.pth")


def zip_of(name: str) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr(name, "x")
    return content.getvalue()


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", r"it is empty \(0 bytes\)"),
        (b"not weights\n", "it is a text file, which begins 'not weights'"),
        ("Gewichte f\u00fcr U-Net".encode(), "it is a text file, which begins 'Gewichte f\u00fcr"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "it is a pointer of Git LFS"),
        (zip_of("a.txt"), "it is a zip archive of a.txt"),
        (None, "it is a folder; give a file in it"),
    ],
)
def test_why_a_file_is_unreadable(tmp_path, content, why, suffix):
    path = tmp_path / f"weights{suffix}"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(ConfigError, match=rf"{path} is not a readable checkpoint: {why}"):
        read_state_dict(path)


def test_files_that_were_cut_off_say_so(tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"w": torch.ones(1000)}, whole)
    content = whole.read_bytes()
    for kept in (100, len(content) // 2, len(content) - 30):
        (tmp_path / "part.pth").write_bytes(content[:kept])
        with pytest.raises(ConfigError, match=f"it is cut off after {kept:,} bytes"):
            read_state_dict(tmp_path / "part.pth")
    save_file({"w": torch.ones(1000)}, tmp_path / "whole.safetensors")
    content = (tmp_path / "whole.safetensors").read_bytes()
    (tmp_path / "part.safetensors").write_bytes(content[:2000])
    with pytest.raises(ConfigError, match=r"part\.safetensors is not a readable checkpoint"):
        read_state_dict(tmp_path / "part.safetensors")
    (tmp_path / "other.pth").write_bytes(content)
    with pytest.raises(ConfigError, match=r"give it the suffix \.safetensors"):
        read_state_dict(tmp_path / "other.pth")


def test_pickled_code_is_not_run(tmp_path):
    marker = tmp_path / "ran"

    class Bomb:
        def __reduce__(self):
            return Path.touch, (marker,)

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(ConfigError, match="it holds a pickled"):
        read_state_dict(tmp_path / "bomb.pth")
    assert not marker.exists()


def test_grey_and_four_channel_convolutions_are_adapted(light_file):
    rgb = load_file(light_file)["conv_stem.weight"]
    grey = build_smp(2, "unet", LIGHT, encoder_weights=str(light_file), in_channels=1)
    torch.testing.assert_close(
        grey.encoder.model.conv_stem.weight.detach(), rgb.sum(dim=1, keepdim=True)
    )
    four = build_smp(2, "unet", LIGHT, encoder_weights=str(light_file), in_channels=4)
    expected = torch.cat([rgb, rgb[:, :1]], dim=1) * 3 / 4
    torch.testing.assert_close(four.encoder.model.conv_stem.weight.detach(), expected)
    assert grey.load_report.missing == four.load_report.missing == ()


def test_tensors_that_do_not_fit_are_reported_and_warned_of(light_file, tmp_path, caplog):
    state = load_file(light_file)
    del state["bn1.weight"]
    state["bn1.bias"] = torch.zeros(99)
    save_file(state, tmp_path / "part.safetensors")
    with caplog.at_level(logging.WARNING, "seglab"):
        model = build_smp(2, "unet", LIGHT, encoder_weights=str(tmp_path / "part.safetensors"))
    report = model.load_report
    assert report.missing == ("model.bn1.weight",)
    assert report.mismatched == ("model.bn1.bias: 99 in the file, 16 here",)
    assert "1 missing (model.bn1.weight)" in caplog.text
    assert "1 mismatched (model.bn1.bias: 99 in the file, 16 here)" in caplog.text


def test_summary_counts_and_shortens():
    report = LoadReport("f.pth", ("a", "b"), ("c",), tuple("defgh"), ())
    assert report.summary() == (
        "2 of 3 tensors loaded from f.pth; 1 missing (c); 5 unexpected (d, e, f, g, ...)"
    )


def test_weights_that_cannot_be_fetched_say_what_to_do(monkeypatch):
    create = timm.create_model

    def offline(name, **arguments):
        if arguments.get("pretrained"):
            raise OSError("no route to host\nlong trace")
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", offline)
    monkeypatch.setattr(hub, "_answers", lambda: True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    with pytest.raises(ConfigError) as caught:
        build_smp(2, "unet", LIGHT, encoder_weights="imagenet")
    text = str(caught.value)
    assert f"the 'imagenet' weights of '{LIGHT}' are not on this machine" in text
    assert "(OSError: no route to host)" in text
    assert "give model.encoder_weights=FILE (.safetensors or .pth), or null" in text


def test_a_hub_that_does_not_answer_is_asked_once_and_the_file_is_named(
    monkeypatch, caplog, tmp_path
):
    """The hub's client by itself tries again for a minute, and warns twice a try."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    started = time.monotonic()
    with pytest.raises(ConfigError, match="the hub cannot be reached") as caught:
        build_smp(2, "unet", "resnet18", encoder_weights="imagenet")
    assert time.monotonic() - started < 20
    assert "Fetch its model.safetensors (timm/resnet18.a1_in1k on the hub)" in str(caught.value)
    assert "Retrying" not in caplog.text
    assert constants.HF_HUB_OFFLINE is False


def test_published_weights_fill_the_encoder(monkeypatch, light_file):
    create = timm.create_model

    def cached(name, **arguments):
        if arguments.pop("pretrained", False):
            model = create(name, **arguments)
            model.load_state_dict(load_file(light_file))
            return model
        return create(name, **arguments)

    monkeypatch.setattr(timm, "create_model", cached)
    model = build_smp(2, "unet", LIGHT, encoder_weights="imagenet")
    assert model.load_report.source == "imagenet"
    stem = model.encoder.model.conv_stem.weight.detach()
    assert torch.equal(stem, load_file(light_file)["conv_stem.weight"])
