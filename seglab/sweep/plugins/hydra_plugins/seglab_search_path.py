"""Where Hydra finds configuration of one's own: `conf` beside the user, and that of installed plug-ins.

Both come after seglab's own, so a name of ours always means ours; `--config-dir` comes after them.
"""

from __future__ import annotations

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin

from seglab.config.language.locate import conf_dir, own_folders
from seglab.core.errors import ConfigError


class SeglabSearchPath(SearchPathPlugin):
    """Adds them to the applications of seglab; to those of others nothing."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Append what there is."""
        main = [one.path for one in search_path.get_path() if one.provider == "main"]
        try:
            ours = str(conf_dir())
        except ConfigError:
            return
        if any(path.removeprefix("file://") == ours for path in main):
            for folder in own_folders():
                search_path.append("own", f"file://{folder}")
