"""What is remembered of micro-batches saves failed attempts and changes no outcome, and never harms."""

from __future__ import annotations

import gc
import json
import logging
import multiprocessing
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from seglab.core.errors import TrainingError
from seglab.engine.device.memory_limit import memory_limit
from seglab.engine.step.micro_batch import MicroBatcher, part_sizes
from seglab.engine.step.micro_batch_memory import Known, MicroBatchMemory

FACTS = {"model": {"arch": "unet"}, "memory_bytes": 2**30}


@pytest.fixture(scope="module", autouse=True)
def _quick_collection() -> Iterator[None]:
    """A failed attempt collects garbage, which takes its time beside all that the suite has loaded."""
    gc.freeze()
    yield
    gc.unfreeze()


def _memory(tmp_path: Path, **facts: object) -> MicroBatchMemory:
    return MicroBatchMemory(tmp_path, {**FACTS, **facts})


class _Device:
    """Holds a batch and the part that is worked on; runs out of memory beyond its bytes."""

    def __init__(self, num_bytes: int, of_batch: int = 1, of_part: int = 10) -> None:
        self.num_bytes, self.of_batch, self.of_part = num_bytes, of_batch, of_part
        self.failures = 0

    def holds(self, batch_size: int, part: int) -> bool:
        return self.of_batch * batch_size + self.of_part * part <= self.num_bytes

    def train(self, batch_size: int, memory: MicroBatchMemory | None) -> int | None:
        """Take a step as a training does; return the size it goes on with."""
        start = memory.start_size(batch_size) if memory else None
        batcher = MicroBatcher(start, on_failure=memory.note_failure if memory else None)
        weight = torch.ones((), requires_grad=True)

        def loss(image: Tensor, mask: Tensor) -> Tensor:
            if not self.holds(batch_size, len(image)):
                self.failures += 1
                raise torch.OutOfMemoryError("out of memory")
            return image.sum() * weight

        image = torch.ones(batch_size, 1)
        batcher.accumulate(
            image, image, torch.full((batch_size,), 1.0), loss, lambda x: x.backward(), lambda: None
        )
        if memory:
            memory.note_fit(batch_size, batcher.largest_part(batch_size))
        return batcher.size


@given(batch=st.integers(1, 300), size=st.integers(1, 300) | st.none(), least=st.integers(1, 4))
def test_parts_are_even_and_within_their_limits(batch: int, size: int | None, least: int) -> None:
    sizes = part_sizes(batch, size, least)

    assert sum(sizes) == batch
    assert max(sizes) - min(sizes) <= 1
    assert min(sizes) >= min(least, batch)
    # Fewest images go before most images; else no part is too large, and there is no part too many.
    if len(sizes) < batch // least:
        assert max(sizes) <= (size or batch)
        assert len(sizes) == -(-batch // (size or batch))


@settings(max_examples=40, deadline=None)
@given(
    num_bytes=st.integers(12, 400),
    batches=st.lists(st.integers(1, 40), min_size=1, max_size=8),
    of_batch=st.integers(0, 3),
)
def test_outcome_is_that_without_memory_and_nothing_fails_twice(
    tmp_path_factory: pytest.TempPathFactory, num_bytes: int, batches: list[int], of_batch: int
) -> None:
    memory = MicroBatchMemory(tmp_path_factory.mktemp("cache"), FACTS)
    device = _Device(num_bytes + 40 * of_batch, of_batch)
    for batch_size in batches:
        assert device.train(batch_size, memory) == device.train(batch_size, None)
    device.failures = 0
    for batch_size in batches:
        device.train(batch_size, memory)
    assert device.failures == 0


def test_larger_batch_skips_what_a_smaller_one_failed_with(tmp_path: Path) -> None:
    memory, device = _memory(tmp_path), _Device(170)
    assert device.train(16, memory) == 8
    assert device.failures == 1

    # 64 and 32 at once are more than the 16 that failed, 16 as many.
    assert memory.start_size(64) == 8
    # It fits no more beside the larger batch, and that says nothing of the smaller one.
    assert _Device(120).holds(64, 4)
    assert not device.holds(128, 8)
    assert device.train(128, memory) == 4
    assert memory.start_size(128) == 4
    assert memory.start_size(16) == 8
    # Sizes between known ones are not tried: 12 could fit, and would train otherwise.
    assert memory.start_size(24) == 12
    assert device.holds(24, 12)
    assert memory.known() == Known(fits=((16, 8), (128, 4)), fails=((16, 16), (128, 8)))


def test_whole_batch_is_tried_where_nothing_is_known(tmp_path: Path) -> None:
    memory = _memory(tmp_path)
    assert memory.start_size(64) is None
    memory.note_fit(16, 16)
    assert memory.start_size(64) is None
    assert not memory.known().fit((64, 64))
    assert memory.known().fit((12, 12))


def test_least_size_is_returned_even_if_it_failed(tmp_path: Path) -> None:
    memory, device = _memory(tmp_path), _Device(5)
    with pytest.raises(TrainingError, match="a single image"):
        device.train(8, memory)
    assert memory.start_size(8) == 1
    assert memory.start_size(8, min_size=2) == 2
    with pytest.raises(TrainingError, match="a single image"):
        device.train(8, memory)
    assert device.failures == 5


def test_later_evidence_stands(tmp_path: Path) -> None:
    memory = _memory(tmp_path)
    memory.note_failure(16, 8)
    assert memory.start_size(16) == 4
    # Another process had a part of the device then.
    memory.note_fit(32, 16)
    assert memory.known() == Known(fits=((32, 16),))
    assert memory.start_size(16) is None
    memory.note_failure(16, 16)
    assert memory.known() == Known(fails=((16, 16),))


def test_kinds_of_trainings_know_nothing_of_each_other(tmp_path: Path) -> None:
    _memory(tmp_path).note_failure(8, 8)
    assert _memory(tmp_path).start_size(8) == 4
    assert _memory(tmp_path, memory_bytes=2**31).start_size(8) is None


def test_file_says_what_it_is_about(tmp_path: Path) -> None:
    memory = _memory(tmp_path)
    memory.note_failure(8, 8)
    memory.note_fit(8, 4)
    assert memory.path.parent == tmp_path / "micro_batches"
    assert json.loads(memory.path.read_text()) == {
        "schema_version": 1,
        "of": FACTS,
        "fits": [[8, 4]],
        "fails": [[8, 8]],
    }


def test_what_is_known_is_not_written_again(tmp_path: Path) -> None:
    memory = _memory(tmp_path)
    memory.note_fit(8, 8)
    before = memory.path.stat()
    memory.note_fit(8, 8)
    memory.note_fit(4, 2)
    after = memory.path.stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        '{"schema_version": 1}',
        '{"schema_version": 1, "fits": [1], "fails": []}',
        "\x00",
    ],
)
def test_broken_file_is_a_warning_and_is_written_anew(
    tmp_path: Path, text: str, caplog: pytest.LogCaptureFixture
) -> None:
    memory = _memory(tmp_path)
    memory.path.parent.mkdir()
    memory.path.write_text(text)
    with caplog.at_level(logging.WARNING):
        assert memory.start_size(8) is None
    assert "cannot be read" in caplog.text
    memory.note_failure(8, 8)
    caplog.clear()
    assert memory.start_size(8) == 4
    assert not caplog.text


def test_file_of_another_version_is_left_out_silently(tmp_path: Path) -> None:
    memory = _memory(tmp_path)
    memory.path.parent.mkdir()
    memory.path.write_text('{"schema_version": 2, "rows": []}')
    assert memory.known() == Known()


def test_folder_that_cannot_be_written_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    memory = _memory(tmp_path / "cache")
    with caplog.at_level(logging.WARNING):
        memory.note_failure(8, 8)
        assert memory.start_size(8) is None
    assert "cannot be written" in caplog.text


def _note_many(folder: Path, first: int) -> None:
    memory = MicroBatchMemory(folder, FACTS)
    for step in range(12):
        # A front: each pair says something that no other one says.
        memory.note_fit(100 + first + 4 * step, 100 - first - 4 * step)


def test_many_processes_write_at_once_and_nothing_is_lost(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    writers = [context.Process(target=_note_many, args=(tmp_path, first)) for first in range(4)]
    for writer in writers:
        writer.start()
    reader = _memory(tmp_path)
    while any(writer.is_alive() for writer in writers):
        assert all(batch + held == 200 for batch, held in reader.known().fits)
    for writer in writers:
        writer.join()
        assert writer.exitcode == 0
    assert len(reader.known().fits) == 48


def test_limit_of_the_process_counts() -> None:
    import resource

    free = memory_limit("cpu")
    assert free > 2**28
    former = resource.getrlimit(resource.RLIMIT_DATA)
    try:
        resource.setrlimit(resource.RLIMIT_DATA, (free - 2**20, former[1]))
        assert memory_limit("cpu") == free - 2**20
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, former)


def test_limit_of_the_control_group_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own"
    own.write_text("9:memory:/job/old\n0::/job/step\n")
    monkeypatch.setattr("seglab.engine.device.memory_limit._CGROUP", tmp_path)
    monkeypatch.setattr("seglab.engine.device.memory_limit._OWN_CGROUP", own)
    free = memory_limit("cpu")
    for place, text, limit in (
        ("memory.max", "max", free),
        ("memory/job/old/memory.limit_in_bytes", str(free - 1), free - 1),
        ("job/step/memory.max", str(free - 2), free - 2),
        ("memory.max", str(free - 3), free - 3),
    ):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / place).write_text(f"{text}\n")
        assert memory_limit("cpu") == limit
