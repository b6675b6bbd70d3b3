"""Who gets which device: on any machine, by environment variables alone."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from seglab.core.errors import ConfigError
from seglab.engine.device.slots import (
    CPUS,
    GPU_SHARE,
    VISIBLE,
    gpu_share,
    make_slots,
    take_slot,
    visible_gpus,
)


def test_one_slot_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "3,MIG-1a2b,5,7")
    slots = make_slots("auto")
    assert [slot.variables[VISIBLE] for slot in slots] == ["3", "MIG-1a2b", "5", "7"]
    assert [slot.name for slot in slots][:2] == ["gpu 3", "gpu MIG-1a2b"]
    assert len(make_slots("gpu", workers=2)) == 2


def test_several_gpus_a_slot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "0,1,2,3,4")
    assert [slot.variables[VISIBLE] for slot in make_slots("auto", "auto", 2)] == ["0,1", "2,3"]
    with pytest.raises(ConfigError, match="at most 2 processes with 2 GPUs each"):
        make_slots("auto", 3, 2)
    with pytest.raises(ConfigError, match="at most 0 processes with 8 GPUs each"):
        make_slots("auto", "auto", 8)


def test_hidden_gpus_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "")
    assert visible_gpus() == []
    monkeypatch.setenv(VISIBLE, "-1")
    assert visible_gpus() == []


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_cores_are_shared_out_without_overlap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {4, 5, 6, 7, 9})
    monkeypatch.setenv(VISIBLE, "")
    slots = make_slots("cpu", workers=2)
    assert [slot.variables[CPUS] for slot in slots] == ["4,5", "6,7,9"]
    assert [slot.variables["OMP_NUM_THREADS"] for slot in slots] == ["2", "3"]
    assert len(make_slots("cpu")) == 1
    with pytest.raises(ConfigError, match=r"at most one process a CPU core \(5\), got 6"):
        make_slots("cpu", workers=6)


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="no affinity on this system")
def test_process_is_pinned_to_its_slot() -> None:
    core = min(os.sched_getaffinity(0))
    code = (
        "from seglab.engine.device.slots import take_slot; import os; take_slot();"
        "print(sorted(os.sched_getaffinity(0)))"
    )
    environment = {**os.environ, CPUS: str(core)}
    out = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert out.stdout.strip() == f"[{core}]"
    take_slot()  # without the variable nothing changes
    assert os.sched_getaffinity(0) >= {core}


def test_only_the_devices_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "4,5,6,7")
    assert [slot.variables[VISIBLE] for slot in make_slots("auto", "auto", 1, [2, 3])] == ["6", "7"]
    assert [slot.variables[VISIBLE] for slot in make_slots("auto", "auto", 2, [0, 3])] == ["4,7"]
    with pytest.raises(ConfigError, match=r"trainer.devices: expected 0..3, got \[9\]"):
        make_slots("auto", "auto", 1, [9])


def test_slots_share_a_gpu_by_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VISIBLE, "4,6")
    slots = make_slots("auto", per_gpu=2)
    assert [slot.variables[VISIBLE] for slot in slots] == ["4", "4", "6", "6"]
    assert [slot.name for slot in slots][:3] == ["gpu 4 part 1", "gpu 4 part 2", "gpu 6 part 1"]
    assert {slot.variables[GPU_SHARE] for slot in slots} == {"0.5"}
    assert GPU_SHARE not in make_slots("auto")[0].variables
    assert gpu_share() == 1.0
    monkeypatch.setenv(GPU_SHARE, "0.25")
    assert gpu_share() == 0.25
    with pytest.raises(ConfigError, match="one of them a process, got 2 devices a process"):
        make_slots("auto", devices_each=2, per_gpu=2)
    with pytest.raises(ConfigError, match=r"at most 2 processes .* got 3; .*trials_per_gpu"):
        make_slots("auto", workers=3)
    monkeypatch.setenv(VISIBLE, "")
    with pytest.raises(ConfigError, match=r"trials_per_gpu=2: .* got no GPU to share"):
        make_slots("auto", per_gpu=2)
