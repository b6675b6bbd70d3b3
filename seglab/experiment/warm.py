"""Imports what every training needs, in the server that trials are forked from.

Nothing here may touch CUDA, start threads or compute in parallel: a CUDA context does not survive a
fork, and neither do the threads behind torch's parallel loops.
"""

import importlib
from contextlib import suppress

import hydra
import PIL.Image
import pytorch_lightning
import segmentation_models_pytorch
import timm
import torch
import torchmetrics

import seglab.config.overrides
import seglab.experiment.cross_validate
import seglab.experiment.train

__all__ = [
    "hydra",
    "pytorch_lightning",
    "seglab",
    "segmentation_models_pytorch",
    "timm",
    "torch",
    "torchmetrics",
]

# What libraries import only when they are first used. Where a version has no such module, trials
# import what it has instead; with logger=none they do without W&B.
_USED_LATER = (
    "wandb",
    "hydra._internal.core_plugins.bash_completion",
    "hydra._internal.core_plugins.basic_launcher",
    "hydra._internal.core_plugins.basic_sweeper",
    "hydra._internal.core_plugins.file_config_source",
    "hydra._internal.core_plugins.fish_completion",
    "hydra._internal.core_plugins.importlib_resources_config_source",
    "hydra._internal.core_plugins.structured_config_source",
    "hydra._internal.core_plugins.zsh_completion",
    "imagehash",
    "omegaconf._impl",
    "pandas.core.arrays.arrow.extension_types",
    "pyarrow.dataset",
    "pyarrow.pandas_compat",
    "pyarrow.parquet",
    "rich._emoji_codes",
    "scipy.fftpack",
    "seglab.data.synth.importer",
    "torch.utils.serialization",
    "wandb.apis.public",
    "wandb.sdk.artifacts._internal_artifact",
    "wandb.sdk.launch.inputs.internal",
)

# Of ours, these load what they hold on first use.
for _name in ("augment", "data.importers", "data.synth", "losses", "models", "optim"):
    _package = importlib.import_module(f"seglab.{_name}")
    for _part in _package.__all__:
        getattr(_package, _part)

for _name in _USED_LATER:
    with suppress(ImportError):
        importlib.import_module(_name)
PIL.Image.preinit()
