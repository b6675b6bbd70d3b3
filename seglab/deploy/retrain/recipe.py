"""From the champion to the configuration of its successor."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from seglab.config.validate import validate
from seglab.core.disk.data_names import data_set_name
from seglab.core.errors import ConfigError, RunNotFoundError
from seglab.core.problems import show
from seglab.deploy.retrain.options import RetrainOptions
from seglab.experiment.prepare.records import saved_config
from seglab.experiment.prepare.resolved import resolved
from seglab.runs import RunRecord

# Among the tags of a run that was made here: whose configuration it has, but for the words of its day.
_ORIGIN = "retrained-from-"


def champion_run(options: RetrainOptions, info: dict[str, Any]) -> RunRecord:
    """Return the record of the run that the champion was exported from, or that the options name.

    Args:
        options: They may name it.
        info: `bundle.json` of the champion.

    Raises:
        ConfigError: It cannot be found.
    """
    return RunRecord.open(options.run) if options.run else _find(options, info["run_id"])


def origin_run(options: RetrainOptions, record: RunRecord) -> RunRecord:
    """Return the run whose configuration is trained again: the first one, which was no retraining.

    So a learning rate that was lowered for a fine-tuning is not lowered again for the next one.

    Raises:
        ConfigError: It cannot be found.
    """
    tags = saved_config(record).tags
    origins = [tag.removeprefix(_ORIGIN) for tag in tags if tag.startswith(_ORIGIN)]
    return _find(options, origins[-1]) if origins else record


def configuration(options: RetrainOptions, origin: RunRecord, champion: Path) -> DictConfig:
    """Return the configuration of the new training.

    Args:
        options: What changes.
        origin: The run that it is of.
        champion: Folder of the champion's bundle, whose weights a fine-tuning starts from.

    Raises:
        ConfigError: The changes do not go with it; all are listed.
    """
    former = saved_config(origin)
    cfg = former.copy()
    with open_dict(cfg):
        cfg.data.manifest = str(Path(options.data).expanduser().absolute())
        cfg.data.name = data_set_name(Path(options.data))
        cfg.data.root, cfg.data.options = None, {}
        cfg.paths.runs_dir = str(Path(options.runs_dir).expanduser().absolute())
        cfg.resume = cfg.run_name = None
        cfg.tags = [*cfg.tags, f"{_ORIGIN}{origin.run_id}"]
        if options.start == "finetune":
            cfg.model.init_from = str(_weights(champion))
            cfg.optimizer.lr = cfg.optimizer.lr * options.lr_factor
    problems = [problem for word in options.overrides if (problem := _change(cfg, word))]
    # A former version's configuration may lack what is asked for today; only new mistakes count.
    known = set(validate(former))
    problems += [one for one in validate(cfg) if one not in known]
    if problems:
        raise ConfigError(problems)
    return cfg


def changes(former: DictConfig, cfg: DictConfig) -> list[str]:
    """Return what is other than in the former run, a line a key."""
    found = []
    for group in ("data", "model", "optimizer", "scheduler", "trainer", "loss", "augment"):
        before, now = (_plain(one.get(group)) for one in (former, cfg))
        for key, value in now.items():
            if before.get(key) != value:
                found.append(f"{group}.{key}: {show(before.get(key))} -> {show(value)}")
    return found


def _plain(node: Any) -> dict[str, Any]:
    found = resolved(node) if isinstance(node, DictConfig) else {}
    return dict(found)


def _find(options: RetrainOptions, run_id: str) -> RunRecord:
    try:
        return RunRecord.open(run_id, Path(options.runs_dir).expanduser())
    except RunNotFoundError as error:
        raise ConfigError(
            f"run: the champion's configuration is that of {run_id}, which is not below "
            f"{options.runs_dir}; give runs_dir=DIR, or run=RUN_DIR of it or of another run"
        ) from error


def _weights(champion: Path) -> Path:
    weights = sorted(champion.glob("model*.safetensors"))
    if len(weights) != 1:
        raise ConfigError(
            f"start: the champion is an ensemble of {len(weights)} models, which cannot be fine-tuned "
            "as one; say start=scratch"
        )
    return weights[0]


def _change(cfg: DictConfig, word: str) -> str | None:
    key, equals, _ = word.partition("=")
    if not equals or OmegaConf.select(cfg, key, default=_ORIGIN) == _ORIGIN:
        return f"overrides: '{word}': expected KEY=VALUE with a key of the run's configuration"
    try:
        cfg.merge_with_dotlist([word])
    except (OmegaConfBaseException, ValueError) as error:
        return f"overrides: '{word}': {str(error).splitlines()[0]}"
    return None
