"""What all jobs of a sweep share is composed once; each job is what Hydra would have composed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hydra
import pytest
from hydra._internal.callbacks import Callbacks
from hydra.core.global_hydra import GlobalHydra
from hydra.errors import HydraException
from hydra.types import HydraContext, RunMode
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import DictConfig, OmegaConf, open_dict

from seglab.config.language.locate import conf_dir
from seglab.sweep.workers.application import HydraApplication
from seglab.sweep.workers.sweep import places

SHARED = ["study=lr_batch", "model.encoder_name=resnet18", "optimizer.lr=0.5"]
PLACES = ["hydra.sweep.dir=/runs/a study", "hydra.sweep.subdir=t0001"]
VALUES = st.lists(
    st.sampled_from(
        [
            "optimizer.lr=0.003",
            "optimizer.lr=null",
            "data.batch_size=16",
            "data.crop_size=[64,96]",
            "model.encoder_name=resnet34",
            "optimizer.lr=0.1",
            "notes='a, ${seed}=b'",
            "seed=${data.batch_size}",
            "study.sampler={n_startup_trials:3}",
            "trainer.max_epochs=2",
            "++optimizer.lr=0.2",
            "++notes2=[1]",
        ]
    ),
    max_size=4,
)
FILES = ["model=deeplabv3", "optimizer=sgd", "hydra/launcher=ray", "+notes2=1", "~notes"]


@pytest.fixture(scope="module")
def application() -> Iterator[HydraApplication]:
    with hydra.initialize_config_dir(str(conf_dir()), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        config = loader.load_configuration(
            "train", ["study.name=s", "hydra.verbose=true"], RunMode.MULTIRUN
        )
        yield HydraApplication(config, HydraContext(loader, Callbacks()), task=lambda cfg: None)


def content(config: DictConfig) -> Any:
    """Everything that can differ: the text before interpolation, and what may be changed."""
    flags = [
        OmegaConf.is_struct(config),
        OmegaConf.is_readonly(config),
        OmegaConf.is_struct(config.hydra),
    ]
    return OmegaConf.to_container(config, resolve=False), flags


def by_hydra(application: HydraApplication, words: list[str], number: int) -> DictConfig:
    config = application.context.config_loader.load_sweep_config(application.config, words)
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = str(number), number
    return config


@settings(max_examples=15, deadline=None)
@given(VALUES)
@pytest.mark.slow
def test_values_on_the_shared_configuration_are_what_hydra_composes(
    application: HydraApplication, own: list[str]
) -> None:
    words = [*own, *PLACES]
    quick = application._with_values(SHARED, words)
    assert quick is not None
    assert content(application.compose(SHARED, words, 7)) == content(
        by_hydra(application, [*SHARED, *words], 7)
    )


@settings(max_examples=15, deadline=None)
@given(st.text(st.sampled_from("#&'\";:!~[]{}()$%=, \\aé\u0308."), min_size=1, max_size=8))
def test_a_job_lies_where_it_is_told_whatever_the_place_is_called(
    application: HydraApplication, name: str
) -> None:
    run_dir = Path("/runs") / name / "t0001"
    config = application.compose(SHARED, places(run_dir), 0)
    assert application.job(config, is_trial=True).run_dir == run_dir


def test_shared_words_may_need_the_group_of_a_job(application: HydraApplication) -> None:
    shared = ["model=segnet_basic", "model.kernel_size=3"]
    assert application.compose(shared, ["seed=1"], 0).model.kernel_size == 3
    config = application.compose(shared[1:], [shared[0]], 0)
    assert (config.model.kernel_size, list(config.hydra.overrides.task)) == (3, shared[::-1])


@pytest.mark.parametrize("word", FILES)
def test_words_that_choose_files_are_left_to_hydra(
    application: HydraApplication, word: str
) -> None:
    assert application._with_values(SHARED, ["seed=1", word]) is None
    words = [word, *PLACES]
    assert content(application.compose(SHARED, words, 2)) == content(
        by_hydra(application, [*SHARED, *words], 2)
    )


def test_jobs_do_not_share_what_they_change(application: HydraApplication) -> None:
    first = application.compose(SHARED, ["seed=1"], 0)
    first.data.crop_size = [1, 1]
    assert application.compose(SHARED, ["seed=2"], 1).data.crop_size != [1, 1]
    assert application.compose(SHARED[:1], [], 2).optimizer.lr != 0.5


@pytest.mark.parametrize(
    ("word", "says"),
    [
        ("optimizer.learning_rate=1", "learning_rate"),
        ("study_name=a", "study_name"),
        ("seed=choice(1,2)", "choice"),
        ("modell=unet", "modell"),
    ],
)
def test_mistakes_are_hydras_own(application: HydraApplication, word: str, says: str) -> None:
    with pytest.raises(HydraException, match=says):
        application.compose(SHARED, [word], 0)
