"""Every kind of mistake a user can make, with the very words of the answer."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from seglab.config.compose import compose
from seglab.config.composer import open_composer
from seglab.config.overrides import check_overrides
from seglab.core.text.wording import joined

Problems = Callable[..., list[str]]

CONF = Path(__file__).resolve().parents[2] / "conf"
# `run` is what evaluation takes from a run, and no choice.
DATA = joined(sorted({path.stem for path in (CONF / "data").glob("*.yaml")} - {"run"}), 16)
DATA_KEYS = (
    "bands, batch_size, crop_size, display_bands, drop_last, eval_batch_size, image_size, importer, "
    "manifest, name, options, root, sampling, train_fraction"
)
MATRIX = [
    (
        ["data.batchsize=4"],
        "data.batchsize: no such key (did you mean 'data.batch_size'?), got 4; "
        f"'data' takes {DATA_KEYS}",
    ),
    (
        ["+data.batchsize=4"],
        "data.batchsize: no such key (did you mean 'data.batch_size'?), got 4; "
        f"'data' takes {DATA_KEYS}",
    ),
    (
        ["++monitor.mod=min"],
        "monitor.mod: no such key (did you mean 'monitor.mode'?), got 'min'; "
        "'monitor' takes metric, mode",
    ),
    (["+monitor.a.b=1"], "monitor.a.b: no such key, got 1; 'monitor' takes metric, mode"),
    (
        ["lr=0.1"],
        "lr: no such key (did you mean 'optimizer.lr'?), got 0.1; the top level takes augment, "
        "callbacks, cv, data, experiment_name, logger, loss, lr_scaling, metrics, model, monitor, "
        "notes, objective, optimizer, paths, plugins and 7 more",
    ),
    (
        ["optimizer=adamm"],
        "optimizer: no such choice 'adamm' (did you mean 'adam'?); choices are adam, adamw, sgd, timm",
    ),
    (["trainer=5"], "trainer: no such choice '5'; choices are cpu, ddp, default, gpu"),
    (["data=run"], f"data: no such choice 'run'; choices are {DATA}"),
    (
        ["data.batch_size=eight"],
        "data.batch_size: expected a whole number (1 or more), got 'eight'",
    ),
    (["data.batch_size=true"], "data.batch_size: expected a whole number (1 or more), got true"),
    (["data.batch_size=0"], "data.batch_size: expected a whole number (1 or more), got 0"),
    (["optimizer.lr=nan"], "optimizer.lr: expected a number (more than 0), got nan"),
    (["model.dropout=1"], "model.dropout: expected a number (0 to 1, 1 excluded), got 1"),
    (["seed=null"], "seed: expected a whole number (0 or more), got null"),
    (
        ["trainer.precision=bf61"],
        "trainer.precision: expected one of auto, fp32, bf16, fp16, got 'bf61' (did you mean 'bf16'?)",
    ),
    (
        ["trainer.num_workers=many"],
        "trainer.num_workers: expected a whole number (0 or more) or 'auto', got 'many'",
    ),
    (["model.in_channels=4"], "model.in_channels: expected one of 1, 3 or null, got 4"),
    (
        ["data.crop_size=256"],
        "data.crop_size: expected [height, width], two whole numbers (1 or more), got 256",
    ),
    (
        ["data.crop_size=[256,256,3]"],
        "data.crop_size: expected [height, width], two whole numbers (1 or more), got [256, 256, 3]",
    ),
    (["data.crop_size=[256,0]"], "data.crop_size[1]: expected a whole number (1 or more), got 0"),
    (["tags=fast"], "tags: expected a list of [text, ...], got 'fast'"),
    (
        ["run_name=3"],
        "run_name: expected text or null, got 3; to the command line numbers are text in quotes "
        "twice: run_name=\"'3'\"",
    ),
    (["seed=???"], "seed: missing; it has no default, so give a value"),
    (["~seed"], "seed: missing; it must be in the configuration"),
    (["~sead"], "sead: cannot be set here, got ~sead: there is no such key"),
    (["seed"], "seed: expected key=value, got no '='"),
    (["unet"], "unet: expected key=value, got no '='; did you mean model=unet?"),
    (
        ["there/split"],
        "there/split: expected key=value, got no '='; did you mean data.manifest=there/split?",
    ),
    (
        ["run_dir=X"],
        "run_dir: no such key, got 'X'; a run is kept in paths.runs_dir/experiment_name/ID: set "
        "paths.runs_dir=DIR for all runs, experiment_name=NAME for those of an experiment, or "
        "hydra.run.dir=DIR for this one",
    ),
    (
        ["seed=1,2"],
        "seed: several values need --multirun (-m); a list is written seed=[...], the text as it "
        "stands seed=\"'1,2'\"; got seed=1,2",
    ),
    (
        ["notes=${nowhere}"],
        "notes: its value cannot be worked out: Interpolation key 'nowhere' not found",
    ),
    (
        ["paths.runs_dir=${oc.env:SEGLAB_NOT_SET}"],
        "paths.runs_dir: its value cannot be worked out: Environment variable 'SEGLAB_NOT_SET' not found",
    ),
    (
        ["model.encoder_weights=imagnet"],
        "model.encoder_weights: expected 'imagenet', the path of a file or null, got 'imagnet' "
        "(did you mean 'imagenet'?); there is no such path",
    ),
    (
        ["data.manifest=nowhere/manifest.parquet"],
        "data.manifest: expected the path of a file or folder or null, got "
        "'nowhere/manifest.parquet'; there is no such path",
    ),
    (
        ["data=camvid"],
        "data.root: missing; give the folder that holds CamVid's images and label images",
    ),
    (
        ["data=cityscapes", "data.root=nowhere"],
        "data.root: expected the folder that holds leftImg8bit and gtFine, got 'nowhere': "
        "nothing is there",
    ),
    (
        ["data.options.num_image=9"],
        "data.options.num_image: no such key (did you mean 'data.options.num_images'?), got 9; "
        "'data.options' takes class_imbalance, corrupt_files, domain_shift, frames_per_group, "
        "image_size, near_duplicates, noise_boundary, noise_missing, noise_shift, noise_splits, "
        "noise_swap, num_images, seed, test_fraction, val_fraction, void_border",
    ),
    (
        ["model._target_=os.system"],
        "model._target_: 'os.system' is refused: a model is a class of torch.nn.*, or from a package "
        "of your own",
    ),
    (
        ["model._target_=seglab.models.SegNett"],
        "model._target_: expected one of seglab.models.build_smp, seglab.models.SegNet, "
        "seglab.models.SegNetBasic; got 'seglab.models.SegNett' (did you mean "
        "'seglab.models.SegNet'?)",
    ),
    (
        ["+model.options.decoder._target_=os.system"],
        "model.options.decoder._target_: 'os.system' is not allowed here; nothing is built from "
        "this node",
    ),
    (
        ["scheduler.name=pol"],
        "scheduler.name: expected one of onecycle, poly, cosine, plateau, constant, got 'pol' "
        "(did you mean 'poly'?)",
    ),
    (
        ["augment.geometry.scale=[2,1]"],
        "augment.geometry.scale: expected [low, high] with 0.05 <= low <= high <= 20, got [2, 1]",
    ),
    (["resume=runs/x", "seed=1"], "resume: expected null, got 'runs/x'"),
]


@pytest.mark.parametrize(
    ("words", "line"), MATRIX, ids=lambda one: one[0] if isinstance(one, list) else ""
)
def test_mistake_gets_its_own_line(problems: Problems, words: list[str], line: str) -> None:
    assert problems(*words) == [line]


def test_good_words_have_no_problems(problems: Problems) -> None:
    assert problems() == []
    assert (
        problems("model=segnet", "optimizer.lr=3e-4", "data.crop_size=[64,96]", "tags=[a,b]") == []
    )


def test_a_launcher_has_the_keys_of_the_one_that_is_chosen(problems: Problems) -> None:
    assert problems("hydra/launcher=slurm", "hydra.launcher.partition=gpu") == []
    assert problems("hydra.launcher.address=auto", "hydra/launcher=ray") == []
    (found,) = problems("hydra/launcher=slurm", "hydra.launcher.address=auto")
    assert "hydra.launcher.address" in found


def test_all_mistakes_come_at_once(problems: Problems) -> None:
    found = problems(
        "model=unett",
        "data=camvid",
        "+data.rot=x",
        "optimizer.lr=abc",
        "++trainer.max_epoch=3",
        "seed=[1",
        "hydra/launcher=nope",
        "trainer.precision=half",
        "paths.data_dir=${nowhere}",
    )
    keys = [line.split(":")[0] for line in found]

    assert keys == [
        "seed=[1",
        "model",
        "hydra/launcher",
        "data.rot",
        "optimizer.lr",
        "trainer.max_epoch",
        "trainer.precision",
        "paths.data_dir",
        "data.root",
    ]


def test_wrong_choice_far_from_all_others_does_not_cause_further_problems(
    problems: Problems,
) -> None:
    found = problems("model=xyz", "model.arch=unet", "model.kernel_size=3", "seed=-1")

    assert [line.split(":")[0] for line in found] == ["model", "seed"]


def test_missing_values_are_let_pass_when_only_shown(problems: Problems) -> None:
    assert problems("data=camvid", allow_missing=True) == []
    assert problems("run=???", app="evaluate", allow_missing=True) == []


def test_plus_signs_are_put_right() -> None:
    words = [
        "+seed=3",
        "++data.batch_size=4",
        "+experiment=demo",
        "model.options.decoder_use_norm=x",
    ]

    assert check_overrides("train", words).overrides == [
        "seed=3",
        "data.batch_size=4",
        "experiment=demo",
        "++model.options.decoder_use_norm=x",
    ]


def test_manifest_and_download_make_a_root_needless(problems: Problems, tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()

    assert problems("data=camvid", "data.manifest=m") == []
    assert problems("data=oxford_pet", "data.root=new", "data.options.download=true") == []
    assert len(problems("data=oxford_pet", "data.root=new")) == 1


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("loss=crossentropy", "ce"),
        ("loss=cross_entropy", "ce"),
        ("loss=bce", "ce"),
        ("loss=FocalLoss", "focal"),
        ("loss=dice_loss", "dice"),
        ("model=deeplab", "deeplabv3"),
        ("model=DeepLabV3+", "deeplabv3plus"),
        ("model=u-net", "unet"),
        ("model=UNet++", "unetplusplus"),
        ("optimizer=AdamW", "adamw"),
        ("data=VOC", "voc"),
    ],
)
def test_choices_are_known_by_the_names_that_people_and_classes_give_them(
    problems: Problems, word: str, meant: str
) -> None:
    (line,) = problems(word)
    assert f"(did you mean '{meant}'?)" in line


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("epochs=3", "trainer.max_epochs"),
        ("trainer.lr=1", "optimizer.lr"),
        ("run_dirs=x", "paths.runs_dir"),
    ],
)
def test_keys_are_known_by_a_slip_in_another_node(
    problems: Problems, word: str, meant: str
) -> None:
    assert f"(did you mean '{meant}'?)" in problems(word)[0]


def test_a_folder_without_a_key_is_known_by_what_it_holds(problems: Problems) -> None:
    for name, content, meant in (
        ("split", "manifest.parquet", "data.manifest=split"),
        ("kept", "run.json", "resume=kept"),
        ("mine", "images", "data=folder data.root=mine"),
    ):
        Path(name).mkdir()
        (Path(name) / content).touch()
        (line,) = problems(name)
        assert line.endswith(f"did you mean {meant}?")
    assert problems("kept", app="evaluate")[0].endswith("did you mean run=kept?")


def test_every_alternative_of_a_sweep_is_checked_once(problems: Problems) -> None:
    found = problems(
        "seed=0,-1",
        "model=unet,segnet,unett",
        "optimizer.lr=choice(0.1,-0.1)",
        "data.batch_size=range(0,3)",
        "optimizer.weight_decay=interval(-1,1)",
        "study=default",
        multirun=True,
    )

    assert found == [
        "model: no such choice 'unett' (did you mean 'unet'?); choices are deeplabv3, "
        "deeplabv3plus, dpt, fpn, linknet, manet, pan, pspnet, segformer, segnet, segnet_basic, "
        "unet, unetplusplus, upernet",
        "data.batch_size: expected a whole number (1 or more), got 0",
        "optimizer.weight_decay: expected a number (0 or more), got -1.0",
        "seed: expected a whole number (0 or more), got -1 (with seed=-1)",
        "optimizer.lr: expected a number (more than 0), got -0.1 (with optimizer.lr=-0.1)",
    ]


def test_sweep_over_groups_checks_keys_only_one_of_them_has(problems: Problems) -> None:
    found = problems("model=segnet_basic,unet", "model.width=32", multirun=True)

    assert len(found) == 1
    assert found[0].startswith("model.width: no such key")
    assert found[0].endswith("(with model=unet)")


def test_glob_sweep_takes_the_choices_that_match(problems: Problems) -> None:
    assert problems("model=glob(segnet*)", multirun=True) == []


def test_words_for_hydra_are_checked_by_hydra(problems: Problems, tmp_path: Path) -> None:
    assert problems(f"hydra.run.dir={tmp_path}", "hydra.verbose=true") == []
    found = problems("hydra.nonsense=1", "seed=-1")

    assert len(found) == 2
    assert "hydra.nonsense" in found[0]
    assert "HydraConf" in found[0]


@pytest.fixture
def own_folder(tmp_path: Path) -> Path:
    (tmp_path / "own" / "experiment").mkdir(parents=True)
    return tmp_path / "own"


def write_experiment(folder: Path, text: str) -> None:
    path = folder / "experiment" / "mine.yaml"
    path.write_text(f"# @package _global_\n{text}", encoding="utf-8")


def test_mistakes_in_an_experiment_name_the_file(problems: Problems, own_folder: Path) -> None:
    write_experiment(
        own_folder,
        "defaults:\n  - override /model: unett\n  - override /optimizer: sdg\n"
        "trainer:\n  max_epoch: 3\nsede: 1\noptimizer:\n  lr: fast\n",
    )
    found = problems("experiment=mine", search=[own_folder])

    assert [line.partition(":")[0] for line in found] == [
        "model",
        "optimizer",
        "sede",
        "optimizer.lr",
        "trainer.max_epoch",
    ]
    assert all(line.endswith("[own/experiment/mine.yaml]") for line in found)
    assert any("(did you mean 'sgd'?)" in line for line in found)


def test_command_line_wins_over_a_wrong_choice_in_an_experiment(
    problems: Problems, own_folder: Path
) -> None:
    write_experiment(own_folder, "defaults:\n  - override /model: unett\n")
    found = problems("experiment=mine", "model=segnet", search=[own_folder])

    assert len(found) == 1
    assert found[0].startswith("model: no such choice 'unett'")


def test_broken_yaml_is_a_problem(problems: Problems, own_folder: Path) -> None:
    write_experiment(own_folder, "trainer: {max_epochs: 3\n")
    found = problems("experiment=mine", search=[own_folder])

    assert len(found) == 1
    assert "mine.yaml" in found[0]


def test_evaluate_takes_a_run_and_its_data_or_another(problems: Problems, tmp_path: Path) -> None:
    run = tmp_path / "runs" / "demo" / "one"
    (run / "checkpoints").mkdir(parents=True)
    (run / "checkpoints" / "best.ckpt").touch()
    own = ["run=runs/demo/one"]

    assert problems(*own, app="evaluate") == [
        "run: expected a run directory (it holds a run.json), got 'runs/demo/one'"
    ]
    (run / "run.json").touch()
    assert problems(*own, "data.split=test", app="evaluate") == []
    other = ["data=camvid", "data.root=runs", "data.split=val"]
    assert problems(*own, *other, app="evaluate") == []
    assert problems(*own, "data.split=vall", "checkpoint=last", app="evaluate") == [
        "data.split: expected one of train, val, test, got 'vall' (did you mean 'val'?)",
        "checkpoint: expected best, last or the path of a checkpoint, got 'last': no file "
        "runs/demo/one/checkpoints/last.ckpt",
    ]
    assert problems(app="evaluate") == ["run: missing; it has no default, so give a value"]


def test_mapping_sets_the_keys_it_brings() -> None:
    words = ["model.options={decoder_channels:[64,32,16,8,4]}", "data.options={num_images:12}"]
    cfg = compose(words)
    assert cfg.model.options.decoder_channels == [64, 32, 16, 8, 4]
    assert cfg.data.options.num_images == 12


def test_names_stay_the_words_that_were_typed(tmp_path: Path) -> None:
    names = ["no", "yes", "on", "off", "1e3", "null", "01", "1_000", "true", "1.50"]
    words = [f"data.options.class_names=[{', '.join(names)}]", "data=folder", "data.root=."]
    assert compose(words).data.options.class_names == names
    experiment = tmp_path / "experiment" / "mine.yaml"
    experiment.parent.mkdir()
    listed = "".join(f"      - {name}  # a comment\n" for name in names)
    experiment.write_text(
        "# @package _global_\ndefaults:\n  - override /data: folder\ndata:\n  root: .\n  options:\n"
        f"    class_names:\n{listed}    raw_ids: {{0: {names[1]}, 7: 1}}\ntags: [{names[1]}]\n"
    )
    checked = check_overrides("train", ["experiment=mine"], search=[tmp_path])
    assert checked.problems == []
    with open_composer("train", search=[tmp_path]) as composer:
        cfg, _ = composer.compose(checked.overrides)
    saved = OmegaConf.create(OmegaConf.to_yaml(cfg))
    assert saved.data.options == {"class_names": names, "raw_ids": {0: names[1], 7: 1}}
    assert saved.tags == [names[1]]
    # The command line has the last word.
    words = ["experiment=mine", "data.options.class_names=[a,2]"]
    checked = check_overrides("train", words, search=[tmp_path])
    with open_composer("train", search=[tmp_path]) as composer:
        cfg, _ = composer.compose(checked.overrides)
    assert cfg.data.options.class_names == ["a", "2"]


def test_names_are_held_against_the_data_set_they_belong_to() -> None:
    # The year of VOC is a name too, and no list.
    cfg = compose(["data=voc", "data.root=.", "data.options.year=2007", "tags=[1.0, on]"])
    assert (cfg.data.options.year, cfg.tags) == ("2007", ["1.0", "on"])


def test_names_in_composed_and_decomposed_form_are_one() -> None:
    names = "data.options.class_names=['e\u0301','b']"
    cfg = compose(["data=folder", "data.root=.", names, "monitor.metric='val/iou/e\u0301'"])
    assert cfg.data.options.class_names == ["\u00e9", "b"]
    assert cfg.monitor.metric == "val/iou/\u00e9"
