"""Which devices a trial gets, from what a configuration and a launcher say."""

from __future__ import annotations

import pytest
from omegaconf import OmegaConf

from seglab.core.errors import ConfigError
from seglab.engine.device.slots import VISIBLE
from seglab.sweep.workers.serve import slots_of


def slots(devices: object, visible: str, monkeypatch: pytest.MonkeyPatch, **options: object):
    monkeypatch.setenv(VISIBLE, visible)
    cfg = OmegaConf.create({"trainer": {"devices": devices, "accelerator": "auto"}})
    return slots_of(cfg, options)


def test_one_gpu_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    found, words = slots(1, "0,MIG-4f2a,3", monkeypatch)
    assert [slot.variables[VISIBLE] for slot in found] == ["0", "MIG-4f2a", "3"]
    assert words == []


def test_as_many_as_the_training_wants(monkeypatch: pytest.MonkeyPatch) -> None:
    found, words = slots(2, "0,1,2,3,4", monkeypatch)
    assert [slot.variables[VISIBLE] for slot in found] == ["0,1", "2,3"]
    assert words == []
    found, _ = slots(1, "0,1,2,3", monkeypatch, devices_per_trial=4)
    assert [slot.variables[VISIBLE] for slot in found] == ["0,1,2,3"]


def test_a_list_names_the_devices_of_the_sweep(monkeypatch: pytest.MonkeyPatch) -> None:
    found, words = slots([1, 3], "4,5,6,7", monkeypatch)
    assert [slot.variables[VISIBLE] for slot in found] == ["5", "7"]
    assert words == ["trainer.devices=1"]


def test_more_than_there_are_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="expected at most 1 processes with 2 GPUs each"):
        slots(2, "0,1,2", monkeypatch, workers=2)


def test_an_application_without_a_trainer_gets_one_device_a_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(VISIBLE, "")
    found, words = slots_of(OmegaConf.create({"x": 1}), {"workers": 1})
    assert len(found) == 1
    assert words == []
