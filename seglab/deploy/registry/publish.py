"""Shows a registry elsewhere: in Weights & Biases, or in a registry of MLflow. The folder stays the truth.

Each call brings the other side to what the folder says now, so it may be repeated, and one that failed is
made good by the next.
"""

from __future__ import annotations

import json
import os
from pathlib import Path

from seglab.bundle.aliases import ALIASES, bundle_ids
from seglab.core.errors import ConfigError, SeglabError
from seglab.deploy.registry.registry import Registry

_TAG = "seglab.bundle"


class PublishError(SeglabError, RuntimeError):
    """The other registry does not take what it was given."""


def publish_wandb(registry: Registry, project: str, name: str) -> list[str]:
    """Log the bundles that have an alias as versions of one artifact, with the aliases and their ids.

    W&B keeps content that it has, and moves an alias that comes again. Without a connection the run is
    kept on disk, for `seglab wandb sync`.

    Args:
        registry: What is shown.
        project: `PROJECT` or `ENTITY/PROJECT`.
        name: Of the artifact.

    Returns:
        A line a bundle.
    """
    import wandb

    entity, _, short = project.rpartition("/")
    told = []
    own = os.environ.get("WANDB_DIR") or str(Path.cwd())
    with wandb.init(entity=entity or None, project=short, job_type="registry", dir=own) as run:
        for bundle, aliases in _aliased(registry).items():
            place = registry.place(bundle)
            artifact = wandb.Artifact(name, "model", metadata=_facts(place))
            artifact.add_dir(str(place))
            run.log_artifact(artifact, aliases=[*aliases, bundle])
            told.append(f"{name}:{bundle} in W&B project {project}: {', '.join(aliases)}")
    return told


def publish_mlflow(registry: Registry, uri: str, name: str) -> list[str]:
    """Make every bundle a version of one registered model of MLflow, with the same aliases.

    Args:
        registry: What is shown.
        uri: Of the tracking server or store, such as http://mlflow:5000 or sqlite:///mlflow.db.
        name: Of the registered model.

    Returns:
        A line a bundle.

    Raises:
        ConfigError: MLflow is not installed.
        PublishError: MLflow refuses, or cannot be reached.
    """
    try:
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError("mlflow: is not installed; pip install 'seglab[mlflow]'") from error
    try:
        return _show_in_mlflow(registry, uri, name)
    except MlflowException as error:
        raise PublishError(f"mlflow: {uri}: {error}") from error


def _show_in_mlflow(registry: Registry, uri: str, name: str) -> list[str]:
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException

    client = MlflowClient(tracking_uri=uri, registry_uri=uri)
    try:
        client.create_registered_model(name)
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    found = client.search_model_versions(f"name='{name}'")
    versions = {one.tags[_TAG]: one.version for one in found if _TAG in one.tags}
    experiment = client.get_experiment_by_name(name)
    parent = experiment.experiment_id if experiment else client.create_experiment(name)
    for bundle in bundle_ids(registry.folder):
        if bundle not in versions:
            place = registry.place(bundle)
            run = client.create_run(parent, run_name=bundle, tags=_facts(place))
            client.log_artifacts(run.info.run_id, str(place), "bundle")
            client.set_terminated(run.info.run_id)
            source = f"{run.info.artifact_uri}/bundle"
            tags = {_TAG: bundle}
            made = client.create_model_version(name, source, run.info.run_id, tags=tags)
            versions[bundle] = made.version
    present = client.get_registered_model(name).aliases
    for alias, wanted in registry.aliases.items():
        if wanted is not None:
            client.set_registered_model_alias(name, alias, versions[wanted])
        elif alias in present:
            client.delete_registered_model_alias(name, alias)
    aliased = _aliased(registry)
    return [
        f"{name} version {version}: {bundle} {', '.join(aliased.get(bundle, []))}".rstrip()
        for bundle, version in versions.items()
    ]


def _aliased(registry: Registry) -> dict[str, list[str]]:
    aliases = registry.aliases
    named: dict[str, list[str]] = {}
    for alias in ALIASES:
        if (bundle := aliases[alias]) is not None:
            named.setdefault(bundle, []).append(alias)
    return named


def _facts(place: Path) -> dict[str, str]:
    info = json.loads((place / "bundle.json").read_text(encoding="utf-8"))
    scores = {key: str(value) for key, value in info["scores"].items() if key.count("/") == 1}
    return {
        "bundle": place.name,
        "run_id": str(info["run_id"]),
        "created": info["created"],
        **scores,
    }
