"""The options of `seglab registry`."""

from __future__ import annotations

from seglab.core.options import Name, Options


class InRegistry(Options):
    """Which registry."""

    registry: Name = "registry"
    """Folder of the registry."""


class AddOptions(InRegistry):
    """A bundle that is copied into the registry."""

    bundle: Name
    """The bundle, a folder or a zip, as `seglab export` writes it; or OTHER_REGISTRY@champion."""
    challenger: bool = True
    """Whether it is the challenger from now on."""
    why: Name = ""
    """A note for the log."""


class ShowOptions(InRegistry):
    """A bundle and what was done with it."""

    bundle: Name = "champion"
    """Alias (champion, challenger, previous) or id."""


class PromoteOptions(InRegistry):
    """The next champion."""

    bundle: Name = "challenger"
    """Alias or id of the bundle that becomes the champion."""
    why: Name = ""
    """A note for the log."""


class RollbackOptions(InRegistry):
    """Back to the champion before."""

    why: Name = ""
    """A note for the log."""


class AtOptions(InRegistry):
    """Which model answered at a time."""

    time: Name
    """ISO 8601, such as 2026-11-27T09:00+01:00; without a zone it is UTC."""


class PublishOptions(InRegistry):
    """Where the registry is shown besides."""

    wandb: Name | None = None
    """Project of Weights & Biases, PROJECT or ENTITY/PROJECT; null: not there."""
    mlflow: Name | None = None
    """URI of MLflow, such as http://mlflow:5000 or sqlite:///mlflow.db; null: not there."""
    name: Name = "seglab"
    """Of the artifact and the registered model."""
