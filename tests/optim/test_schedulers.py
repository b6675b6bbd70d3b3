import copy
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import SGD
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, PolynomialLR, SequentialLR

from seglab.core.errors import ConfigError
from seglab.optim import SCHEDULES, build_scheduler, step_after_batch, step_after_validation

STEPWISE = [name for name in SCHEDULES if name != "plateau"]


def make_optimizer(*rates, momentum=0.9):
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates]
    return SGD(groups, lr=1.0, momentum=momentum)


def rates_over(name, total_steps, steps=None, steps_per_epoch=1, peaks=(1.0,), **options):
    """Learning rates of the first group at each optimizer step, as a training loop meets them."""
    optimizer = make_optimizer(*peaks)
    schedule = build_scheduler(optimizer, name, total_steps, steps_per_epoch, **options)
    rates = []
    for _ in range(steps or total_steps):
        rates.append([group["lr"] for group in optimizer.param_groups])
        optimizer.step()
        schedule.step()
    return rates if len(peaks) > 1 else [rate for (rate,) in rates]


def test_poly_by_hand():
    rates = rates_over("poly", 4, peaks=(0.1,), power=0.9)
    expected = [0.1, 0.1 * 0.75**0.9, 0.1 * 0.5**0.9, 0.1 * 0.25**0.9]
    assert rates == pytest.approx(expected)
    assert rates[2] == pytest.approx(0.0535887)


@pytest.mark.parametrize(
    ("name", "options", "theirs"),
    [
        ("poly", {"power": 0.9}, lambda o: PolynomialLR(o, 200, power=0.9)),
        ("cosine", {"warmup_epochs": 0}, lambda o: CosineAnnealingLR(o, 200)),
        (
            "cosine",
            {"warmup_epochs": 20, "warmup_start_factor": 0.1},
            lambda o: SequentialLR(
                o, [LinearLR(o, 0.1, total_iters=20), CosineAnnealingLR(o, 180)], milestones=[20]
            ),
        ),
    ],
)
def test_rates_are_those_of_torch_but_for_its_rounding(name, options, theirs):
    optimizer = make_optimizer(0.1)
    reference, expected = theirs(optimizer), []
    for _ in range(200):
        expected.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        reference.step()
    rates = rates_over(name, 200, peaks=(0.1,), **options)
    assert rates == pytest.approx(expected, rel=1e-9)
    # Why torch's are not used: they derive each rate from the one before.
    assert rates != expected


def test_poly_stops_at_its_least_rate():
    rates = rates_over("poly", 4, power=1.0, min_lr_factor=0.4)
    assert rates == pytest.approx([1.0, 0.75, 0.5, 0.4])


def test_cosine_with_warmup_by_hand():
    options = {"warmup_epochs": 1.0, "warmup_start_factor": 0.1, "min_lr_factor": 0.0}
    rates = rates_over("cosine", 6, steps_per_epoch=2, **options)
    # Two steps from 0.1, then (1 + cos(pi * k / 4)) / 2 for k = 0..3.
    half = math.sqrt(0.5)
    assert rates == pytest.approx([0.1, 0.55, 1.0, (1 + half) / 2, 0.5, (1 - half) / 2])


def test_cosine_without_warmup_ends_near_its_least_rate():
    rates = rates_over("cosine", 4, 5, warmup_epochs=0, min_lr_factor=0.2)
    assert rates[0] == 1.0
    assert rates[2] == pytest.approx(0.6)
    assert rates[4] == pytest.approx(0.2)


def test_cosine_refuses_a_warmup_as_long_as_the_run():
    with pytest.raises(ConfigError, match="2 epochs are 6 steps, and the run has only 6"):
        rates_over("cosine", 6, steps_per_epoch=3, warmup_epochs=2)


def test_onecycle_by_hand():
    options = {"pct_start": 0.3, "div_factor": 10.0, "final_div_factor": 100.0}
    rates = rates_over("onecycle", 10, **options)
    # Rises over steps 0..2 (0.3 * 10 - 1), falls over steps 2..9, halves of cosines.
    assert rates[0] == pytest.approx(0.1)
    assert rates[1] == pytest.approx(0.55)
    assert rates[2] == pytest.approx(1.0)
    low = 0.001
    assert rates[3] == pytest.approx(low + (1 - low) * (1 + math.cos(math.pi / 7)) / 2)
    assert rates[9] == pytest.approx(low)


def test_onecycle_linear_by_hand():
    options = {"pct_start": 0.5, "div_factor": 4.0, "final_div_factor": 1.0, "anneal": "linear"}
    rates = rates_over("onecycle", 6, **options)
    assert rates == pytest.approx([0.25, 0.625, 1.0, 0.75, 0.5, 0.25])


@pytest.mark.parametrize("name", STEPWISE)
def test_groups_keep_their_ratio(name):
    options = {"warmup_epochs": 0.0} if name == "cosine" else {}
    for encoder, rest in rates_over(name, 12, peaks=(0.01, 0.1), **options):
        assert encoder == pytest.approx(0.1 * rest)


def test_onecycle_peaks_at_each_groups_own_rate():
    rates = rates_over("onecycle", 10, peaks=(0.01, 0.1))
    assert [max(column) for column in zip(*rates, strict=True)] == pytest.approx([0.01, 0.1])


@pytest.mark.parametrize("cycle", [True, False])
def test_onecycle_momentum(cycle):
    optimizer = make_optimizer(1.0)
    build_scheduler(optimizer, "onecycle", 10, 5, cycle_momentum=cycle)
    assert optimizer.param_groups[0]["momentum"] == pytest.approx(0.95 if cycle else 0.9)


def test_onecycle_cannot_cycle_a_momentum_that_is_not_there():
    optimizer = torch.optim.Rprop([torch.nn.Parameter(torch.zeros(1))])
    with pytest.raises(ConfigError, match="no momentum to cycle"):
        build_scheduler(optimizer, "onecycle", 10, 5, cycle_momentum=True)


def test_constant_stays():
    assert rates_over("constant", 5, peaks=(0.3,)) == [0.3] * 5


@settings(max_examples=60, deadline=None)
@given(
    name=st.sampled_from(STEPWISE),
    total=st.integers(1, 40),
    beyond=st.integers(0, 10),
    pct=st.floats(0.01, 0.99),
)
def test_rates_stay_finite_within_their_peak_and_still_beyond_the_end(name, total, beyond, pct):
    options = {"onecycle": {"pct_start": pct}, "cosine": {"warmup_epochs": 0}}.get(name, {})
    rates = rates_over(name, total, total + 1 + beyond, **options)
    assert all(math.isfinite(rate) and 0 <= rate <= 1 + 1e-9 for rate in rates)
    assert rates[total:] == pytest.approx([rates[total]] * (beyond + 1))
    if name == "onecycle":
        assert rates[total] == rates[total - 1]


@pytest.mark.parametrize("total_steps", [1, 2, 3, 10])
def test_onecycle_of_very_short_runs_starts_low(total_steps):
    rates = rates_over("onecycle", total_steps, pct_start=1 / max(total_steps, 2))
    if total_steps > 1:
        assert rates[0] == pytest.approx(1 / 25)
    assert all(math.isfinite(rate) for rate in rates)


@pytest.mark.parametrize("name", STEPWISE)
@pytest.mark.parametrize("stop", [0, 1, 7, 11])
def test_a_run_taken_up_again_has_the_same_rates(name, stop):
    options = {"cosine": {"warmup_epochs": 0.5}, "onecycle": {"cycle_momentum": True}}.get(name, {})

    def steps(optimizer, schedule, count):
        seen = []
        for _ in range(count):
            seen.append([(g["lr"], g["momentum"]) for g in optimizer.param_groups])
            optimizer.step()
            schedule.step()
        return seen

    optimizer = make_optimizer(0.1, 1.0)
    schedule = build_scheduler(optimizer, name, 12, 4, **options)
    steps(optimizer, schedule, stop)
    saved = (optimizer.state_dict(), schedule.state_dict())
    saved = copy.deepcopy(saved)
    straight = steps(optimizer, schedule, 12 - stop)

    other = make_optimizer(0.1, 1.0)
    again = build_scheduler(other, name, 12, 4, **options)
    other.load_state_dict(saved[0])
    again.load_state_dict(saved[1])
    assert steps(other, again, 12 - stop) == straight


def test_plateau_waits_for_its_patience():
    optimizer = make_optimizer(1.0)
    schedule = build_scheduler(optimizer, "plateau", 100, 10, mode="max", factor=0.1, patience=1)
    rates = []
    for score in (0.5, 0.6, 0.6, 0.6, 0.7, 0.7):
        schedule.step(score)
        rates.append(optimizer.param_groups[0]["lr"])
    assert rates == pytest.approx([1.0, 1.0, 1.0, 0.1, 0.1, 0.1])


def test_plateau_passes_over_validations_without_a_score():
    optimizer = make_optimizer(1.0)
    schedule = build_scheduler(optimizer, "plateau", 100, 10, mode="max", factor=0.1, patience=1)
    rates = []
    for score in (math.nan, 0.5, math.nan, math.nan, math.nan, 0.4, math.nan, 0.4):
        step_after_batch(schedule)
        step_after_validation(schedule, score)
        rates.append(optimizer.param_groups[0]["lr"])
    # Two validations without gain exceed a patience of one; those without a score are none.
    assert rates == pytest.approx([1.0] * 7 + [0.1])


def test_plateau_in_min_mode_with_a_least_rate_and_resume():
    optimizer = make_optimizer(1.0)
    options = {"mode": "min", "factor": 0.1, "patience": 0, "min_lr": 0.05}
    schedule = build_scheduler(optimizer, "plateau", 100, 10, **options)
    schedule.step(1.0)
    schedule.step(2.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0.1)
    other = make_optimizer(1.0)
    again = build_scheduler(other, "plateau", 100, 10, **options)
    other.load_state_dict(optimizer.state_dict())
    again.load_state_dict(schedule.state_dict())
    again.step(1.5)
    assert other.param_groups[0]["lr"] == 0.05


@pytest.mark.parametrize("name", STEPWISE)
def test_stepwise_schedules_need_no_monitor(name):
    options = {"warmup_epochs": 0} if name == "cosine" else {}
    optimizer = make_optimizer(1.0)
    schedule = build_scheduler(optimizer, name, 10, 5, **options)
    optimizer.step()
    step_after_validation(schedule, 0.5)
    assert schedule.last_epoch == 0
    step_after_batch(schedule)
    assert schedule.last_epoch == 1


def test_unknown_names_and_options_are_refused():
    with pytest.raises(ConfigError, match=r"'polly' \(did you mean 'poly'\?\); known are onecycle"):
        build_scheduler(make_optimizer(1.0), "polly", 10, 5)
    with pytest.raises(
        ConfigError, match=r"power: no such key, .* takes min_lr_factor, warmup_epochs"
    ):
        build_scheduler(make_optimizer(1.0), "cosine", 10, 5, power=0.9)
    with pytest.raises(ConfigError, match=r"power: no such key, .* 'scheduler' takes no keys"):
        build_scheduler(make_optimizer(1.0), "constant", 10, 5, power=0.9)


def test_all_mistakes_come_in_one_message():
    with pytest.raises(ConfigError) as caught:
        build_scheduler(make_optimizer(1.0), "poly", 0, 5, power=0, min_lr_factor=2, mode="max")
    text = str(caught.value)
    assert len(caught.value.problems) == 4
    assert "scheduler.power: expected a number (more than 0), got 0" in text
    assert "scheduler.min_lr_factor: expected a number (0 to 1), got 2" in text
    assert "scheduler.mode: no such key" in text
    assert "expected total_steps of at least 1, got 0" in text


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("onecycle", {"pct_start": 1.0}),
        ("onecycle", {"div_factor": 0.5}),
        ("onecycle", {"anneal": "cosine"}),
        ("cosine", {"warmup_epochs": -1}),
        ("plateau", {"mode": "best"}),
        ("plateau", {"factor": 1.0}),
        ("plateau", {"patience": -1}),
    ],
)
def test_values_out_of_range_are_refused_by_name(name, options):
    (key,) = options
    with pytest.raises(ConfigError, match=rf"scheduler\.{key}: expected"):
        build_scheduler(make_optimizer(1.0), name, 10, 5, **options)


@pytest.mark.parametrize("name", STEPWISE)
def test_a_longer_run_goes_on_with_its_own_schedule(name):
    options = {"warmup_epochs": 0.5} if name == "cosine" else {}
    short, optimizer = 10, make_optimizer(1.0, 0.1)
    schedule = build_scheduler(optimizer, name, short, 5, **options)
    for _ in range(short):
        optimizer.step()
        schedule.step()

    again = make_optimizer(1.0, 0.1)
    longer = build_scheduler(again, name, 40, 5, **options)
    again.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    longer.load_state_dict(schedule.state_dict())
    rates = []
    for _ in range(30):
        rates.append([group["lr"] for group in again.param_groups])
        again.step()
        longer.step()

    whole = rates_over(name, 40, steps_per_epoch=5, peaks=(1.0, 0.1), **options)
    assert rates == whole[short:]
