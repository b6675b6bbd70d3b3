"""Help of keys comes from the declarations: type, range, default and sentence of each."""

from __future__ import annotations

import pytest

from seglab.config.declared.key_help import key_help, keys_below, sentences, values_of
from seglab.config.declared.schema import SCHEMA_OF
from seglab.core.errors import ConfigError


def test_key_has_type_default_and_sentence() -> None:
    text = key_help("train", "trainer.max_epochs")
    assert text.splitlines() == [
        "  trainer.max_epochs: a whole number (1 or more); 20",
        "      Passes over the training data.",
    ]


def test_key_of_some_choices_is_told_with_each() -> None:
    text = key_help("train", "cv.gap")
    assert [line for line in text.splitlines() if line.startswith("cv.")] == [
        "cv.scheme=block",
        "cv.scheme=nested",
    ]


def test_group_tells_the_keys_of_all_its_components() -> None:
    text = key_help("train", "loss")
    assert "loss.terms.*._target_=seglab.losses.FocalLoss" in text
    assert "loss.terms.*.gamma: a number (0 or more); 2.0" in text


def test_unknown_key_gets_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"no such key 'trainer.max_epoch' \(did you mean"):
        key_help("train", "trainer.max_epoch")


def test_listed_values() -> None:
    assert values_of("train", "monitor.mode") == ["min", "max"]
    assert values_of("train", "trainer.compile") == ["true", "false", "auto"]
    assert values_of("train", "trainer.max_epochs") == []
    assert "camvid" in values_of("train", "data.importer")


@pytest.mark.parametrize("app", SCHEMA_OF)
def test_every_key_has_its_sentence(app: str) -> None:
    silent = [
        key.name
        for key in keys_below(SCHEMA_OF[app])
        if not sentences(key.owner).get(key.name.rpartition(".")[2])
        and key.name != "scheduler.name"  # the key that chooses the others
    ]
    assert silent == []
