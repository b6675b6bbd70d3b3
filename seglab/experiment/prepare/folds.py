"""Folds as the configuration asks for them, and the data set as one fold sees it."""

from __future__ import annotations

from omegaconf import DictConfig

from seglab.core.errors import ConfigError, nearest
from seglab.data.folds import Fold, FoldPlan, FoldSettings, fold_manifest, make_folds
from seglab.data.manifest import Manifest
from seglab.data.subset import as_part_of
from seglab.experiment.prepare.resolved import resolved


def scheme_of(cfg: DictConfig) -> str:
    """Return the scheme of the folds, `none` without; also of records older than folds."""
    cv = cfg.get("cv")
    return str(cv.scheme) if cv is not None else "none"


def is_cross_validation(cfg: DictConfig) -> bool:
    """Whether all folds are asked for."""
    return scheme_of(cfg) != "none" and cfg.cv.fold is None


def is_fold(cfg: DictConfig) -> bool:
    """Whether one fold is asked for."""
    return scheme_of(cfg) != "none" and cfg.cv.fold is not None


def fold_name(cfg: DictConfig) -> str | None:
    """Return the name of the one fold asked for (`r0-f2`), None without."""
    if not is_fold(cfg):
        return None
    wanted = str(cfg.cv.fold)
    return f"r0-f{wanted}" if wanted.isdigit() else wanted


def plan_folds(cfg: DictConfig, manifest: Manifest) -> FoldPlan:
    """Cut the data into folds: a pure function of the manifest, `cfg.cv` and `cfg.seed`.

    Raises:
        DataError: The data cannot be cut so, or one image would lie on both sides.
    """
    chosen = {
        key: value for key, value in resolved(cfg.cv).items() if key in FoldSettings.model_fields
    }
    return make_folds(manifest, FoldSettings.read({**chosen, "seed": cfg.seed}, "cv"))


def choose_fold(plan: FoldPlan, name: str) -> Fold:
    """Return a fold by its name.

    Raises:
        ConfigError: There is no such fold.
    """
    names = {fold.name: fold for fold in plan.folds}
    if name not in names:
        raise ConfigError(
            f"cv.fold: no such fold '{name}'{nearest(name, names)}; folds are {', '.join(names)}"
        )
    return names[name]


def as_the_fold_sees_it(cfg: DictConfig, manifest: Manifest) -> Manifest:
    """Return the manifest whose splits are those of `cfg.cv.fold`; itself without folds.

    Everything fitted (class weights, frequencies) is taken from the split `train` of what this
    returns, so nothing of the held-out part can get into it.
    """
    name = fold_name(cfg)
    if name is None:
        return manifest
    part = fold_manifest(manifest, choose_fold(plan_folds(cfg, manifest), name))
    return as_part_of(part, manifest)
