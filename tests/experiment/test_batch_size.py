"""The batch size as a number to sample: it works, or says clearly why not, and rates follow it."""

from __future__ import annotations

import io
import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pandas as pd
import pytest
import torch
from omegaconf import OmegaConf, open_dict
from rich.console import Console

from seglab.config.compose import compose
from seglab.core.errors import DataError, TrainingError
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.step.micro_batch import MicroBatcher
from seglab.engine.step.micro_batch_memory import MicroBatchMemory
from seglab.experiment.parts import make_plan, open_manifest_of
from seglab.experiment.prepare.batch_size import begin_with_what_fits, learning_rates, memory_facts
from seglab.experiment.train import TrainResult, resume, train
from seglab.runs import RunRecord, load_runs

pytestmark = pytest.mark.slow


def _train(overrides: list[str], run_dir: Path, console: Console | None = None) -> TrainResult:
    return train(compose(overrides), run_dir, console or Console(quiet=True))


def _checkpoint(run_dir: Path) -> dict[str, object]:
    return torch.load(run_dir / "checkpoints" / "last.ckpt", weights_only=True)


def _same_tensors(one: object, other: object) -> bool:
    """Whether two nests of containers hold equal values, tensors bit by bit."""
    if isinstance(one, dict):
        assert isinstance(other, dict)
        return one.keys() == other.keys() and all(_same_tensors(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(_same_tensors, one, other))  # type: ignore[arg-type]
    return torch.equal(one, other) if isinstance(one, torch.Tensor) else one == other  # type: ignore[arg-type]


@pytest.fixture
def words(tiny: list[str], tmp_path: Path) -> list[str]:
    """The tiny training, with a memory of its own."""
    return [
        *tiny,
        "trainer.max_epochs=1",
        "callbacks.overlays.num_images=0",
        "logger=none",
        f"paths.cache_dir={tmp_path / 'cache'}",
    ]


class _SmallDevice:
    """Makes passes over more than so many images fail like an allocator, in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, images: int) -> None:
        self.attempts: list[int] = []
        run = MicroBatcher.accumulate

        def limited(batcher: MicroBatcher, *args: object, **kwargs: object) -> torch.Tensor:
            loss_fn = kwargs["loss_fn"]

            def refusing(image: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
                self.attempts.append(len(image))
                # Not before batch norm has taken the images into its statistics.
                loss = loss_fn(image, mask)  # type: ignore[operator]
                if len(image) > images:
                    raise torch.OutOfMemoryError("out of memory")
                return loss

            return run(batcher, *args, **{**kwargs, "loss_fn": refusing})  # type: ignore[arg-type]

        monkeypatch.setattr(MicroBatcher, "accumulate", limited)


def test_rates_follow_the_batch_and_are_recorded(words: list[str], tmp_path: Path) -> None:
    scaled = [
        *words,
        "data.batch_size=16",
        "lr_scaling.rule=sqrt",
        "lr_scaling.batch_size=4",
        "optimizer.lr=1e-3",
        "optimizer.encoder_lr=2e-4",
        "scheduler=constant",
    ]
    console = Console(record=True, width=200, file=io.StringIO())
    result = _train(scaled, tmp_path / "a", console)
    assert (
        "learning rate 0.001 x 2 = 0.002, encoder 0.0002 x 2 = 0.0004 (sqrt in the batch, 16 for 4)"
        in console.export_text()
    )
    by_hand = [
        *words,
        "data.batch_size=16",
        "optimizer.lr=2e-3",
        "optimizer.encoder_lr=4e-4",
        "scheduler=constant",
    ]
    same = _train(by_hand, tmp_path / "b")
    first, second = _checkpoint(result.run_dir), _checkpoint(same.run_dir)
    assert _same_tensors(first["state_dict"], second["state_dict"])

    runs = load_runs(tmp_path).set_index("run_id")
    assert list(runs["metrics.lr/effective"]) == [2e-3, 2e-3]
    assert list(runs["metrics.lr/effective_encoder"]) == [4e-4, 4e-4]
    assert list(runs["metrics.lr/factor"]) == [2.0, 1.0]
    assert list(runs["config.lr_scaling.rule"]) == ["sqrt", "none"]
    history = pd.read_csv(result.run_dir / "history.csv")
    assert history["lr/rest"].iloc[-1] == pytest.approx(2e-3)
    assert history["lr/encoder"].iloc[-1] == pytest.approx(4e-4)


def test_resumed_run_keeps_its_rates(words: list[str], tmp_path: Path) -> None:
    scaled = [
        *words,
        "trainer.max_epochs=2",
        "lr_scaling.rule=linear",
        "lr_scaling.batch_size=1",
        "callbacks.checkpoint.every_n_steps=1",
    ]
    whole = _train(scaled, tmp_path / "whole")
    # As a kill after the first epoch leaves it.
    stopped = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        _stop_after(patch, steps=4)
        with pytest.raises(TrainingError, match="stopped here"):
            _train(scaled, stopped)
    result = resume(stopped, Console(quiet=True))
    first, second = _checkpoint(whole.run_dir), _checkpoint(result.run_dir)
    assert _same_tensors(first["state_dict"], second["state_dict"])
    assert RunRecord.open(stopped).metrics["lr/factor"] == 4.0


def _stop_after(patch: pytest.MonkeyPatch, steps: int) -> None:
    run, taken = MicroBatcher.accumulate, []

    def stopping(batcher: MicroBatcher, *args: object, **kwargs: object) -> torch.Tensor:
        taken.append(1)
        if len(taken) > steps:
            raise TrainingError("stopped here")
        return run(batcher, *args, **kwargs)  # type: ignore[arg-type]

    patch.setattr(MicroBatcher, "accumulate", stopping)


def test_configuration_from_before_there_was_a_rule_has_none(words: list[str]) -> None:
    cfg = compose([*words, "data.batch_size=16"])
    with open_dict(cfg):
        del cfg["lr_scaling"]
    rates = learning_rates(cfg)
    assert (rates.lr, rates.factor, rates.message) == (cfg.optimizer.lr, 1.0, "")


def test_second_training_begins_with_what_the_first_found(
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    words = [*words, "data.batch_size=8", "loss=ce", "trainer.max_epochs=2"]
    device = _SmallDevice(monkeypatch, images=2)
    with caplog.at_level(logging.WARNING):
        first = _train(words, tmp_path / "first")
    assert caplog.text.count("going on with micro-batches") == 2
    assert device.attempts[:3] == [8, 4, 2]
    plan = RunRecord.open(first.run_dir).read()["execution_plan"]
    assert plan["micro_batch_size"] == 2

    device.attempts.clear()
    caplog.clear()
    console = Console(record=True, width=300, file=io.StringIO())
    second = _train(words, tmp_path / "second", console)
    assert set(device.attempts) == {2}
    assert "out of memory" not in caplog.text
    said = console.export_text()
    assert "micro-batch 2 (" in said
    assert "micro-batch 2 remembered from an earlier run on this device" in said
    plan = RunRecord.open(second.run_dir).read()["execution_plan"]
    assert plan["micro_batch_size"] == 2
    assert plan["reasons"][-1] == "micro-batch 2 remembered from an earlier run on this device"
    # What is remembered saves time and changes nothing.
    assert _same_tensors(
        _checkpoint(first.run_dir)["state_dict"], _checkpoint(second.run_dir)["state_dict"]
    )

    device.attempts.clear()
    _train(
        [*words, "data.batch_size=12", "optimizer.lr=5e-4", "trainer.max_epochs=1"],
        tmp_path / "third",
    )
    assert device.attempts[0] == 3
    assert len(set(device.attempts) - {3}) == 1

    device.attempts.clear()
    _train([*words, "trainer.micro_batch_size=4", "trainer.max_epochs=1"], tmp_path / "hand")
    assert device.attempts[:2] == [4, 2]


def test_probe_changes_no_bit_where_all_fits(words: list[str], tmp_path: Path) -> None:
    stateful = [*words, "optimizer=adamw", "trainer.ema_decay=0.9", "trainer.max_epochs=2"]
    with_probe = _train([*stateful, "trainer.micro_batch_size=probe"], tmp_path / "with")
    without = _train([*stateful, "trainer.micro_batch_size=4"], tmp_path / "without")
    first, second = _checkpoint(with_probe.run_dir), _checkpoint(without.run_dir)
    for key in ("state_dict", "current_model_state", "optimizer_states", "lr_schedulers", "loops"):
        assert _same_tensors(first[key], second[key]), key
    assert first["micro_batch_size"] is None


def test_probe_finds_the_size_before_the_first_step(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [*words, "data.batch_size=8", "trainer.micro_batch_size=probe"]
    device = _SmallDevice(monkeypatch, images=4)
    result = _train(words, tmp_path / "probed")
    # Eight fail; the size found is run for two whole steps; then comes training, two steps.
    assert device.attempts == [8, *[4, 4] * 2, *[4, 4] * 2]
    assert RunRecord.open(result.run_dir).read()["execution_plan"]["micro_batch_size"] == 4
    known = _train([*words, "trainer.max_epochs=2"], tmp_path / "longer")
    assert RunRecord.open(known.run_dir).status == "finished"
    device.attempts.clear()
    _train(words, tmp_path / "again")
    # Known to fit by now: neither a failure nor a probe.
    assert device.attempts == [4, 4] * 2


def test_probe_of_what_never_fits_fails_with_advice(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _SmallDevice(monkeypatch, images=0)
    with pytest.raises(TrainingError, match=r"a single image .*data\.crop_size smaller"):
        _train([*words, "trainer.micro_batch_size=probe"], tmp_path / "a")
    assert RunRecord.open(tmp_path / "a").status == "failed"


def test_facts_are_what_decides_memory(words: list[str]) -> None:
    cfg = compose(words)

    def facts(key: str, value: object) -> dict[str, object]:
        changed = cfg.copy()
        OmegaConf.update(changed, key, value)
        return memory_facts(changed, 7, make_plan(changed)[0])

    base = memory_facts(cfg, 7, make_plan(cfg)[0])
    assert base["memory_bytes"] > 2**28  # type: ignore[operator]
    for key, value in {
        "data.batch_size": 16,
        "optimizer.lr": 0.1,
        "model.dropout": 0.3,
        "loss.weights.dice": 0.3,
        "optimizer.weight_decay": 0.1,
        "seed": 3,
        "trainer.max_epochs": 9,
        "loss.class_weights": "median_frequency",
        "trainer.micro_batch_size": "probe",
    }.items():
        assert facts(key, value) == base, key
    for key, value in {
        "data.crop_size": [32, 64],
        "model.width": 8,
        "model.dropout": 0.0,
        "optimizer.name": "sgd",
        "trainer.precision": "another",
        "trainer.memory_format": "another",
        "model.in_channels": 1,
        "trainer.ema_decay": 0.9,
        "trainer.compile": True,
        "augment.backend": "kornia",
        "optimizer.options": {"momentum": 0.9},
        "trainer.whole_batch_losses": "exact",
    }.items():
        if value == "another":
            pair = {"trainer.precision": ("fp32", "bf16")}.get(key, ("contiguous", "channels_last"))
            value = pair[base[key.removeprefix("trainer.")] == pair[0]]
        assert facts(key, value) != base, key
    with_ce = compose([*words, "loss=ce"])
    assert memory_facts(with_ce, 7, make_plan(with_ce)[0]) != base


def test_small_data_set_never_fills_a_large_batch(words: list[str], tmp_path: Path) -> None:
    cfg = compose([*words, "data.batch_size=64", "data.drop_last=false"])
    plan, _ = make_plan(cfg)
    manifest = open_manifest_of(cfg)
    assert manifest.splits()["train"] == 16
    memory = MicroBatchMemory(Path(cfg.paths.cache_dir), memory_facts(cfg, 7, plan))
    memory.note_failure(16, 16)
    begun = begin_with_what_fits(cfg, manifest, plan)
    # The halving starts at the 16 images that there are, not at 64.
    assert begun.micro_batch_size == 8
    assert ExecutionPlan.from_dict(begun.to_dict()) == begun
    assert begin_with_what_fits(cfg, manifest, begun) == begun

    result = _train([*words, "data.batch_size=64", "data.drop_last=false"], tmp_path / "a")
    assert RunRecord.open(result.run_dir).history()["step"].iloc[-1] == 1


def test_batch_larger_than_the_training_set_says_what_to_do(
    words: list[str], tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        _train([*words, "data.batch_size=32"], tmp_path / "a")
    assert "16 training samples do not fill one batch of 32" in str(caught.value)
    assert "set batch_size to 16 or less, or drop_last=false" in str(caught.value)
    record = RunRecord.open(tmp_path / "a")
    assert record.status == "failed"
    assert "do not fill one batch of 32" in record.read()["error"]["message"]


def test_micro_batch_by_hand_goes_with_any_batch(words: list[str], tmp_path: Path) -> None:
    for batch_size in (1, 5):
        cfg = [*words, f"data.batch_size={batch_size}", "trainer.micro_batch_size=2"]
        assert _train(cfg, tmp_path / str(batch_size)).status == "finished"
    assert not (tmp_path / "cache" / "micro_batches").exists()


LIMITED = """
    import logging, multiprocessing, re, resource, sys
    from pathlib import Path

    from rich.console import Console

    from seglab.config.compose import compose
    from seglab.experiment.train import train

    folder, words = Path(sys.argv[1]), sys.argv[2:]
    logging.basicConfig(level=logging.WARNING)
    # All that is imported late, and what oneDNN makes once, is there before memory becomes scarce.
    train(compose([*words, "data.batch_size=2"]), folder / "warm", Console(quiet=True))
    used = int(re.search(r"VmData:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
    # Eight images at once need 150 MiB more, sixteen 260 to 310: far from both, for an allocator varies.
    resource.setrlimit(resource.RLIMIT_DATA, (used + 200 * 2**20,) * 2)
    context = multiprocessing.get_context("fork")
    for name in ("first", "second"):
        print(f"@@ {name}", file=sys.stderr, flush=True)
        # A process each, as trials have: what a training leaves in memory is not the next one's.
        child = context.Process(
            target=train, args=(compose(words), folder / name, Console(quiet=True))
        )
        child.start()
        child.join()
        assert child.exitcode == 0
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="RLIMIT_DATA limits nothing elsewhere")
def test_real_limit_is_met_once_and_remembered(words: list[str], tmp_path: Path) -> None:
    """Sixteen images need more than the process may have; a second training knows."""
    larger = [
        *words,
        "data.options.image_size=[96,128]",
        "data.crop_size=[96,128]",
        "model.width=32",
        "data.batch_size=16",
        # The limit is for float32; processors with bf16 need half of it.
        "trainer.precision=fp32",
        "loss=ce",
        f"paths.data_dir={tmp_path / 'data'}",
    ]
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(LIMITED), str(tmp_path), *larger],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    _, first, second = done.stderr.split("@@ ")
    assert "out of memory with 16 images at once" in first
    assert "out of memory" not in second
    plans = [
        RunRecord.open(tmp_path / name).read()["execution_plan"] for name in ("first", "second")
    ]
    assert plans[0]["micro_batch_size"] == plans[1]["micro_batch_size"] < 16
    assert plans[1]["reasons"][-1].endswith("remembered from an earlier run on this device")
    assert _same_tensors(
        *(_checkpoint(tmp_path / name)["state_dict"] for name in ("first", "second"))
    )
    files = list((tmp_path / "cache" / "micro_batches").glob("*.json"))
    limited = [one for one in files if json.loads(one.read_text())["fails"]]
    assert len(limited) == 1


UNEQUAL = """
    import os

    import torch

    from seglab.engine.step.micro_batch import MicroBatcher

    run, most = MicroBatcher.accumulate, 2 if os.environ.get("LOCAL_RANK") == "1" else 4


    def limited(batcher, *args, loss_fn, **kwargs):
        def refusing(image, mask):
            if len(image) > most:
                raise torch.OutOfMemoryError("out of memory")
            return loss_fn(image, mask)

        return run(batcher, *args, loss_fn=refusing, **kwargs)


    MicroBatcher.accumulate = limited
"""


@pytest.mark.slow
def test_ranks_agree_before_the_first_step_and_remember(words: list[str], tmp_path: Path) -> None:
    """Two processes of which one holds less: none can shrink alone in a step."""
    (tmp_path / "sitecustomize.py").write_text(textwrap.dedent(UNEQUAL))
    command = [
        sys.executable,
        "-m",
        "seglab.cli",
        "train",
        *words,
        "data.batch_size=8",
        "trainer.max_epochs=2",
        "trainer.devices=2",
    ]
    said = []
    for name in ("first", "second"):
        done = subprocess.run(
            [*command, f"hydra.run.dir={tmp_path / name}"],
            capture_output=True,
            text=True,
            timeout=300,
            env={**os.environ, "PYTHONPATH": str(tmp_path)},
        )
        assert done.returncode == 0, done.stderr[-3000:]
        said.append(done.stdout + done.stderr)
        plan = RunRecord.open(tmp_path / name).read()["execution_plan"]
        assert (plan["num_devices"], plan["micro_batch_size"]) == (2, 2)
    assert "out of memory with 4 images at once" in said[0]
    assert "out of memory" not in said[1]
    assert "micro-batch 2 remembered" in said[1]
    (known,) = (tmp_path / "cache" / "micro_batches").glob("*.json")
    content = json.loads(known.read_text())
    assert (content["fits"], content["fails"]) == ([[4, 2]], [[4, 4]])
    first, second = (_checkpoint(tmp_path / name) for name in ("first", "second"))
    assert _same_tensors(first["state_dict"], second["state_dict"])
