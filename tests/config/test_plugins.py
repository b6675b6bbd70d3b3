"""Parts of one's own in a configuration: what is accepted, what is refused, and how it is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config.compose import compose
from seglab.config.language.locate import conf_dir
from seglab.config.validate import validate
from seglab.core.errors import ConfigError
from seglab.core.parts.kinds import KINDS
from seglab.core.parts.plugins import (
    ENV_PLUGINS,
    _entry_points,
    conf_folders,
    load_target,
    name_packages,
    named_packages,
)

OWN = '''
from __future__ import annotations

class Net:
    """Not imported for its base."""
    def __init__(self, num_classes: int, depth: int, width: int = 8, rates: tuple[float, float] = (0.1, 0.2)):
        ...

def loss(logits, mask, scale: float = 1.0):
    return scale

def score(confusion): ...

value = 3
'''


@pytest.fixture(autouse=True)
def lab(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    """Work in a folder with a module of one's own, whose name no other test has imported."""
    name = f"lab_{abs(hash(request.node.nodeid))}"
    (tmp_path / f"{name}.py").write_text(OWN)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv(ENV_PLUGINS, "")
    return name


def lines(*words: str) -> list[str]:
    with pytest.raises(ConfigError) as error:
        compose(["data=synth", *words])
    return error.value.problems


def test_a_typed_target_takes_the_place_of_the_files_keys(lab: str) -> None:
    cfg = compose(
        [f"model._target_={lab}.Net", "+model.depth=3", "optimizer._target_=torch.optim.RAdam"]
    )

    assert set(cfg.model) == {"_target_", "in_channels", "init_from", "depth"}
    assert set(cfg.optimizer) == {"_target_", "lr", "encoder_lr"}
    # What was typed may be imported from now on, by children too; of libraries nothing is opened.
    assert os.environ[ENV_PLUGINS] == f"{lab}.Net"


def test_options_are_held_against_the_signature_all_at_once(lab: str) -> None:
    words = [
        f"model._target_={lab}.Net",
        "+model.widht=3",
        "+model.rates=[1,a]",
        "+model.facts.strid=2",
    ]

    assert set(lines(*words)) == {
        "model.depth: missing; it must be in the configuration",
        "model.widht: no such key (did you mean 'model.width'?), got 3; 'model' takes _target_, depth, "
        "facts, in_channels, init_from, rates, width",
        "model.rates[1]: expected a number, got 'a'",
        "model.facts.strid: no such key (did you mean 'model.facts.stride'?), got 2; 'model.facts' takes "
        "encoder, head, mean, min_size, min_train_batch, std, stride",
    }


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (["model._target_={lab}.Nett"], "has no 'Nett' (did you mean 'Net'?)"),
        (["model._target_={lab}x.Net"], "cannot be imported: ModuleNotFoundError"),
        (["model._target_={lab}.value"], "expected a class or function"),
        (["model._target_=torch.hub.load"], "'torch.hub.load' is refused"),
        (["model._target_=torch.nn.functional.relu"], "expected a subclass of torch's Module"),
        (["optimizer._target_=torch.optim.lr_scheduler.StepLR"], "a subclass of torch's Optimizer"),
        (["optimizer._target_=torch.optim.SGD", "+optimizer.momentun=0.9"], "'optimizer.momentum'"),
        (
            ["loss=ce", "loss.terms.ce._target_={lab}.loss", "loss.terms.ce.class_weights=enet"],
            "loss.terms.ce.class_weights: expected 'none' or null, got 'enet'",
        ),
        (["loss._target_={lab}.loss"], "a loss of your own is a term: loss.terms.NAME._target_="),
        (
            [
                "loss=ce",
                "loss.terms.ce._target_={lab}.loss",
                "+loss.terms.ce.scale={{_target_: os.system}}",
            ],
            "loss.terms.ce.scale._target_: 'os.system' is not allowed here",
        ),
        (
            ["+callbacks.extra.mine._target_=os.system"],
            "'os.system' is refused: a callback is a class of",
        ),
        (["+metrics.extra.miou._target_={lab}.score"], "metrics.extra.miou: expected a name"),
        (["data.importer={lab}.nothing"], "data.importer: "),
    ],
)
def test_wrong_words_are_told(lab: str, words: list[str], text: str) -> None:
    found = lines(*(word.format(lab=lab) for word in words))
    assert any(text in line for line in found), found


def test_own_conf_is_found_and_its_names_do_not_hide(lab: str, tmp_path: Path) -> None:
    folder = tmp_path / "conf" / "model"
    folder.mkdir(parents=True)
    (folder / "mynet.yaml").write_text(f"_target_: {lab}.Net\ndepth: 2\nfacts: {{stride: 8}}\n")
    (folder / "unet.yaml").write_text(f"_target_: {lab}.Net\n")

    assert compose(["model=mynet", "data.crop_size=[64,64]"]).model.depth == 2
    assert "takes sides in multiples of 8" in lines("model=mynet", "data.crop_size=[60,64]")[0]
    assert f"is taken before {folder / 'unet.yaml'}" in lines("model=unet")[0]
    (tmp_path / "conf" / "experiment").mkdir()
    (tmp_path / "conf" / "experiment" / "own.yaml").write_text(
        "# @package _global_\ndefaults:\n  - override /model: unet\n"
    )
    assert f"is taken before {folder / 'unet.yaml'}" in lines("experiment=own")[0]
    # An experiment of ours means ours.
    assert compose(["experiment=demo"]).model._target_.startswith("seglab.")
    # A copy of ours hides nothing.
    (folder / "unet.yaml").write_bytes((conf_dir() / "model" / "unet.yaml").read_bytes())
    assert compose(["model=unet"]).model._target_ == "seglab.models.build_smp"
    # The default is ours and stays so.
    assert compose([]).model._target_ == "seglab.models.build_smp"


HOSTILE = [
    "model._target_",
    "loss.terms.ce._target_",
    "optimizer._target_",
    "scheduler._target_",
    "data.importer",
]


@pytest.mark.parametrize("key", HOSTILE)
@pytest.mark.parametrize("target", ["evil.run", "os.system", "builtins.eval", "subprocess.run"])
def test_a_configuration_from_elsewhere_imports_nothing(
    tmp_path: Path, key: str, target: str
) -> None:
    (tmp_path / "evil.py").write_text("open('marker', 'w').close()\ndef run(*a, **b): ...\n")
    cfg = compose(["loss=ce"])
    OmegaConf.update(cfg, key, target)
    cfg["plugins"] = ["evil"]  # a record's own word for itself counts nothing

    problems = validate(OmegaConf.create(OmegaConf.to_yaml(cfg)))

    assert any("is refused" in line for line in problems), problems
    assert not (tmp_path / "marker").exists()


def test_a_folder_that_hides_the_package_is_told(tmp_path: Path, lab: str) -> None:
    (tmp_path / f"{lab}_project" / "data").mkdir(parents=True)
    folder = tmp_path / f"{lab}_project" / "data"
    (line,) = lines(f"model._target_={lab}_project.data.Net")
    assert line == (
        f"model._target_: '{lab}_project.data.Net' cannot be imported: {lab}_project.data is only a folder, "
        f"{folder}; start in the folder that holds the package, or install it"
    )


def test_naming_a_package_opens_it_and_no_library(tmp_path: Path, lab: str) -> None:
    with pytest.raises(ConfigError, match="is not named on this machine"):
        load_target(f"{lab}.Net", "model")
    name_packages([lab, "os", "torch"])
    assert load_target(f"{lab}.Net", "model").__name__ == "Net"
    assert named_packages() == (lab,)
    for target in ("os.system", "torch.hub.load", "torch.load", "builtins.exec"):
        for group in KINDS:
            with pytest.raises(ConfigError, match="refused"):
                load_target(target, group)


def test_own_conf_names_packages_but_not_in_a_folder_of_a_record(tmp_path: Path, lab: str) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "plugins.yaml").write_text(f"plugins: [{lab}]\n")
    assert load_target(f"{lab}.loss", "loss_term")(1, 2) == 1.0

    (tmp_path / "run.json").touch()
    with pytest.raises(ConfigError, match="is not named on this machine"):
        load_target(f"{lab}.loss", "loss_term")


def test_an_installed_package_brings_its_conf_and_is_named(
    tmp_path: Path, lab: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    site = tmp_path / "site"
    package = f"{lab}_package"
    (site / package / "conf" / "model").mkdir(parents=True)
    (site / package / "__init__.py").write_text("raise SystemExit('looked up, not imported')")
    (site / package / "nets.py").write_text(OWN)
    (site / package / "conf" / "model" / "theirs.yaml").write_text(
        f"_target_: {package}.nets.Net\ndepth: 4\n"
    )
    info = site / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(f"[seglab.plugins]\nlab = {package}\n")
    assert package not in named_packages()

    monkeypatch.syspath_prepend(site)
    _entry_points.cache_clear()
    try:
        assert package in named_packages()
        assert conf_folders() == [site / package / "conf"]
        (site / package / "__init__.py").write_text("")
        assert compose(["model=theirs"]).model.depth == 4
    finally:
        _entry_points.cache_clear()
