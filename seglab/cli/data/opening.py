"""How a sub-command of `seglab data` opens the data set that is named on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from seglab.core.errors import ConfigError

if TYPE_CHECKING:
    from seglab.data.manifest import Manifest


def add_data(parser: argparse.ArgumentParser, optional: bool = False) -> None:
    """Add the two words that name a data set."""
    parser.add_argument(
        "data",
        nargs="?" if optional else None,
        help="a manifest (folder or .parquet), or the name of a choice in conf/data",
    )
    parser.add_argument("--root", type=Path, help="where the raw data is")


def add_augmentation(parser: argparse.ArgumentParser) -> None:
    """Add the words that name an augmentation and change it, as `read_augmentation` takes them."""
    parser.add_argument("--augment", default="standard", help="a choice in conf/augment")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="augment.KEY=VALUE",
        dest="changes",
        help="change the augmentation; may be repeated",
    )


def open_data(data: str, root: Path | None) -> Manifest:
    """Open a manifest by path, or the data set of a choice in `conf/data`."""
    from seglab.config.language.grammar import literal_word
    from seglab.data.importers import open_dataset
    from seglab.data.manifest import Manifest

    if is_path(data):
        return Manifest.read(Path(data).expanduser(), root)
    choices = compose_choices(
        [literal_word("data", data), *([literal_word("data.root", root)] if root else [])]
    )
    content = choices["data"]
    if content["importer"] != "synth" and content["root"] is None and content["manifest"] is None:
        raise ConfigError(f"--root: missing; give the folder of the raw data of '{data}'")
    return open_dataset(
        name=content["name"],
        importer=content["importer"],
        root=_path(content["root"]),
        manifest=_path(content["manifest"]),
        options=content["options"],
        data_dir=Path(choices["paths"]["data_dir"]),
    )


def is_path(data: str) -> bool:
    """Return whether the words name a place on disk rather than a choice in `conf/data`."""
    path = Path(data).expanduser()
    return path.exists() or len(path.parts) > 1


def _path(text: str | None) -> Path | None:
    return None if text is None else Path(text).expanduser()


def compose_choices(words: Sequence[str]) -> dict[str, Any]:
    """Return the whole configuration under these words, as plain content."""
    from seglab.config.compose import compose

    cfg = compose(words, allow_missing=True)
    return OmegaConf.to_container(cfg, resolve=True)  # type: ignore[return-value]


def read_augmentation(choice: str, changes: Sequence[str]) -> dict[str, Any]:
    """Return a choice in `conf/augment` with `augment.KEY=VALUE` words put on it.

    Raises:
        ConfigError: A word is of something else.
    """
    from seglab.config.language.grammar import literal_word

    wrong = [word for word in changes if not word.startswith("augment.")]
    if wrong:
        raise ConfigError([f"--set: expected augment.KEY=VALUE, got '{word}'" for word in wrong])
    content = compose_choices([literal_word("augment", choice), *changes])["augment"]
    return dict(content)
