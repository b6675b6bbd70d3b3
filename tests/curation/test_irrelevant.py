from __future__ import annotations

import numpy as np
import pytest

from seglab.curation.alike.apart import groups_apart, irrelevant
from seglab.curation.alike.outliers import outlier_scores
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


def test_a_group_of_another_kind_is_found_whole_and_groups_of_one_kind_are_none() -> None:
    rng = np.random.default_rng(2)
    # As data sets are: a dozen scenes, each a little apart.
    scenes = rng.normal(0, 0.5, (12, 200))[rng.integers(0, 12, 240)]
    bulk = scenes + rng.normal(0, 1, (240, 200))
    assert groups_apart(bulk) == []
    for share in (0.05, 0.1, 0.2):
        odd = rng.normal(0, 1, (round(share / (1 - share) * 240), 200)) + rng.normal(0, 1.5, 200)
        order = rng.permutation(240 + len(odd))
        scores, groups = irrelevant(np.concatenate([bulk, odd])[order])
        assert [sorted(order[members]) for members, _ in groups] == [[*range(240, 240 + len(odd))]]
        scores = scores[np.argsort(order)]
        assert (scores[240:, None] > scores[:240]).mean() > 0.99
    two = np.concatenate([odd[:20], odd[:20] * 0.5 - 9])
    found = groups_apart(np.concatenate([bulk, two]))
    assert sorted(len(members) for members, _ in found) == [20, 20]
    assert groups_apart(np.concatenate([bulk[:150], odd])) == [], (
        "what is more than a quarter is a part"
    )


def test_of_very_many_vectors_those_outside_the_tree_follow_it() -> None:
    rng = np.random.default_rng(3)
    odd = rng.normal(0, 1, (400, 64)) + 1.5
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("seglab.curation.alike.apart._MOST_IN_TREE", 300)
        ((members, _),) = groups_apart(np.concatenate([rng.normal(0, 1, (2000, 64)), odd]))
    assert members.tolist() == [*range(2000, 2400)]


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
