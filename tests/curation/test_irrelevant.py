from __future__ import annotations

import numpy as np
import pytest

from seglab.curation.alike.outliers import outlier_cut, outlier_scores
from seglab.curation.audit import audit
from seglab.curation.registry import AuditInputs
from tests.curation.conftest import Make, picture


def test_many_outliers_that_are_alike_do_not_vouch_for_each_other() -> None:
    rng = np.random.default_rng(0)
    bulk = rng.normal(0, 1, (200, 48))
    odd = rng.normal(0, 1, (40, 48)) * 0.3 + rng.normal(0, 1.5, 48)
    scores = outlier_scores(np.concatenate([bulk, odd]))
    assert (scores[200:, None] > scores[:200]).mean() > 0.99
    with pytest.raises(ValueError, match="at least 20 vectors, got 5"):
        outlier_scores(bulk[:5])


def test_the_cut_is_in_the_gap_that_parts_many_outliers_from_the_bulk() -> None:
    rng = np.random.default_rng(2)
    bulk = rng.normal(0, 1, (200, 48))
    for share in (0.02, 0.1, 0.2):
        odd = rng.normal(0, 1, (round(share / (1 - share) * 200), 48))
        odd += rng.normal(0, 1.5, 48)
        scores = outlier_scores(np.concatenate([bulk, odd]))
        found = scores >= outlier_cut(scores, 3.0)
        assert found[200:].mean() > 0.9
        assert found[:200].mean() <= 0.02
    even = np.linspace(-2, 2.4, 200)
    assert outlier_cut(even, 3.0) == 3.0, "no gap: only what exceeds the limit"
    assert outlier_cut(np.append(even, 2.6), 3.0) == 2.6
    assert outlier_cut(np.append(even, 2.6), 6.0) == 6.0, "who raises the limit raises both ends"


def test_an_image_unlike_the_others_is_named_and_without_an_encoder_the_kind_is_left_out(
    make: Make,
) -> None:
    images = {f"s{place}": picture(place, (24, 32)) for place in range(24)}
    images["noise"] = np.random.default_rng(1).integers(0, 256, (24, 32, 3), dtype=np.uint8)
    manifest = make(images)

    def embed(image: np.ndarray) -> np.ndarray:
        steps = np.abs(np.diff(image.astype(np.float32), axis=1))
        return np.concatenate([steps.mean((0, 1)), steps.std((0, 1)), image.mean((0, 1))])

    found = audit(AuditInputs(manifest, embed=embed), ["irrelevant"])
    assert found.table["sample_id"].iloc[0] == "noise"
    assert found.table["region"].iloc[0] is None
    without = audit(AuditInputs(manifest), ["irrelevant"])
    assert "--weights" in without.left_out["irrelevant"]
    few = manifest.with_table(manifest.table.iloc[:10])
    few_words = audit(AuditInputs(few, embed=embed), ["irrelevant"]).left_out["irrelevant"]
    assert few_words == "fewer than 20 images do not show what is usual"
