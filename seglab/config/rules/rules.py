"""Values that are each allowed but do not go together.

A rule reads what it needs by full key and yields a problem at the key to change. Where a key it reads
is missing or already known to be wrong, the rule does not apply.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from seglab.config.declared.targets import schema_of
from seglab.config.rules.band_rules import BAND_RULES
from seglab.config.rules.installed_names import optimizer_names
from seglab.config.rules.model_rules import MODEL_RULES, limits_of
from seglab.config.rules.scores import (
    class_scores,
    is_own_score,
    is_val_score,
    lower_is_better,
    val_scores,
)
from seglab.config.rules.study_rules import SEARCH_RULES
from seglab.config.rules.study_scores import SCORE_RULES
from seglab.config.rules.valid_view import InvalidValueError, Rule, ValidView, broken
from seglab.core.disk.urls import is_url, url_problem
from seglab.core.parts.components import components
from seglab.core.problems import Problem, did_you_mean, nearest_keys, show
from seglab.metrics.options import declared_scores

_NAME = re.compile(r"[\w][\w.+-]*")


def broken_rules(cfg: DictConfig, app: str, wrong: Collection[str]) -> list[Problem]:
    """Return what does not go together in a configuration.

    Args:
        cfg: The composed configuration without its `hydra` node.
        app: `train` or `evaluate`.
        wrong: Keys that are wrong already.
    """
    value = ValidView(cfg, wrong)
    found: list[Problem] = []
    for rule in _RULES[app]:
        try:
            found += list(rule(value))
        except InvalidValueError:
            continue
    return found


def _data_is_somewhere(value: ValidView) -> Iterator[Problem]:
    importer, root = value("data.importer"), value("data.root", None)
    if root is not None and is_url(root):
        yield from _by_url(root, importer == "run" or value("data.manifest", None) is not None)
        return
    # Those that make or fetch their data need no folder yet.
    declared: Any = components("importer").get(importer)
    if declared is None and "." in importer:
        declared = schema_of("importer", importer)
    if declared is None:
        return  # `run`, which has its own; others are told elsewhere
    makes_it = declared.makes_data or value("data.options", {}).get("download") is True
    if makes_it or value("data.manifest", None) is not None:
        return
    holds = declared.holds
    if root is None:
        yield Problem("data.root", f"missing; give the folder that holds {holds}", "missing")
        return
    place = Path(root).expanduser()
    if not place.is_dir() and not (declared.takes_file and place.is_file()):
        there = "that is a file" if place.exists() else "nothing is there"
        yield Problem(
            "data.root", f"expected the folder that holds {holds}, got {show(root)}: {there}"
        )


def _by_url(root: str, has_manifest: bool) -> Iterator[Problem]:
    secret = url_problem(root)
    if secret:
        yield Problem("data.root", f"expected the URL of a folder, got {secret}")
    elif not has_manifest:
        yield Problem(
            "data.root",
            f"data is imported from a folder of this machine, got {show(root)}; import it where the "
            "files are (`seglab data import`), then name that manifest as data.manifest",
        )


def _names_make_folders(value: ValidView) -> Iterator[Problem]:
    for key in ("experiment_name", "data.name"):
        name = value(key)
        if not _NAME.fullmatch(name):
            yield broken(
                key,
                f"expected letters, digits, '.', '_', '+' or '-' (it names a folder), got {show(name)}",
            )


def _optimizer_is_known(value: ValidView) -> Iterator[Problem]:
    name, known = value("optimizer.name"), optimizer_names()
    if known and name not in known:
        meant = did_you_mean(difflib.get_close_matches(name, sorted(known), n=1))
        yield broken("optimizer.name", f"timm has no such optimizer{meant}, got {show(name)}")


def _batch_fits_devices(value: ValidView) -> Iterator[Problem]:
    devices = value("trainer.devices")
    if devices == "auto":
        return
    count = len(devices) if isinstance(devices, list) else devices
    batch = value("data.batch_size")
    if count and batch % count:
        yield broken(
            "data.batch_size",
            f"it is shared by all devices, so it must be a multiple of {count} "
            f"(trainer.devices), got {batch}",
        )
    if isinstance(devices, list) and len(set(devices)) != len(devices):
        yield broken("trainer.devices", f"expected each device once, got {show(devices)}")
    if isinstance(devices, list) and not devices:
        yield broken("trainer.devices", "expected at least one device, got []")


def _micro_batch_fits(value: ValidView) -> Iterator[Problem]:
    devices, micro = value("trainer.devices"), value("trainer.micro_batch_size")
    count = len(devices) if isinstance(devices, list) else devices
    share = value("data.batch_size")
    if isinstance(count, int) and count > 0:
        share //= count
    limits = limits_of(value)
    smallest = limits.min_train_batch
    if isinstance(micro, int) and micro < smallest:
        yield broken(
            "trainer.micro_batch_size",
            f"{limits.name} trains on {smallest} images or more, got {micro}",
        )
    elif share < smallest:
        yield broken(
            "data.batch_size",
            f"{limits.name} trains on {smallest} images or more a device, got {share}",
        )


def _monitor_is_a_score(value: ValidView) -> Iterator[Problem]:
    metric, mode = value("monitor.metric"), value("monitor.mode")
    own = value("metrics.extra", {})
    if is_own_score(metric, own):
        return
    if not is_val_score(metric):
        meant = did_you_mean(nearest_keys(metric, val_scores()))
        of_class = " or ".join(f"val/{name}/CLASS" for name in class_scores())
        yield broken(
            "monitor.metric",
            f"expected one of {', '.join(val_scores())}, {of_class}; got {show(metric)}{meant}",
        )
        return
    right = "min" if lower_is_better(metric) else "max"
    if mode != right:
        yield broken("monitor.mode", f"the best {metric} is its {right}, got {show(mode)}")


def _own_scores_have_own_names(value: ValidView) -> Iterator[Problem]:
    for name in value("metrics.extra", {}):
        ours = [score.name for score in declared_scores("always")]
        if not _NAME.fullmatch(name) or name in ours:
            yield broken(
                f"metrics.extra.{name}",
                "expected a name of letters, digits, '.', '_', '+' or '-' that is none of "
                f"{', '.join(ours)}",
            )


def _validation_happens(value: ValidView) -> Iterator[Problem]:
    every, epochs = value("trainer.val_every"), value("trainer.max_epochs")
    if every > epochs:
        yield broken(
            "trainer.val_every",
            f"no validation would happen in {epochs} epochs; set it to {epochs} or less, got {every}",
        )
    elif epochs % every:
        yield broken(
            "trainer.max_epochs",
            f"expected a multiple of trainer.val_every={every}, or the last epochs are never validated "
            f"and cannot be the best; got {epochs}, nearest above is {-(-epochs // every) * every}",
        )


def _manifest_stands_alone(value: ValidView) -> Iterator[Problem]:
    if value("data.manifest", None) is not None and value("data.options", {}):
        yield broken(
            "data.options",
            "they are for importing and would do nothing beside data.manifest; remove one of the two",
        )


def _accelerator_can(value: ValidView) -> Iterator[Problem]:
    accelerator = value("trainer.accelerator")
    if accelerator == "cpu" and value("trainer.precision") == "fp16":
        yield broken(
            "trainer.precision", "fp16 needs a GPU; on a CPU choose bf16 or fp32, got 'fp16'"
        )
    if accelerator == "mps" and value("trainer.devices", 1) not in (1, "auto", [0]):
        yield broken("trainer.devices", f"mps has one device, got {show(value('trainer.devices'))}")


def _ignore_index_is_no_class(value: ValidView) -> Iterator[Problem]:
    options = value("data.options", {})
    ignored, names = options.get("ignore_index"), options.get("class_names") or []
    if isinstance(ignored, int) and not len(names) <= ignored <= 255:
        yield broken(
            "data.options.ignore_index",
            f"expected {len(names)} to 255, outside the class indices, got {ignored}",
        )


def _loss_terms_have_weights(value: ValidView) -> Iterator[Problem]:
    terms, weights = value("loss.terms"), value("loss.weights")
    for name in weights:
        if name not in terms:
            meant = did_you_mean(nearest_keys(name, list(terms)))
            yield broken(
                f"loss.weights.{name}",
                f"there is no such term{meant}; terms are {', '.join(terms)}",
            )
    for name in terms:
        if name not in weights:
            yield broken(f"loss.weights.{name}", f"missing; give the weight of the term '{name}'")
    if weights and not any(weight > 0 for weight in weights.values()):
        yield broken("loss.weights", f"expected at least one weight above 0, got {show(weights)}")


def _corruptions_have_severities(value: ValidView) -> Iterator[Problem]:
    if value("suite.corruptions") and not value("suite.severities"):
        yield broken("suite.severities", "expected at least one of 1 to 5, got []")


def _evaluates_a_run(value: ValidView) -> Iterator[Problem]:
    run, checkpoint = Path(value("run")).expanduser(), value("checkpoint")
    if not (run / "run.json").is_file():
        yield broken("run", f"expected a run directory (it holds a run.json), got {show(str(run))}")
        return
    if (run / "fold_scores.parquet").is_file():
        return  # a cross-validation: the weights are those of its folds
    path = run / "checkpoints" / f"{checkpoint}.ckpt"
    if checkpoint not in ("best", "last"):
        path = Path(checkpoint).expanduser()
    if not path.is_file():
        yield broken(
            "checkpoint",
            f"expected best, last or the path of a checkpoint, got {show(checkpoint)}: no file {path}",
        )


_RULES: dict[str, tuple[Rule, ...]] = {
    "train": (
        _data_is_somewhere,
        _manifest_stands_alone,
        _names_make_folders,
        _optimizer_is_known,
        *MODEL_RULES,
        *BAND_RULES,
        _batch_fits_devices,
        _micro_batch_fits,
        _monitor_is_a_score,
        _own_scores_have_own_names,
        _validation_happens,
        _accelerator_can,
        _ignore_index_is_no_class,
        _loss_terms_have_weights,
        *SEARCH_RULES,
        *SCORE_RULES,
    ),
    "evaluate": (
        _data_is_somewhere,
        _accelerator_can,
        _ignore_index_is_no_class,
        _evaluates_a_run,
        *BAND_RULES,
        _corruptions_have_severities,
    ),
}
