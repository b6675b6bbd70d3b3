"""What a training may do as a trial of a study, and how its configuration differs.

Imports no torch: a study asks before its first trial.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from seglab.core.trial import TrialChannel

if TYPE_CHECKING:
    from omegaconf import DictConfig


def trial_problems(cfg: DictConfig) -> list[str]:
    """Return what a training may do, but not as a trial; cheap enough to ask before a study starts.

    Args:
        cfg: Composed configuration.
    """
    cv = cfg.get("cv") or {}
    problems = []
    if cv.get("scheme") == "nested" and cv.get("fold") is None:
        problems.append(
            "cv: nested folds score each model on images held out from every choice, and a study is a "
            "choice; expected cv=grouped or another plain scheme, which leaves the test split aside"
        )
    if cv.get("leak_report"):
        problems.append(
            "cv.leak_report: trains as many folds again at random, for each trial; expected false in a "
            "study, true when the winner is trained"
        )
    return problems


def trial_config(cfg: DictConfig, trial: TrialChannel) -> DictConfig:
    """Return the configuration of a trial: named after its study, shown in its group.

    What only people look at is left out where it costs each trial time or space: no pictures of
    predictions while it trains, no weights in W&B. Every number is measured as in any training.

    Args:
        cfg: As composed for the trial.
        trial: Its study and number.
    """
    own = cfg.copy()
    own.run_name = f"{trial.study} trial {trial.number}"
    own.logger.wandb.group = cfg.logger.wandb.group or trial.study
    own.logger.wandb.log_model = False
    own.callbacks.overlays.num_images = 0
    return own
