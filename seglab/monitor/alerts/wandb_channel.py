"""Alerts through Weights & Biases, which sends them to Slack or by e-mail as its user set there."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from seglab.core.errors import ConfigError
from seglab.monitor.alerts.book import Message
from seglab.monitor.alerts.channels import UndeliveredError
from seglab.monitor.alerts.options import WandbOptions


class WandbChannel:
    """One run that has the alerts; begun with the first of them.

    Raises:
        ConfigError: wandb is not installed.
    """

    def __init__(self, options: WandbOptions) -> None:
        try:
            import wandb
        except ImportError as error:
            raise ConfigError("wandb: is not installed; pip install wandb") from error
        self._wandb: Any = wandb
        self.options = options
        self._run: Any = None

    def send(self, message: Message) -> None:
        """Raise it as an alert of the run; offline it is sent with the run, later."""
        levels = self._wandb.AlertLevel
        level = {"info": levels.INFO, "warn": levels.WARN, "page": levels.ERROR}
        try:
            if self._run is None:
                self._run = self._wandb.init(
                    project=self.options.project,
                    entity=self.options.entity,
                    job_type="monitor",
                    mode=self._mode(),
                    name="seglab monitor",
                    # Said, for W&B takes that of the first run of a process for all others.
                    dir=os.environ.get("WANDB_DIR") or str(Path.cwd()),
                )
            severity = message.alert["severity"]
            self._run.alert(message.title, message.text, level[severity], wait_duration=0)
        except Exception as error:
            raise UndeliveredError(f"{type(error).__name__}: {error}") from error

    def _mode(self) -> str | None:
        """Return how to begin the run; without a key W&B would ask for one."""
        if "WANDB_MODE" in os.environ:
            return None
        return "online" if self._wandb.login(prompt=False) else "offline"
