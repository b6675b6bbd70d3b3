"""The choices of groups on a command line, held against the files there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from seglab.config.composer import Composer
from seglab.config.language import sources
from seglab.config.language.override import Override, split_choice
from seglab.config.validate import App
from seglab.core.errors import closest
from seglab.core.problems import did_you_mean, show_names

FILES_WITH_CHOICES = ("experiment", "debug")


class GroupChoices:
    """Judges choices; a wrong one gets a stand-in, so that the rest can be checked all the same.

    Args:
        app: The command.
        composer: Knows the choices of each group.
        folders: Folders with groups, ours first.
        problems: Takes what is wrong, one line each.

    Attributes:
        stand_ins: By group, what takes the place of a wrong choice; None where nothing is like it.
        default_groups: Groups that are chosen from without a `+`.
    """

    def __init__(
        self, app: App, composer: Composer, folders: list[Path], problems: list[str]
    ) -> None:
        self._app, self._composer, self._folders, self._problems = app, composer, folders, problems
        self.stand_ins: dict[str, str | None] = {}
        primary = sources.find_file(folders, "", composer.config_name)
        entries = sources.group_defaults(primary) if primary else []
        self.default_groups = {entry.group for entry in entries} | {*FILES_WITH_CHOICES}

    def check(self, overrides: list[Override]) -> None:
        """Check the choices of groups: those typed, then those in the chosen experiment's file."""
        for override in overrides:
            if not override.is_group or override.deletes:
                continue
            for choice in override.alternatives:
                self._check_one(override.key, choice, override.where)
                self._require_not_hidden(override.key, choice, override.where)
                path = sources.find_file(self._folders, override.key, choice)
                if override.key in FILES_WITH_CHOICES and path is not None:
                    for entry in sources.group_defaults(path):
                        where = f" [{short(path)}]"
                        self._check_one(entry.group, entry.choice, where, typed=overrides)
                        if self._folders[0] not in path.parents:  # ours mean ours
                            self._require_not_hidden(entry.group, entry.choice, where)

    def _hidden(self, group: str, choice: str) -> list[Path]:
        """Return the files of a choice, where the first is taken and another says something else."""
        paths = (folder / group / f"{choice}.yaml" for folder in self._folders)
        found = list(dict.fromkeys(path.resolve() for path in paths if path.is_file()))
        differ = [path for path in found[1:] if path.read_bytes() != found[0].read_bytes()]
        return [found[0], *differ] if differ else []

    def _require_not_hidden(self, group: str, choice: str, where: str) -> None:
        """Report a choice whose file, as the user wrote it, gives way to one of ours."""
        for name in split_choice(choice):
            if files := self._hidden(group, name):
                self._problems.append(
                    f"{group}: '{name}' is in {files[0]}, which is taken before {files[1]}; give yours "
                    f"another name{where}"
                )

    def _check_one(
        self, group: str, choice: str, where: str, typed: Sequence[Override] = ()
    ) -> None:
        options = sources.choices_for(self._app, group, self._composer.options(group))
        wrong = [one for one in split_choice(choice) if one not in options and one != "null"]
        for name in wrong:
            near = closest(name, options, sources.also_called(self._folders, group, options))
            listed = f"choices are {show_names(options)}" if options else "there is no such group"
            self._problems.append(
                f"{group}: no such choice '{name}'{did_you_mean([near] if near else [])}; {listed}{where}"
            )
            if not any(override.key == group for override in typed):
                self.stand_ins[group] = near

    def text(self, override: Override, chosen: dict[str, str]) -> str | None:
        """Return the override of a group with one of its alternatives; None where there is nothing to say."""
        if not override.is_group:
            return None
        if override.deletes:
            return override.text
        package = f"@{override.parsed.package}" if override.parsed.package else ""
        choice: str | None = chosen[override.key]
        if choice not in sources.choices_for(
            self._app, override.key, self._composer.options(override.key)
        ):
            choice = self.stand_ins.get(override.key, choice)
        return None if choice is None else f"{self.sign(override)}{override.key}{package}={choice}"

    def sign(self, override: Override) -> str:
        """Return `+` for a group that is not in the defaults list, else nothing."""
        return "" if override.key in self.default_groups or override.for_hydra else "+"

    def stand_in_texts(self, overrides: Sequence[Override]) -> Iterator[str]:
        """Yield overrides for wrong choices that stand in files."""
        typed = {override.key for override in overrides if override.is_group}
        for key, name in self.stand_ins.items():
            if key not in typed and name is not None:
                yield f"{key}={name}"


def short(path: Path) -> str:
    """Return the end of a path, enough to tell a configuration file."""
    return "/".join(path.parts[-3:])
