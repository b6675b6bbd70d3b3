"""The names `${...}` may call in a configuration beyond OmegaConf's and Hydra's own."""

from __future__ import annotations

import datetime
import secrets
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from seglab.config.rules.model_rules import one_architecture
from seglab.core.disk.data_names import data_set_name


def register_resolvers() -> None:
    """Make the resolvers known; calling it again changes nothing.

    - `${run_id:}`: a new id, the same one within a configuration. Hydra composes a configuration a
      job, so each job of a multirun gets its own; the sweep's own folder must not use it.
    - `${model_name:TARGET,ARCH}`: short name of a model.
    - `${data_name:NAME,MANIFEST}`: name of a data set, that of its manifest where one is given.
    - `${experiment_of:RUN_DIR}`: name of the experiment a run directory belongs to.
    - `${per_share:COUNT,SHARE}`: COUNT times as often as a share of the data is smaller than all.
    """
    OmegaConf.register_new_resolver("run_id", new_run_id, use_cache=True, replace=True)
    OmegaConf.register_new_resolver("model_name", model_name, replace=True)
    OmegaConf.register_new_resolver("data_name", data_name, replace=True)
    OmegaConf.register_new_resolver("experiment_of", experiment_of, replace=True)
    OmegaConf.register_new_resolver("per_share", per_share, replace=True)


def new_run_id() -> str:
    """Return an id that sorts by time (UTC, seconds), such as `20250131-120059-a1b2c3`."""
    now = datetime.datetime.now(datetime.UTC)
    return f"{now:%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"


def model_name(target: Any, arch: Any) -> str:
    """Return the architecture's name where a model has one, else its class's in lower case."""
    if arch is not None:
        return str(arch)
    return one_architecture(target) or str(target).rpartition(".")[2].lower()


def data_name(choice: Any, manifest: Any) -> str:
    """Return what a manifest's folder calls the data set; without a manifest, the name of the choice."""
    return str(choice) if manifest is None else data_set_name(Path(str(manifest)))


def experiment_of(run_dir: Any) -> str:
    """Return the name of the folder around a run directory."""
    return Path(str(run_dir)).expanduser().absolute().parent.name


def per_share(count: Any, share: Any) -> int:
    """Return `count` times the nearest whole number to 1 / share.

    As many epochs over a share of the data make as many steps as `count` epochs over all of it;
    whole numbers keep counts multiples of each other.

    Raises:
        ValueError: The share is not a number in 0..1 with 0 excluded, or the count no number.
    """
    if not 0 < float(share) <= 1:
        raise ValueError(f"expected a share of more than 0, up to 1, got {share}")
    return int(count) * round(1 / float(share))
