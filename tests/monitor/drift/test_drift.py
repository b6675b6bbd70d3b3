"""The watch for drift: distances held against others' code, run lengths against streams of known likeness."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist
from scipy.stats import wasserstein_distance

from seglab.core.errors import ConfigError, ShapeError
from seglab.monitor.drift.calibration import alarm_places
from seglab.monitor.drift.detector import DriftDetector
from seglab.monitor.drift.distances import MULTIVARIATE, Distances, Tally, watched_values
from seglab.monitor.drift.limits import run_length_told
from seglab.monitor.drift.options import DriftOptions
from seglab.monitor.samples import Sample
from tests.monitor.samples import video


def apart(distances: Distances, window: Sample, reference: Sample) -> dict[str, float]:
    """Return the distances of two samples by name."""
    first, second = (
        Tally(*(one[0] for one in distances.tally(distances.encode(each), len(each.times))))
        for each in (window, reference)
    )
    return dict(zip(distances.names, distances.between(first, second).tolist(), strict=True))


@pytest.mark.parametrize("shift", [0.0, 1.0, 3.0])
def test_single_distances_are_scipys(shift: float) -> None:
    reference, window = video(800, 0), video(200, 1, shift=shift)
    distances = Distances.fit(reference)
    found = apart(distances, window, reference)
    names, known = watched_values(reference)
    _, new = watched_values(window)
    for place, name in enumerate(names):
        expected = wasserstein_distance(new[:, place], known[:, place])
        scale = max(known[:, place].std(), 0.01 * known[:, place].mean())
        assert found[name] == pytest.approx(expected / scale, rel=0.12, abs=0.03), name


def test_kernel_distance_is_that_of_all_pairs() -> None:
    reference, window = video(400, 0), video(200, 1, shift=1.5)
    distances = Distances.fit(reference)
    known, new = distances.coordinates(reference), distances.coordinates(window)
    between = cdist(known, known)
    width = np.median(between[between > 0])

    def kernel(first: np.ndarray, second: np.ndarray) -> float:
        return float(np.exp(-(cdist(first, second) ** 2) / (2 * width**2)).mean())

    expected = np.sqrt(kernel(known, known) + kernel(new, new) - 2 * kernel(known, new))
    assert apart(distances, window, reference)[MULTIVARIATE] == pytest.approx(expected, rel=0.15)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 500), st.integers(2, 60))
def test_distances_are_distances(seed: int, count: int) -> None:
    """Zero to itself, whatever the order; never negative; as far there as back."""
    reference, window = video(60, seed), video(count, seed + 1, shift=0.5)
    distances = Distances.fit(reference)
    assert max(apart(distances, reference, reference.take(slice(None, None, -1))).values()) < 1e-6
    there, back = apart(distances, window, reference), apart(distances, reference, window)
    assert min(there.values()) >= 0
    assert list(there.values()) == pytest.approx(list(back.values()))


def test_alarm_begins_anew_with_fresh_images() -> None:
    scores = np.array([0.0, 2.0, 3.0, 2.0, 2.0, 0.0, 2.0, 2.0])
    assert alarm_places(scores, 1.0, fresh=3) == [1, 4, 7]
    assert alarm_places(scores, 2.5, fresh=3) == [2]
    assert alarm_places(scores, 3.0, fresh=3) == []


@pytest.fixture(scope="module")
def detector() -> DriftDetector:
    options = DriftOptions(window=40, step=10, run_length=300, simulated_windows=8_000)
    return DriftDetector.fit(video(1_500, 0), options)


def test_window_and_watch_say_the_same(detector: DriftDetector) -> None:
    stream = video(200, 5)
    found = detector.watch(stream)
    assert found.ends.tolist() == list(range(39, 200, 10))
    assert found.times.tolist() == found.ends.tolist()
    for place in (0, 7, 16):
        verdict = detector.test(stream.take(slice(None, int(found.ends[place]) + 1)))
        assert list(verdict.scores.values()) == pytest.approx(found.scores[place].tolist())
        assert verdict.drifted == found.drifted[place]


def test_change_is_found_and_named(detector: DriftDetector) -> None:
    quiet, changed = detector.test(video(40, 8)), detector.test(video(40, 8, shift=3.0))
    assert (quiet.drifted, quiet.which, changed.drifted) == (False, (), True)
    assert changed.statistic > changed.threshold
    assert changed.which[0].startswith("channel_mean")
    assert changed.p_values[changed.which[0]] < 0.001 < quiet.p_values[changed.which[0]]
    assert detector.watch(video(30, 8)).alarms == [], "no window yet"


def test_a_reference_that_is_too_small_says_so(detector: DriftDetector) -> None:
    assert detector.notes == ()
    small = DriftDetector.fit(video(60, 0), DriftOptions(simulated_windows=2_000))
    assert (small.window, small.watched.step) == (15, 3)
    assert "too small to tell chance from change" in small.notes[0]
    assert "10,000 were asked: the threshold is extrapolated" in small.notes[1]
    with pytest.raises(ConfigError, match="window: expected at most half of the reference's 60"):
        DriftDetector.fit(video(60, 0), DriftOptions(window=50))
    with pytest.raises(ConfigError, match="run_length: expected more images than the window has"):
        DriftDetector.fit(video(60, 0), DriftOptions(window=20, run_length=20))


def test_the_threshold_of_a_small_reference_can_be_reached() -> None:
    """Of few windows a single one is left to measure another by, and some are alike by chance."""
    for seed in range(6):
        small = DriftDetector.fit(video(120, seed), DriftOptions(simulated_windows=2_000))
        assert small.test(video(40, 50 + seed, shift=8.0)).drifted, seed


def test_a_stream_denser_than_the_reference_is_told(detector: DriftDetector) -> None:
    assert detector.notes_on(video(400, 3)) == []
    assert detector.notes_on(video(400, 3, shift=3.0)) == [], (
        "a change of all images is none of this"
    )
    (note,) = detector.notes_on(video(400, 3, likeness=0.98))
    assert "they follow each other faster" in note
    photos = video(300, 0)._replace(streams=np.array([f"p{place}" for place in range(300)]))
    found = DriftDetector.fit(
        photos, DriftOptions(window=20, run_length=300, simulated_windows=500)
    )
    assert found.notes_on(video(100, 1, likeness=0.99)) == [], (
        "photos have no neighbours to compare"
    )


def test_reference_of_photos_tells_of_long_runs_one_of_a_film_does_not() -> None:
    assert run_length_told(500, 1, 50) > 1e9
    assert run_length_told(500, 100, 50) == pytest.approx(100)


def test_statistics_of_another_bundle_are_refused(detector: DriftDetector) -> None:
    other = video(50, 0)
    wider = other._replace(features=np.ones((50, 9)))
    with pytest.raises(ShapeError, match="expected 8 features, as in the reference, got 9"):
        detector.test(wider)
    del other.statistics["sharpness"]
    with pytest.raises(ShapeError, match="of different bundles"):
        detector.test(other)


def test_reference_without_features_is_watched_by_its_statistics() -> None:
    reference = video(300, 0)._replace(features=None)
    options = DriftOptions(window=20, run_length=300, simulated_windows=1_000)
    found = DriftDetector.fit(reference, options)
    assert found.test(video(20, 1, shift=4.0)).drifted


@pytest.mark.slow
def test_run_length_is_what_was_asked() -> None:
    """On streams whose neighbours are alike; a test for independent images alarms many times as often."""
    asked, length, alarms, seen = 600, 12_000, 0, 0
    for seed in range(8):
        options = DriftOptions(window=40, step=10, run_length=asked, simulated_windows=10_000)
        found = DriftDetector.fit(video(3_000, seed), options)
        assert found.notes == ()
        alarms += len(found.watch(video(length, 100 + seed)).alarms)
        seen += length
    assert seen / alarms == pytest.approx(asked, rel=0.2)
