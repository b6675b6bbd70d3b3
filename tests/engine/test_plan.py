"""The execution plan follows from facts, and what a user sets by hand stands."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounter

from seglab.core.errors import ConfigError
from seglab.engine.device import facts
from seglab.engine.device.compiling import COMPILE_PAYS_FROM
from seglab.engine.device.facts import Device, available_cores, cpu_bf16, inspect_device
from seglab.engine.device.plan import ExecutionPlan, choose_plan
from seglab.engine.loop.compiled import CompileOnce
from seglab.engine.options import PlanOptions

CPU = Device("cpu", "a CPU", 1, 8, has_fast_bf16=True, shared_memory_bytes=2**33)


def test_cpu_with_bf16_hardware_gets_bf16_channels_last() -> None:
    plan = choose_plan(PlanOptions(), CPU)
    assert (plan.precision, plan.memory_format, plan.compile) == ("bf16", "channels_last", False)
    assert plan.lightning_precision == "bf16-mixed"
    assert plan.torch_memory_format is torch.channels_last


def test_cpu_without_bf16_hardware_stays_in_fp32() -> None:
    device = Device("cpu", "an old CPU", 1, 4, has_fast_bf16=False)
    plan = choose_plan(PlanOptions(), device)
    assert (plan.precision, plan.num_threads, plan.num_workers) == ("fp32", 4, 0)


@pytest.mark.parametrize(
    ("groups", "expected"), [(1, "contiguous"), (2, "contiguous"), (4, "channels_last")]
)
def test_layout_in_fp32_on_a_cpu_follows_the_kind_of_network(groups: int, expected: str) -> None:
    device = Device("cpu", "an old CPU", 1, 4, has_fast_bf16=False)
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 3, groups=groups))
    plan = choose_plan(PlanOptions(), device, model=model)
    assert plan.memory_format == expected
    assert ("dense convolutions" in plan.sentence()) == (expected == "contiguous")
    assert choose_plan(PlanOptions(), CPU, model=model).memory_format == "channels_last"
    # With bf16 in hardware, too, the layout follows the precision that was set.
    fp32 = choose_plan(PlanOptions(precision="fp32"), CPU, model=model)
    assert (fp32.precision, fp32.memory_format) == ("fp32", expected)
    by_hand = PlanOptions(memory_format="channels_last")
    assert choose_plan(by_hand, device, model=model).memory_format == "channels_last"


@pytest.mark.parametrize(
    ("avx512_bf16", "capability", "onednn_has_it", "expected"),
    [
        (True, "AVX512", True, "fast"),
        (False, "AVX512", True, "slow"),
        (True, "AVX2", True, "slow"),
        (True, "AVX512", False, "cpu lacks it"),
        (False, "AVX2", False, "cpu lacks it"),
    ],
)
def test_torch_is_asked_what_the_cpu_can_do(
    monkeypatch: pytest.MonkeyPatch,
    avx512_bf16: bool,
    capability: str,
    onednn_has_it: bool,
    expected: str,
) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: capability)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: onednn_has_it)
    assert cpu_bf16() == expected


def test_a_cpu_told_to_use_less_gets_fp32() -> None:
    code = "from seglab.engine.device.facts import cpu_bf16; print(cpu_bf16())"
    less = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | less, capture_output=True, text=True
    )
    assert done.stdout.strip() == "cpu lacks it", done.stderr


def test_gpu_shares_cores_among_devices() -> None:
    plan = choose_plan(PlanOptions(), Device("cuda", "a GPU", 4, 32, True, 2**33))
    assert (plan.num_threads, plan.num_workers, plan.precision) == (8, 8, "bf16")
    old = choose_plan(PlanOptions(), Device("cuda", "an old GPU", 1, 4, False, 2**33))
    assert old.precision == "fp16"


def test_small_shared_memory_means_no_workers_and_says_so() -> None:
    plan = choose_plan(PlanOptions(), Device("cuda", "a GPU in a container", 1, 8, True, 2**24))
    assert plan.num_workers == 0
    assert "no loader workers: /dev/shm has 16 MiB, one takes 64 MiB there" in plan.sentence()


@pytest.mark.parametrize(
    ("given", "threads"), [("3", 3), ("3,2", 3), ("64", 8), ("", 8), ("0", 8), ("many", 8)]
)
def test_threads_keep_to_what_the_environment_allows(
    monkeypatch: pytest.MonkeyPatch, given: str, threads: int
) -> None:
    monkeypatch.setattr(facts, "available_cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", given)
    plan = choose_plan(PlanOptions(), facts.inspect_device("cpu"))
    assert plan.num_threads == threads
    assert ("OMP_NUM_THREADS is 3" in plan.sentence()) == (threads == 3)
    by_hand = choose_plan(PlanOptions(num_threads=5), facts.inspect_device("cpu"))
    assert by_hand.num_threads == 5


@pytest.mark.parametrize(
    ("shared", "num_devices", "workers"),
    [
        (2**26, 1, 1),  # what containers have by default, and a worker takes all of it
        (2**26 - 1, 1, 0),
        (5 * 2**26, 1, 5),
        (5 * 2**26, 2, 2),  # both devices' workers live in it
        (2**33, 1, 8),  # as many as there are cores
        (None, 1, 8),
    ],
)
def test_workers_fit_into_shared_memory(shared: int | None, num_devices: int, workers: int) -> None:
    """A worker keeps four batches of 16 MiB there."""
    device = Device("cuda", "a GPU", num_devices, 8 * num_devices, True, shared)
    plan = choose_plan(PlanOptions(), device, batch_bytes=2**24)
    assert plan.num_workers == workers
    assert ("shm has" in plan.sentence()) == (workers < 8)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("precision", "fp32"),
        ("memory_format", "contiguous"),
        ("compile", True),
        ("num_threads", 3),
        ("num_workers", 5),
    ],
)
def test_choice_by_hand_stands_and_is_named(name: str, value: object) -> None:
    plan = choose_plan(PlanOptions(**{name: value}), CPU)
    assert getattr(plan, name) == value
    assert f"{name} set by hand" in plan.sentence()


def test_stock_plan_is_torch_as_it_comes() -> None:
    plan = choose_plan(PlanOptions(plan="stock"), CPU)
    assert (plan.precision, plan.memory_format, plan.num_workers) == ("fp32", "contiguous", 0)


def test_fp16_on_a_cpu_is_refused() -> None:
    with pytest.raises(ConfigError, match="fp16 needs a GPU"):
        choose_plan(PlanOptions(precision="fp16"), CPU)


def test_absent_accelerator_is_refused_with_what_is_there() -> None:
    absent = "cuda" if not torch.cuda.is_available() else "mps"
    with pytest.raises(ConfigError, match=rf"'{absent}' is not on this machine; it has .*cpu"):
        inspect_device(absent)


@pytest.mark.parametrize("devices", [0, -3])
def test_impossible_number_of_devices_is_refused(devices: int) -> None:
    with pytest.raises(ConfigError, match=f"trainer.devices: expected 1 or more .* got {devices}"):
        inspect_device("cpu", devices)


def test_plan_is_one_line_and_plain() -> None:
    plan = choose_plan(PlanOptions(), inspect_device("cpu", 1), micro_batch_size=2)
    assert "\n" not in plan.sentence()
    assert "micro-batch 2" in plan.sentence()
    assert plan.to_dict()["micro_batch_size"] == 2
    assert available_cores() >= 1


def test_a_long_run_on_a_gpu_is_compiled_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    card = Device("cuda", "a GPU", 1, 8, True, 2**33)
    small, large = nn.Conv2d(3, 4, 3), nn.Linear(3000, 3000)
    long = choose_plan(PlanOptions(), card, model=large, steps=COMPILE_PAYS_FROM)
    assert (long.compile, long.compile_mode) == (True, "default")
    assert f"{COMPILE_PAYS_FROM} steps earn back compiling (about 90 s" in long.sentence()
    short = choose_plan(PlanOptions(), card, model=large, steps=COMPILE_PAYS_FROM - 1)
    assert not short.compile
    assert "steps do not earn back compiling" in short.sentence()
    # Launches are what a small network waits for; several parts do not go with graphs.
    graphs = choose_plan(PlanOptions(), card, model=small, steps=10**6)
    assert graphs.compile_mode == "reduce-overhead"
    assert "compile on (reduce-overhead)" in graphs.sentence()
    assert choose_plan(PlanOptions(), card, 2, small, 10**6).compile_mode == "default"
    assert not choose_plan(PlanOptions(compile=False), card, model=small, steps=10**6).compile
    assert not choose_plan(PlanOptions(), CPU, model=small, steps=10**9).compile
    old = Device("cuda", "an old GPU", 1, 8, False, 2**33, compiles=False)
    assert "older than" in choose_plan(PlanOptions(), old, steps=10**9).sentence()


def test_plans_of_former_records_have_no_mode_of_compiling() -> None:
    content = choose_plan(PlanOptions(), CPU).to_dict()
    del content["compile_mode"]
    assert ExecutionPlan.from_dict(content).compile_mode == "default"


def test_only_the_first_step_compiles() -> None:
    """A shorter last batch, and images of another size, run as they are written."""
    counter = CompileCounter()
    layer = nn.Conv2d(3, 2, 3)
    layer.compile(backend=counter)
    once = CompileOnce()
    try:
        layer(torch.zeros(4, 3, 8, 8))
        once.on_train_batch_end()
        for shape in ((3, 3, 8, 8), (4, 3, 9, 7), (4, 3, 8, 8)):
            assert layer(torch.ones(shape)).shape[0] == shape[0]
        assert counter.frame_count == 1
    finally:
        once.teardown()
    layer(torch.zeros(3, 3, 8, 8))
    assert counter.frame_count == 2
