"""Parts of one's own: anything importable by `_target_`, from your package or a file beside you.

What each kind must offer. A class is called with its options and the object is used; a function *is*
the part, its first arguments are those of the call and the others its options (a function for a model
or a callback makes it, as a class does). Options are checked against signature and type hints, or
against what `seglab.core.components.component` declares for the target.

- `model`: a `torch.nn.Module` from float `(B, in_channels, H, W)` to logits `(B, num_classes, H, W)`.
  It is given `num_classes` and, if its signature takes it, `in_channels`. What cannot be known of it
  stands under `facts`, see `seglab.models.options.ModelFacts`.
- `loss_term`: `loss(logits, mask)`, a scalar; `mask` int64 `(B, H, W)` with `ignore_index` where nothing
  counts. It is given `ignore_index`, `class_weights` (float `(C,)` or None) and `num_classes` if its
  signature takes them. It counts as a loss of the whole batch, unless its attribute
  `is_mean_over_images` is true.
- `optimizer`: a `torch.optim.Optimizer` class, called with our parameter groups.
- `scheduler`: a class of torch's `LRScheduler`, called with the optimizer and stepped after each
  optimizer step (`ReduceLROnPlateau`: after each validation); it is given `total_steps` and
  `steps_per_epoch` if its signature takes them.
- `importer`: `read(root) -> ImportedFiles`, see `seglab.data.build`.
- `augment_step`: `step(image, mask, rng) -> (image, mask)` on one crop, uint8 `(h, w, 3)` and `(h, w)`,
  see `seglab.augment.steps`. It is given `ignore_index` if its signature takes it.
- `metric`: `score(confusion) -> float` over the int64 matrix `(C, C)` of a split, rows = target; or a
  torchmetrics `Metric` with `update(pred_mask, mask)`. It is given `num_classes` and `ignore_index` if
  its signature takes them.
- `callback`: a Lightning `Callback`.
- `sampler`, `pruner`: Optuna's. `conditional`: `space(trial, values)`, see `seglab.sweep.space`.

A `_target_` is an import, hence code that runs, and a configuration may come from elsewhere. So outside
the libraries' classes of the right kind only what was named on this machine is imported: in the
environment variable `SEGLAB_PLUGINS` (which child processes inherit, and to which composing a
configuration adds what was typed or chosen), in `plugins.yaml` in a `conf` folder beside you, or by an
installed package with an entry point of the group `seglab.plugins`.
"""

from __future__ import annotations

import functools
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import yaml

from seglab.core.errors import ConfigError
from seglab.core.problems import did_you_mean, nearest_keys, show

TARGET = "_target_"
_HOW = (TARGET, "_partial_", "_args_", "_convert_", "_recursive_")
ENV_PLUGINS = "SEGLAB_PLUGINS"
ENTRY_POINTS = "seglab.plugins"
NAMES_FILE = "plugins.yaml"
# A folder from elsewhere must not bring its own permission.
_RECORDS = ("run.json", "study.json")


@dataclass(frozen=True)
class Kind:
    """One kind of part.

    Attributes:
        title: What to call it.
        base: Class that those of the libraries inherit; empty: the libraries have none.
        homes: Packages whose classes of this kind need not be named.
        given: Arguments that seglab gives by name, if the signature takes them.
        makes: Whether a function makes the part, as a class does, rather than being it.
        called_with: Number of arguments of the call; a function's options come after them.
        made_with: Number of arguments that a class is given before its options.
    """

    title: str
    base: str = ""
    homes: tuple[str, ...] = ()
    given: tuple[str, ...] = ()
    makes: bool = False
    called_with: int = 0
    made_with: int = 0

    def positional(self, found: Any) -> int:
        """Return how many arguments are given by position where `found` is first called."""
        return self.made_with if inspect.isclass(found) or self.makes else self.called_with


_MODULE, _OPTUNA = "torch.nn.Module", ("optuna",)
_SCHEDULER = "torch.optim.lr_scheduler.LRScheduler"
KINDS: dict[str, Kind] = {
    "model": Kind("model", _MODULE, ("torch.nn",), ("num_classes", "in_channels"), makes=True),
    "loss_term": Kind(
        "loss",
        _MODULE,
        ("torch.nn",),
        ("ignore_index", "class_weights", "num_classes"),
        called_with=2,
    ),
    "optimizer": Kind(
        "optimizer", "torch.optim.Optimizer", ("torch.optim",), makes=True, made_with=1
    ),
    "scheduler": Kind(
        "scheduler",
        _SCHEDULER,
        ("torch.optim",),
        ("total_steps", "steps_per_epoch"),
        makes=True,
        made_with=1,
    ),
    "importer": Kind("importer", called_with=1),
    "augment_step": Kind("augmentation step", given=("ignore_index",), called_with=3),
    "metric": Kind(
        "metric",
        "torchmetrics.Metric",
        ("torchmetrics",),
        ("num_classes", "ignore_index"),
        called_with=1,
    ),
    "callback": Kind("callback", "pytorch_lightning.Callback", ("pytorch_lightning",), makes=True),
    "sampler": Kind("sampler", "optuna.samplers.BaseSampler", _OPTUNA, makes=True),
    "pruner": Kind("pruner", "optuna.pruners.BasePruner", _OPTUNA, makes=True),
    "search_part": Kind("part of a search", "", ("optuna.samplers", "optuna.pruners"), makes=True),
    "conditional": Kind("function", called_with=2),
}
# Their code is ours or trusted, but not all of it is a part: naming them opens nothing more.
_LIBRARIES = ("seglab", "torch", "torchmetrics", "pytorch_lightning", "optuna")


def named_packages() -> tuple[str, ...]:
    """Return the packages, modules and targets whose code may be imported on this machine."""
    typed = [one for one in os.environ.get(ENV_PLUGINS, "").split(",") if one.strip()]
    installed = [one.value.partition(":")[0].partition(".")[0] for one in _entry_points()]
    return (*(one.strip() for one in typed), *_names_in_own_conf(), *installed)


def name_packages(names: Iterable[str]) -> None:
    """Let code be imported from now on, in this process and those it starts.

    Args:
        names: Packages, modules or whole targets; what no naming opens is left out.
    """
    former = os.environ.get(ENV_PLUGINS, "").split(",")
    more = [one for one in names if not is_closed(one.partition(".")[0])]
    os.environ[ENV_PLUGINS] = ",".join(one for one in dict.fromkeys((*former, *more)) if one)


def own_conf() -> Path | None:
    """Return the `conf` folder beside the user; None where there is none.

    One in the folder of a run or study does not count: it came with the record.
    """
    here = Path.cwd()
    folder = here / "conf"
    if any((here / name).exists() for name in _RECORDS) or not folder.is_dir():
        return None
    return folder


def conf_folders() -> list[Path]:
    """Return the folders with configuration of one's own: beside the user, and in installed plug-ins.

    That of a plug-in is `conf` beside the module its entry point names; nothing is imported for it.
    """
    beside = own_conf()
    found = [beside] if beside else []
    for one in _entry_points():
        spec = importlib.util.find_spec(one.value.partition(":")[0].partition(".")[0])
        places = [
            Path(place) / "conf" for place in (spec and spec.submodule_search_locations) or ()
        ]
        found += [place for place in places if place.is_dir()]
    return found


@cache
def _entry_points() -> tuple[metadata.EntryPoint, ...]:
    return tuple(metadata.entry_points(group=ENTRY_POINTS))


def _names_in_own_conf() -> list[str]:
    folder = own_conf()
    file = folder / NAMES_FILE if folder else None
    if file is None or not file.is_file():
        return []
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not valid YAML: {' '.join(str(error).split())}") from error
    names = content.get("plugins") if isinstance(content, dict) else None
    if not isinstance(names, list) or not all(isinstance(one, str) for one in names):
        raise ConfigError(f"{file}: expected plugins: [package, ...], got {show(content)}")
    return names


def load_target(target: Any, group: str) -> Any:
    """Import and return what a target names, if it may be imported.

    Modules in the current folder are found too, after the installed ones.

    Args:
        target: Such as `mylab.TinyNet` or `torch.optim.RAdam`.
        group: A key of `KINDS`.

    Raises:
        ConfigError: It is no dotted path, may not be imported, is not there, or is of another kind.
    """
    module_name, _, name = str(target).rpartition(".")
    if not isinstance(target, str) or not module_name or not name:
        raise ConfigError(f"expected package.module.name, got {show(target)}")
    kind = KINDS[group]
    package = target.partition(".")[0]
    if _is_below(module_name, kind.homes):
        found = imported(target)
        _require_kind(found, target, kind)
        return found
    if is_closed(package):
        homes = " and ".join(f"{home}.*" for home in kind.homes) or "no library"
        raise ConfigError(
            f"{show(target)} is refused: a {kind.title} is a class of {homes}, or from a package of "
            "your own"
        )
    if not _is_below(target, named_packages()):
        raise ConfigError(
            f"{show(target)} is refused: '{package}' is not named on this machine, and code from "
            f"elsewhere is not imported by itself. If you trust it, type plugins=[{package}] or set "
            f"the environment variable {ENV_PLUGINS}={package}"
        )
    _find_in_current_folder()
    found = imported(target)
    if not callable(found):
        raise ConfigError(f"expected a class or function, got {show(target)}")
    return found


def _require_kind(found: Any, target: str, kind: Kind) -> None:
    """Refuse what a library has beside the parts: it loads files, starts processes, asks the network."""
    library = kind.homes[0].partition(".")[0]
    if not kind.base:
        if not _is_below(str(getattr(found, "__module__", "")), kind.homes):
            raise ConfigError(f"expected a {kind.title} of {library}, got {show(target)}")
        return
    base = imported(kind.base)
    if not (inspect.isclass(found) and issubclass(found, base)):
        raise ConfigError(f"expected a subclass of {library}'s {base.__name__}, got {show(target)}")


Further = Callable[[Any, Mapping[str, Any]], Mapping[str, Any]]


def build_node(key: str, node: Any, group: str, further: Further | None = None) -> Any:
    """Build what a node of a study names, the nodes inside it first.

    Args:
        key: Of the node, for messages.
        node: `_target_` and arguments; also `_args_`, and `_partial_` for a function to be called later.
        group: A key of `KINDS`.
        further: Returns more arguments for a class that is given some.

    Raises:
        ConfigError: It is no such node, may not be imported, or refuses its arguments.
    """
    if not isinstance(node, Mapping) or not isinstance(node.get(TARGET), str):
        raise ConfigError(f"{key}: expected {TARGET} and arguments, got {show(node)}")
    target = node[TARGET]
    try:
        found = load_target(target, group)
    except ConfigError as error:
        raise ConfigError([f"{key}.{TARGET}: {one}" for one in error.problems]) from error
    given = {
        name: _built_inside(f"{key}.{name}", value, further)
        for name, value in arguments(node).items()
    }
    positional = _built_inside(f"{key}._args_", list(node.get("_args_", ())), further)
    if node.get("_partial_"):
        return functools.partial(found, *positional, **given)
    if further is not None:
        given |= further(found, given)
    return call(key, target, found, given, *positional)


def _built_inside(key: str, value: Any, further: Further | None) -> Any:
    if isinstance(value, Mapping):
        if TARGET in value:
            return build_node(key, value, "search_part", further)
        return {name: _built_inside(f"{key}.{name}", one, further) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_built_inside(f"{key}[{i}]", one, further) for i, one in enumerate(value)]
    return value


def arguments(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return a node without what says how to build it."""
    return {key: value for key, value in node.items() if key not in _HOW}


def call(
    key: str, target: str, found: Callable[..., Any], given: Mapping[str, Any], *positional: Any
) -> Any:
    """Call what a target names, its failures told at the key.

    Raises:
        ConfigError: It fails, whatever it raises.
    """
    try:
        return found(*positional, **given)
    except ConfigError:
        raise
    except Exception as error:
        reason = (str(error) or type(error).__name__).splitlines()[0]
        if not isinstance(error, TypeError | ValueError):
            reason = f"{type(error).__name__}: {reason}"
        raise ConfigError(f"{key}: {target} cannot be built of this: {reason}") from error


def is_closed(package: str) -> bool:
    """Whether naming a package opens nothing: the standard library, and what has classes of our kinds."""
    return package in sys.stdlib_module_names or package in _LIBRARIES


def _is_below(target: str, names: Iterable[str]) -> bool:
    return any(target == name or target.startswith(f"{name}.") for name in names)


def imported(target: str) -> Any:
    """Import what a target names, without asking whether it may be.

    Raises:
        ConfigError: There is no such thing, or its module cannot be imported.
    """
    module_name, _, name = target.rpartition(".")
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # whatever a module of the user's raises
        raise ConfigError(
            f"{show(target)} cannot be imported: {type(error).__name__}: {error}"
        ) from error
    if not hasattr(module, name):
        public = [one for one in vars(module) if not one.startswith("_")]
        raise ConfigError(
            f"{module_name} has no '{name}'{did_you_mean(nearest_keys(name, public))}"
        )
    return getattr(module, name)


def _find_in_current_folder() -> None:
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.append(here)
