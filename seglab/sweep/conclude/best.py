"""Writes a trial as an experiment file: `seglab train --config-dir DIR experiment=NAME` repeats it.

The file stands alone. It names the choices of groups that differ from `train.yaml`'s own, and the
values that differ from what those choices give; what an experiment file or a folder of the user's
added to the trial is written out. It is composed again before it takes its place, so that it either
gives the trial's configuration or is not there.

What belongs to the study or to the machine rather than to the question is left out: see
`LEFT_OUT`; nor does it join the study's group in W&B. Paths of data and weights become absolute,
because the file is used from anywhere.

A difference rather than all there is, so that further choices and values can be typed beside the file.
"""

from __future__ import annotations

import itertools
import os
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from seglab.config.composer import Composer, open_composer
from seglab.config.language.grammar import literal_word
from seglab.core.disk.files import write_text
from seglab.core.errors import ConfigError
from seglab.core.problems import show
from seglab.core.text.shell import shell_command
from seglab.sweep.conclude.difference import (
    ABSENT,
    differences,
    lacks_keys,
    leaves_that_differ,
    lookup,
)

# A repetition is a run of its own, beside the study: it gets its own name and folders.
LEFT_OUT = ("run_name", "resume", "study", "paths")
_WANDB_GROUP = "logger.wandb.group"
# These set any key there is, so they are written out, not chosen.
_FILES_OF_VALUES = ("experiment", "debug")
_GROUPS_NOT_CHOSEN = (*_FILES_OF_VALUES, "study", "paths")
_PATH_KEYS = ("data.root", "data.manifest", "model.encoder_weights")
_NO_PATH = "imagenet"
_NOT_IN_A_CHOICE = re.compile(r"[^\w.+-]", re.ASCII)

Choices = dict[str, str | None]


def write_best(
    folder: Path,
    name: str,
    words: Sequence[str],
    trial_words: Sequence[str],
    header: Sequence[str],
    *,
    search: Sequence[Path] = (),
    config_folder: Path | None = None,
    config_name: str = "train",
) -> Path:
    """Write the configuration of a trial to `<folder>/experiment/<name>.yaml` and check the file.

    Args:
        folder: What `--config-dir` will be given; made where it is not there.
        name: Of the experiment. What Hydra could not read on a command line becomes `-`, and where
            `conf/` has an experiment of this name, which would be taken instead, it is
            `<name>-best`: use the name of the file that is returned.
        words: The words of the study's command line that hold for all trials.
        trial_words: The words of this trial.
        header: Lines for people: study, trial, score, of how many trials it is the best.
        search: Further folders with groups (`--config-dir`); without any, a `hydra.searchpath=`
            among the words counts.
        config_folder: The folder behind `--config-path`; `conf_dir()` by default.
        config_name: The primary configuration of the trial.

    Returns:
        The file.

    Raises:
        ConfigError: The file would not give the trial's configuration; the keys that differ are
            named, and there is no file.
    """
    with _config_errors():
        with open_composer(config_name, config_folder, search) as composer:
            trial, chosen = composer.compose([*words, *trial_words])
        raw, wanted = _content(trial, resolve=False), _content(trial, resolve=True)
        moved = _make_paths_absolute(raw, wanted)
        with open_composer("train") as composer:
            name = _free_name(name, composer)
            default, own = composer.compose()
            groups, base = _choose_groups(raw, chosen, own, composer)
        notes = [
            *header,
            f"Chosen by the study: {' '.join(trial_words) or 'nothing'}",
            f"Again: {repeat_command(folder, name)}",
            *_notes(chosen, groups, moved, _other_folders(trial, default)),
        ]
        text = _file_text(notes, groups, differences(raw, wanted, base))
        _check(text, name, wanted)
    path = folder / "experiment" / f"{name}.yaml"
    write_text(path, text)
    return path


def repeat_command(folder: Path, name: str) -> str:
    """Return what is typed to train what `write_best` has written."""
    return shell_command("seglab", "train", "--config-dir", folder, f"experiment={name}")


def folders_of(config: DictConfig) -> dict[str, Any]:
    """Return what to tell `write_best` of the folders that a job's configuration came from.

    Args:
        config: As Hydra composed it, with its `hydra` node.
    """
    sources = [one for one in config.hydra.runtime.config_sources if one.schema == "file"]
    return {
        "search": [Path(one.path) for one in sources if one.provider != "main"],
        "config_folder": next((Path(one.path) for one in sources if one.provider == "main"), None),
        "config_name": str(config.hydra.job.config_name),
    }


@contextmanager
def _config_errors() -> Iterator[None]:
    try:
        yield
    except (HydraException, OmegaConfBaseException) as error:
        reason = " ".join(str(error.__cause__ or error).split())
        raise ConfigError(f"best configuration: it cannot be composed: {reason}") from error


def _content(cfg: DictConfig, resolve: bool) -> dict[str, Any]:
    """Return the configuration as plain content, without what a repetition has of its own."""
    content = OmegaConf.to_container(cfg, resolve=resolve)
    assert isinstance(content, dict)  # noqa: S101 - of a DictConfig
    for key in LEFT_OUT:
        content.pop(key, None)
    if lookup(content, _WANDB_GROUP) is not ABSENT:
        content["logger"]["wandb"]["group"] = None
    return content  # type: ignore[return-value]


def _make_paths_absolute(raw: dict[str, Any], wanted: dict[str, Any]) -> list[str]:
    """Make paths that hold from this working directory hold from any; return their keys.

    Links stay, as in an import: another path would mean another data set to it.
    """
    moved = []
    for key in _PATH_KEYS:
        value = lookup(wanted, key)
        if not isinstance(value, str) or value == _NO_PATH or value.startswith("~"):
            continue
        if value and not Path(value).is_absolute() and Path(value).exists():
            parent, _, leaf = key.rpartition(".")
            for content in (raw, wanted):
                node = lookup(content, parent)
                if isinstance(node, dict):
                    node[leaf] = os.path.normpath(Path(value).absolute())
            moved.append(key)
    return moved


def _free_name(name: str, composer: Composer) -> str:
    taken = composer.options("experiment")
    name = _NOT_IN_A_CHOICE.sub("-", name) or "best"
    more = (f"{name}-best{number}" for number in itertools.chain([""], itertools.count(2)))
    return next(one for one in itertools.chain([name], more) if one not in taken)


def _choose_groups(
    raw: Mapping[str, Any], chosen: Choices, own: Choices, composer: Composer
) -> tuple[Choices, dict[str, Any]]:
    """Return the choices that differ from `train.yaml`'s own, and what is composed with them.

    A choice is None, and its node written out, where only the user's own folder has it, and where
    the trial has taken keys away from it: a file can add to what a choice gives, not take away.
    """
    groups: Choices = {}
    for group in reversed(own):  # as they stand in `train.yaml`
        # A package of the user's own (`loss@other`) is no group that a file could override.
        if group.startswith("hydra/") or "@" in group or group in _GROUPS_NOT_CHOSEN:
            continue
        choice = chosen.get(group)
        known = isinstance(choice, str) and choice in composer.options(group)
        groups[group] = choice if known else None
    changed = {group: one for group, one in groups.items() if one != own[group]}
    base = _compose_groups(changed, composer)
    keys = {group: group.replace("/", ".") for group, one in groups.items() if one is not None}
    lacking = [one for one, key in keys.items() if lacks_keys(lookup(raw, key), lookup(base, key))]
    if lacking:
        changed |= dict.fromkeys(lacking)
        base = _compose_groups(changed, composer)
    return changed, base


def _compose_groups(changed: Choices, composer: Composer) -> dict[str, Any]:
    words = [f"{group}={one}" if one else f"~{group}" for group, one in changed.items()]
    return _content(composer.compose(words)[0], resolve=False)


def _other_folders(trial: DictConfig, default: DictConfig) -> list[str]:
    """Return the folders that the study was given and a repetition is not, as words."""
    own = OmegaConf.to_container(default.paths, resolve=True)
    typed = OmegaConf.to_container(trial.get("paths") or OmegaConf.create(), resolve=True)
    assert isinstance(own, dict)  # noqa: S101 - of DictConfigs
    assert isinstance(typed, dict)  # noqa: S101
    return [
        shell_command(literal_word(f"paths.{key!s}", value))
        for key, value in typed.items()
        if own.get(key) != value
    ]


def _notes(
    chosen: Choices, groups: Choices, moved: Sequence[str], folders: Sequence[str]
) -> Iterator[str]:
    files = [f"{group}={chosen[group]}" for group in _FILES_OF_VALUES if chosen.get(group)]
    if files:
        yield f"Written out below: what {' and '.join(files)} set."
    for group, one in groups.items():
        if one is None and chosen.get(group):
            yield f"Written out below: {group}={chosen[group]}, as the trial had it."
    if moved:
        yield f"Made absolute: {', '.join(moved)}."
    if folders:
        yield f"Not in this file, because folders are the machine's: {' '.join(folders)}"


def _file_text(notes: Sequence[str], groups: Choices, changes: Mapping[Any, Any]) -> str:
    comments = [f"# {line}".rstrip() for note in notes for line in note.splitlines()]
    text = "\n".join(["# @package _global_", *comments, ""])
    if groups:
        overrides = [{f"override /{group}": one} for group, one in groups.items()]
        text += OmegaConf.to_yaml({"defaults": overrides})
    # As in the files of `conf/`, what has no node comes first.
    ordered = dict(sorted(changes.items(), key=lambda item: isinstance(item[1], dict)))
    return f"{text}\n{OmegaConf.to_yaml(ordered)}" if ordered else text


def _check(text: str, name: str, wanted: Mapping[str, Any]) -> None:
    """Raise unless the text, as the experiment `name`, composes to what is wanted."""
    with tempfile.TemporaryDirectory(prefix="seglab-best-") as place:
        write_text(Path(place) / "experiment" / f"{name}.yaml", text)
        with open_composer("train", search=[Path(place)]) as composer:
            again = _content(composer.compose([f"experiment={name}"])[0], resolve=True)
    problems = [
        f"{key}: the trial has {_shown(value)}, its file gives {_shown(other)}"
        for key, value, other in leaves_that_differ(wanted, again)
    ]
    if problems:
        title = "best configuration: a file cannot say what the trial was; train it by its words"
        raise ConfigError([title, *problems])


def _shown(value: Any) -> str:
    return "nothing" if value is ABSENT else show(value)
