"""Published weights from the hub's cache on this machine, and from the hub itself where it can be reached."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import constants
from huggingface_hub.utils import get_session

# Seconds in which a host that can be reached answers.
_PATIENCE = 5.0


@contextmanager
def quick_hub() -> Iterator[str]:
    """Let the hub's client look into its cache alone where the hub does not answer; yield why it does not.

    By itself it asks five times, for two kinds of file, and says so each time: a minute for nothing.
    """
    former = constants.HF_HUB_OFFLINE
    silence = (
        "HF_HUB_OFFLINE is set" if former else "" if _answers() else "the hub cannot be reached"
    )
    constants.HF_HUB_OFFLINE = bool(silence)
    try:
        yield silence
    finally:
        constants.HF_HUB_OFFLINE = former


def _answers() -> bool:
    try:
        # The client's own session knows the proxies of this machine.
        get_session().head(constants.ENDPOINT, timeout=_PATIENCE)
    # It raises errors of several HTTP libraries; each means the same.
    except Exception:  # noqa: BLE001
        return False
    return True
