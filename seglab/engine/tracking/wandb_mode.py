"""Whether W&B is used online or offline, and what earlier segments of a run left on the disk.

Nothing here asks the user or touches the network: a training must never wait at a prompt.
"""

from __future__ import annotations

import netrc
import os
from collections.abc import Sequence
from pathlib import Path
from typing import get_args
from urllib.parse import urlsplit

from seglab.core.errors import ConfigError
from seglab.engine.options import WandbMode

_WORDS = {"dryrun": "offline", "run": "online", "shared": "online"}
# Keys of older installations are stored under this host, whatever the current one is called.
_FORMER_HOST = "api.wandb.ai"
_OFFLINE_PREFIX = "offline-run-"


def resolve_mode(mode: str) -> tuple[str, str]:
    """Return the mode to use (online, offline or disabled) and why.

    `auto` follows the variable WANDB_MODE, else it is online where a key is configured and offline
    elsewhere. `online` without a key becomes offline: W&B would ask for the key and block.

    Raises:
        ConfigError: Another mode.
    """
    if mode not in get_args(WandbMode):
        raise ConfigError(f"W&B mode must be one of {', '.join(get_args(WandbMode))}, got {mode!r}")
    asked = os.environ.get("WANDB_MODE", "").lower() if mode == "auto" else mode
    asked = _WORDS.get(asked, asked)
    if asked in ("offline", "disabled"):
        return asked, "as configured"
    if has_credentials():
        return "online", "an API key is configured"
    return "offline", "no API key is configured (`wandb login` stores one)"


def has_credentials() -> bool:
    """Tell whether W&B would find a key: in the environment, a netrc file or its own settings."""
    if os.environ.get("WANDB_API_KEY") or os.environ.get("WANDB_IDENTITY_TOKEN_FILE"):
        return True
    import wandb

    settings = wandb.setup().settings
    return bool(settings.api_key) or _in_netrc([str(settings.base_url)])


def _in_netrc(urls: Sequence[str]) -> bool:
    given = os.environ.get("NETRC")
    names = [Path(given)] if given else [Path("~/.netrc"), Path("~/_netrc")]
    for path in (name.expanduser() for name in names):
        try:
            entries = netrc.netrc(path)
        except (OSError, netrc.NetrcParseError):
            continue
        hosts = [urlsplit(url).netloc for url in urls] + [_FORMER_HOST]
        if any((entries.authenticators(host) or ("", "", ""))[2] for host in hosts):
            return True
    return False


def find_segments(run_dir: Path, wandb_id: str) -> list[Path]:
    """Return the W&B folders of one run, oldest first; each start or resume made one."""
    # W&B adds "-1" to the name of a folder that exists: two starts within one second.
    found = (run_dir / "wandb").glob(f"*run-*-{wandb_id}*/run-{wandb_id}.wandb")
    # The time stamp is the part after "run-"; the prefix "offline-" must not order them.
    return sorted((path.parent for path in found), key=lambda folder: folder.name.split("run-")[1])


def is_offline(segment: Path) -> bool:
    """Tell whether a segment waits to be synchronised by hand."""
    return segment.name.startswith(_OFFLINE_PREFIX)


def mark_superseded(segment: Path) -> None:
    """Make `wandb sync` pass over a segment whose rows are all in a later one.

    Synchronising it after the later one would overwrite the whole curve with its first part.
    `wandb sync --no-skip-synced` still takes it.
    """
    for log in segment.glob("*.wandb"):
        log.with_suffix(".wandb.synced").touch()
