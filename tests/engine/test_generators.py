"""Seeding one device draws what torch's seeding of all draws."""

from __future__ import annotations

import torch

from seglab.engine.step.module import seed_generators


def test_draws_are_those_of_manual_seed() -> None:
    for seed in (0, 7, 2**63 - 1):
        torch.manual_seed(seed)
        wanted = torch.rand(3)
        seed_generators(seed, torch.device("cpu"))
        assert torch.equal(torch.rand(3), wanted)
