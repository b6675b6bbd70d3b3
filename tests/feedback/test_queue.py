"""Queues of a log and of a folder: who is a candidate, who is taken, and that a seed says it all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from seglab.core.errors import ConfigError, DataError, DataNotFoundError
from seglab.feedback.options import QueueOptions
from seglab.feedback.queue import work
from seglab.feedback.queue.build import make_queue
from seglab.feedback.queue.content import QUEUE_NAME, read_queue
from tests.curation.conftest import picture
from tests.feedback.conftest import SIZE, Queued


def test_a_log_becomes_a_queue_that_knows_requests_reasons_and_probabilities(
    queued: Queued,
) -> None:
    queue = queued(control=0.3)
    assert read_queue(queue.folder) == queue
    assert queue.population == 34
    assert queue.left_out == {
        "answered by another bundle": 1,
        "refused by the service": 1,
        "stored as thumbnails alone": 1,
        "without a stored image (serve with log.privacy=images)": 1,
    }
    control, hard = queue.of_part("control"), queue.of_part("hard")
    assert (len(control), len(hard)) == (3, 7)
    assert {one.probability for one in control} == {3 / 34}
    assert {one.probability for one in hard} == {None}
    for one in queue.items:
        assert one.id == f"{one.request_id}-0"
        assert one.name == f"{one.request_id}.jpg"
        assert one.time is not None
        assert one.time.startswith("2026-11-27T09:00:")
        assert (queue.folder / one.image).is_file()
        assert np.asarray(Image.open(queue.folder / one.mask)).shape == SIZE
    for one in hard:
        assert set(one.scores) == {"uncertainty", "drift", "disagreement"}
        assert any(one.reason.startswith(name) for name in one.scores)


def test_a_seed_says_it_all(queued: Queued) -> None:
    first, again = queued("one"), queued("two")
    assert (first.folder / QUEUE_NAME).read_bytes() == (again.folder / QUEUE_NAME).read_bytes()
    other = queued("three", seed=1, former=[str(first.folder)])
    known = {one.id for one in first.items}
    assert not known & {one.id for one in other.of_part("hard")}
    assert {one.id for one in other.of_part("control")} != {
        one.id for one in first.of_part("control")
    }


def test_frames_of_a_still_camera_are_far_from_the_reference_and_still_not_all_taken(
    queued: Queued,
) -> None:
    def still(queue_name: str, **given: float) -> int:
        weights = {"uncertainty": 0, "disagreement": 0, "drift": 1, **given}
        queue = queued(queue_name, control=0.1, **weights)
        return sum(one.stream == "cam3" for one in queue.of_part("hard"))

    assert still("alike", diversity=0) == 9
    assert still("capped", diversity=0, per_stream=2) == 2
    assert 1 <= still("apart", diversity=3) <= 3


def test_a_weight_alone_decides_and_images_that_vanish_meanwhile_are_left_out(
    queued: Queued, log: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {"uncertainty": 0.0, "drift": 0.0, "diversity": 0.0, "control": 0.03, "pool": 40}
    queue = queued(count=6, **weights)
    ranks = [one.scores["disagreement"] for one in queue.of_part("hard")]
    assert ranks == sorted(ranks, reverse=True)
    assert min(ranks) > 1 - 6 / 33
    assert {one.reason.split()[0] for one in queue.of_part("hard")} == {"disagreement"}
    gone = queue.of_part("hard")[0].id
    read = work.read_bytes

    def without(path: Path) -> bytes:
        if path.stem == gone:
            raise DataNotFoundError(f"{path}: no such file")
        return read(path)

    monkeypatch.setattr(work, "read_bytes", without)
    again = queued("again", count=34)
    assert len(again.items) == 33
    assert again.left_out["whose stored image is gone or damaged"] == 1


def test_what_nearly_is_in_the_holdout_is_refused_also_where_it_is_drawn_at_random(
    queued: Queued, manifest: Path
) -> None:
    queue = queued(count=34, control=0.5, holdout=str(manifest))
    (refused,) = queue.refused
    assert (refused["id"], refused["near"]) == ("r05-0", "seen")
    assert refused["similarity"] > 0.9
    assert "r05-0" not in {one.id for one in queue.items}
    drawn = len(queue.of_part("control")) + (refused["part"] == "control")
    assert drawn == queue.drawn == 17, "drawn again the others would come in too often"
    assert len(queue.items) == 33
    with pytest.raises(DataError, match=r"mine has no images in unlabeled; set holdout_splits"):
        queued("none", holdout=str(manifest), holdout_splits=["unlabeled"])


def test_a_folder_is_predicted_and_grouped_by_its_paths(
    tmp_path: Path, bundle: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(8):
        path = tmp_path / "photos" / f"drive{number % 2}" / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture(number, SIZE)).save(path)
    (tmp_path / "photos" / "broken.png").write_bytes(b"nothing")
    given = {"images": str(tmp_path / "photos"), "bundle": str(bundle), "count": 4}
    options = QueueOptions(output=str(tmp_path / "q"), group_pattern="(drive[0-9])", **given)
    told: list[str] = []
    queue = make_queue(options, told.append)
    assert queue.left_out == {"that cannot be read": 1}
    assert any("broken.png" in line for line in told)
    assert {one.stream for one in queue.items} == {"drive0", "drive1"}
    assert {one.request_id for one in queue.items} == {None}
    assert all(one.id.startswith("drive") and "__" in one.id for one in queue.items)
    with pytest.raises(DataError, match=r"q is there already; give a new folder"):
        make_queue(options, told.append)


def test_a_bundle_that_is_none_and_times_without_rows_are_said(
    queued: Queued, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=r"bundle: .* expected a bundle"):
        queued(bundle=str(tmp_path))
    with pytest.raises(DataError, match="no image that can be labelled: nothing is there"):
        queued(start="2026-11-28")
    with pytest.raises(ConfigError) as told:
        QueueOptions(bundle="b", start="9 o'clock", control=0.0)
    assert "expected a time such as 2026-11-27" in str(told.value)
    with pytest.raises(ConfigError) as told:
        QueueOptions(
            bundle="b", images="x", start="2026-11-27", uncertainty=0.0, disagreement=0.0, drift=0.0
        )
    assert "start, end: go with log=FOLDER" in str(told.value)
    assert "all weights are 0" in str(told.value)
