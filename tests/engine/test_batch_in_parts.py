"""A training step on a batch in parts takes the step of the whole batch, on one device and on two."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from seglab.core.errors import ConfigError
from seglab.core.labels import LabelSpace
from seglab.engine.device.plan import ExecutionPlan
from seglab.engine.loop.trainer import build_trainer
from seglab.engine.options import TrainerOptions
from seglab.engine.step.epoch_loss import EpochLoss
from seglab.engine.step.evaluation import Evaluator
from seglab.engine.step.micro_batch import MicroBatcher
from seglab.engine.step.module import SegmentationModule, StepSettings
from seglab.engine.step.whole_batch import WholeBatchLoss
from seglab.losses import (
    CrossEntropyLoss,
    DiceLoss,
    FocalLoss,
    LovaszLoss,
    OhemCrossEntropyLoss,
    WeightedSum,
)
from seglab.optim import build_scheduler

NUM_CLASSES = 3
BATCH = 4
# The rare class has the weight.
WEIGHTS = [0.2, 1.0, 8.0]
MEANS = {
    "ce": CrossEntropyLoss,
    "focal": FocalLoss,
    "dice_per_image": partial(DiceLoss, per_image=True),
}
OTHERS = {
    "ohem": partial(OhemCrossEntropyLoss, threshold=0.3, min_kept=0.3),
    "dice": DiceLoss,
    "lovasz": LovaszLoss,
}


def sum_of(names: Any, class_weights: list[float] | None = WEIGHTS) -> WeightedSum:
    terms = {name: (MEANS | OTHERS)[name](class_weights=class_weights) for name in names}
    return WeightedSum(terms, {name: 0.5 + place for place, name in enumerate(terms)})


def make_batch() -> dict[str, Any]:
    """Return four images, uint8: two of common classes, a third of a rare one, one nearly void."""
    rng = torch.Generator().manual_seed(0)
    image = torch.randint(0, 256, (BATCH, 3, 8, 8), generator=rng, dtype=torch.uint8)
    mask = torch.randint(0, 2, (BATCH, 8, 8), generator=rng)
    mask[1, :1], mask[2], mask[3, 1:] = 2, 2, 255
    mask[2, :, :3] = 1
    return {"image": image, "mask": mask, "sample_id": [str(n) for n in range(BATCH)]}


class Net(nn.Module):
    """Two convolutions; batch norm only where asked for, since it sees the parts."""

    mean, std, size_divisor, min_size, in_channels = (0.5,) * 3, (0.25,) * 3, 1, 1, 3
    full_scale = 255.0

    def __init__(self, norm: bool = False, dropout: float = 0.0) -> None:
        super().__init__()
        torch.manual_seed(1)
        layers = [nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8) if norm else nn.ReLU()]
        self.layers = nn.Sequential(*layers, nn.Dropout(dropout), nn.Conv2d(8, NUM_CLASSES, 1))

    def forward(self, image: Tensor) -> Tensor:
        return self.layers(image)


class Limited(Net):
    """Holds two images at once, in the words of a real allocator."""

    def forward(self, image: Tensor) -> Tensor:
        if torch.is_grad_enabled() and len(image) > 2:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return super().forward(image)


def take_step(
    loss: WeightedSum,
    size: int | None,
    choice: Any,
    folder: Path,
    net: Net | None = None,
    devices: int = 1,
    rank: int = 0,
) -> tuple[Tensor, float, MicroBatcher]:
    """Train one step; return the weights after it and the epoch's loss."""
    module = SegmentationModule(
        net or Net(),
        loss,
        LabelSpace(("a", "b", "c")),
        (
            lambda model: torch.optim.SGD(model.parameters(), lr=1.0),
            lambda optimizer: build_scheduler(optimizer, "constant", 1, 1),
        ),
        StepSettings(whole_batch_losses=choice),
        MicroBatcher(size, can_halve=devices == 1),
    )
    share, batch = BATCH // devices, make_batch()
    own = {key: value[rank * share : (rank + 1) * share] for key, value in batch.items()}
    plan = ExecutionPlan("cpu", devices, "fp32", "contiguous", False, 1, 0)
    trainer = build_trainer(plan, TrainerOptions(max_epochs=1), [], folder)
    trainer.fit(module, torch.utils.data.DataLoader([own], batch_size=None))
    weights = torch.cat([value.detach().flatten() for value in module.model.parameters()])
    return weights, module.epoch_loss.mean(), module.micro_batcher


def assert_same(one: Any, other: Any) -> None:
    torch.testing.assert_close(one[0], other[0], rtol=1e-5, atol=1e-6)
    assert one[1] == pytest.approx(other[1], rel=1e-5)


def test_step_in_parts_is_the_step_of_the_batch(tmp_path: Path) -> None:
    whole = take_step(sum_of(MEANS), None, "approximate", tmp_path)
    assert_same(take_step(sum_of(MEANS), 1, "approximate", tmp_path), whole)
    halved = take_step(sum_of(MEANS), None, "approximate", tmp_path, Limited())
    assert halved[2].size == 2
    assert_same(halved, whole)
    everything = [*MEANS, *OTHERS]
    whole = take_step(sum_of(everything), None, "approximate", tmp_path)
    assert_same(take_step(sum_of(everything), 1, "exact", tmp_path), whole)
    assert_same(take_step(sum_of(everything), None, "exact", tmp_path), whole)
    halved = take_step(sum_of(everything), None, "exact", tmp_path, Limited())
    assert halved[2].size == 2
    assert_same(halved, whole)


def test_parts_that_do_not_add_up_are_told_once_or_refused(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    loss = sum_of(["ce", "dice"])
    with caplog.at_level(logging.WARNING, "seglab"):
        take_step(loss, None, "approximate", tmp_path)
        take_step(sum_of(["ce"]), 1, "refuse", tmp_path)
        take_step(loss, 1, "exact", tmp_path)
    assert not caplog.messages
    with caplog.at_level(logging.WARNING, "seglab"):
        take_step(loss, 1, "approximate", tmp_path)
    (told,) = caplog.messages
    assert told.startswith(
        "loss.terms.dice: no mean over images, but the batch of 4 runs in 4 parts"
    )
    assert "trainer.whole_batch_losses=exact" in told
    before = torch.cat([value.detach().flatten() for value in Net().parameters()])
    net = Net()
    with pytest.raises(
        ConfigError, match=r"loss\.terms\.dice: .* a data\.batch_size that needs no"
    ):
        take_step(loss, 1, "refuse", tmp_path, net)
    assert torch.equal(torch.cat([value.detach().flatten() for value in net.parameters()]), before)
    with pytest.raises(ConfigError, match=r"in 2 parts"):
        take_step(loss, None, "refuse", tmp_path, Limited())


def test_second_pass_is_the_first_pass_again() -> None:
    """Dropout draws the same, and batch norm's running statistics see each part once."""
    net, batch, loss = Net(norm=True, dropout=0.5), make_batch(), sum_of(OTHERS)
    image, sizes = batch["image"].float() / 255, [2, 1, 1]
    statistics = [value.clone() for value in net.buffers()]

    def forward(part: Tensor, number: int) -> Tensor:
        torch.manual_seed(number)
        return net(part)

    expected = torch.cat([forward(part, n) for n, part in enumerate(image.split(sizes))])
    terms = loss.weighted_terms(expected, batch["mask"])
    terms.sum().backward()
    gradients = [value.grad.clone() for value in net.parameters() if value.grad is not None]
    once = [value.clone() for value in net.buffers()]
    net.zero_grad()
    for buffer, value in zip(net.buffers(), statistics, strict=True):
        buffer.copy_(value)

    whole = WholeBatchLoss(net, forward, loss.weighted_terms, gather=lambda value: value)
    whole.start(image, batch["mask"], sizes)
    for part, mask in zip(image.split(sizes), batch["mask"].split(sizes), strict=True):
        whole(part, mask).backward()
    torch.testing.assert_close(whole.terms, terms.detach())
    for parameter, gradient in zip(net.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient, rtol=1e-4, atol=1e-6)
    for buffer, value in zip(net.buffers(), once, strict=True):
        torch.testing.assert_close(buffer, value)


def test_weights_cast_in_the_first_pass_get_their_gradient_in_the_second() -> None:
    net, batch, loss = Net(), make_batch(), sum_of(OTHERS)
    image = batch["image"].float() / 255
    gradients = []
    for sizes in ([4], [1, 1, 1, 1]):
        net.zero_grad()
        whole = WholeBatchLoss(net, lambda part, _: net(part), loss.weighted_terms, lambda v: v)
        whole.start(image, batch["mask"], sizes)
        with torch.autocast("cpu", torch.bfloat16):
            for part in image.split(sizes):
                whole(part, batch["mask"]).backward()
        gradients.append(torch.cat([value.grad.flatten() for value in net.parameters()]))  # type: ignore[union-attr]
    assert torch.cosine_similarity(*gradients, dim=0) > 0.999


def test_loss_of_an_epoch_is_that_of_all_its_images() -> None:
    """The mean of the batches' losses by their valid pixels is another number."""
    loss, rng = sum_of(MEANS), torch.Generator().manual_seed(2)
    logits, mask = torch.randn(BATCH, NUM_CLASSES, 8, 8, generator=rng), make_batch()["mask"]
    epoch, naive = EpochLoss(), 0.0
    for part in (slice(0, 2), slice(2, 3), slice(3, 4)):
        weights = loss.term_weights(mask[part], NUM_CLASSES).sum(0)
        epoch.add(loss.weighted_terms(logits[part], mask[part]), weights)
        valid = int((mask[part] != 255).sum())
        naive += float(loss(logits[part], mask[part])) * valid / int((mask != 255).sum())
        resumed = EpochLoss()
        resumed.load_state_dict(epoch.state_dict())
        epoch = resumed
    assert epoch.mean() == pytest.approx(float(loss(logits, mask)), rel=1e-6)
    assert naive != pytest.approx(epoch.mean(), rel=0.01)
    assert EpochLoss().mean() != EpochLoss().mean()


@pytest.mark.parametrize("sizes", [[4], [1, 1, 1, 1], [3, 1]])
def test_loss_of_a_split_does_not_depend_on_the_batches_of_its_evaluation(sizes: list[int]) -> None:
    net, loss, batch = Net().eval(), sum_of(MEANS), make_batch()
    batch["image"] = batch["image"].float() / 255
    evaluator = Evaluator(LabelSpace(("a", "b", "c")), loss.num_terms)
    for end, size in zip(accumulate(sizes), sizes, strict=True):
        part = slice(end - size, end)
        evaluator.update(net, loss, {key: value[part] for key, value in batch.items()})  # type: ignore[arg-type]
    expected = float(loss(net(batch["image"]), batch["mask"]))
    assert evaluator.compute("val").scores["val/loss"] == pytest.approx(expected, rel=1e-5)


# Losses, micro-batch and choice of each step that two processes take.
ON_TWO = (
    (tuple(MEANS), None, "approximate"),
    (tuple(MEANS), 1, "approximate"),
    (tuple(OTHERS), None, "exact"),
    (tuple(OTHERS), 1, "exact"),
)


def on_two(rank: int, folder: Path) -> None:
    torch.set_num_threads(1)
    done = [
        take_step(sum_of(names), size, choice, folder, devices=2, rank=rank)[:2]
        for names, size, choice in ON_TWO
    ]
    torch.save(done, folder / f"rank_{rank}.pt")


@pytest.mark.slow
def test_two_processes_take_the_step_of_one(tmp_path: Path) -> None:
    """Their valid pixels and class weights differ: rank 1 has the rare class and the void."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    children = [
        subprocess.Popen(
            [sys.executable, __file__, str(rank), str(tmp_path)],
            env={
                **os.environ,
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": str(port),
                "WORLD_SIZE": "2",
                "NODE_RANK": "0",
                "LOCAL_RANK": str(rank),
            },
        )
        for rank in range(2)
    ]
    assert [child.wait(timeout=300) for child in children] == [0, 0]
    ranks = [torch.load(tmp_path / f"rank_{rank}.pt") for rank in range(2)]
    for (names, *_), *both in zip(ON_TWO, *ranks, strict=True):
        whole = take_step(sum_of(names), None, "approximate", tmp_path)
        for one in both:
            assert_same(one, whole)


if __name__ == "__main__":
    on_two(int(sys.argv[1]), Path(sys.argv[2]))
