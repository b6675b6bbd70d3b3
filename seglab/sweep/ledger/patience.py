"""Repeats calls while the database of a study does not answer, so that its restart costs no training."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable
from typing import Concatenate, ParamSpec, Protocol, TypeVar

from optuna.exceptions import StorageInternalError

from seglab.runs.studies.storage_place import StorageUnreachableError

log = logging.getLogger(__name__)

_ASK_AGAIN_S = 1.0

P = ParamSpec("P")
R = TypeVar("R")


class Patient(Protocol):
    """An object whose methods may be repeated for a while."""

    @property
    def patience_s(self) -> float:
        """How long to wait for the storage, in seconds."""


Z = TypeVar("Z", bound=Patient)


def patient(method: Callable[Concatenate[Z, P], R]) -> Callable[Concatenate[Z, P], R]:
    """Call a method again while the storage does not answer; repeating it must be harmless."""

    @functools.wraps(method)
    def trying(self: Z, /, *args: P.args, **kwargs: P.kwargs) -> R:
        end = time.monotonic() + self.patience_s
        while True:
            try:
                return method(self, *args, **kwargs)
            except (StorageInternalError, StorageUnreachableError) as error:
                if time.monotonic() >= end:
                    raise
                cause = str(error.__cause__ or error).strip().splitlines()[0]
                log.warning("the study's storage does not answer, tries again: %s", cause)
                time.sleep(_ASK_AGAIN_S)

    return trying
