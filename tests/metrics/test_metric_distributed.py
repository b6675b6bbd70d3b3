"""Two processes over gloo give the integers of one, though the images do not divide by two."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import distributed

from seglab.core.errors import DataError
from seglab.metrics.metric import SegmentationMetrics
from seglab.metrics.per_image import PerImageTable

NUM_CLASSES = 4
NUM_IMAGES = 7
PROCESSES = 2


def feed(metric: SegmentationMetrics, indices: range) -> None:
    rng = np.random.default_rng(3)
    mask = torch.from_numpy(rng.integers(0, NUM_CLASSES, (NUM_IMAGES, 5, 6)))
    mask[rng.random(mask.shape) < 0.2] = 255
    pred_mask = torch.from_numpy(rng.integers(0, NUM_CLASSES, mask.shape))
    for index in indices:
        one = slice(index, index + 1)
        metric.update(pred_mask[one], mask[one], [f"image_{index}"], torch.tensor(index / 10))


def run_rank(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/store", rank=rank, world_size=PROCESSES
    )
    metric = SegmentationMetrics(NUM_CLASSES, per_image=True)
    feed(metric, range(rank, NUM_IMAGES, PROCESSES))
    totals, table = metric.compute(), metric.per_image.gather()
    torch.save((totals.confusion, totals.loss, vars(table)), Path(folder) / f"rank_{rank}.pt")
    # A sampler that pads: the second process gets an image of the first as well.
    feed(metric, range(rank))
    try:
        metric.per_image.gather()
    except DataError as error:
        (Path(folder) / f"rank_{rank}.txt").write_text(str(error))
    distributed.destroy_process_group()


@pytest.mark.slow
def test_two_processes_give_the_integers_of_one(tmp_path: Path) -> None:
    # By path, not by name: an installed package may have a top-level `tests` of its own.
    children = [
        subprocess.Popen([sys.executable, __file__, str(rank), str(tmp_path)])
        for rank in range(PROCESSES)
    ]
    assert [child.wait(timeout=300) for child in children] == [0] * PROCESSES
    single = SegmentationMetrics(NUM_CLASSES, per_image=True)
    feed(single, range(NUM_IMAGES))
    expected, totals = single.per_image.gather(), single.compute()
    for rank in range(PROCESSES):
        confusion, loss, table = torch.load(tmp_path / f"rank_{rank}.pt", weights_only=False)
        assert torch.equal(confusion, totals.confusion)
        assert float(loss) == pytest.approx(float(totals.loss))
        gathered = PerImageTable(**table)
        assert gathered.sample_ids == expected.sample_ids
        for name in ("tp", "fp", "fn"):
            assert np.array_equal(getattr(gathered, name), getattr(expected, name))
        assert "scored more than once: image_0." in (tmp_path / f"rank_{rank}.txt").read_text()


if __name__ == "__main__":
    run_rank(int(sys.argv[1]), sys.argv[2])
