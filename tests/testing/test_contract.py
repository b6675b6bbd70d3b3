"""What all contracts share: who is supplied with what, and what a failure says."""

from __future__ import annotations

from typing import Any

import pytest

from seglab.testing import Contract


class Even(Contract):
    limit = 10

    def test_is_even(self) -> None:
        value = self.build_with(number=4, unused=1)
        assert value % 2 == 0, f"expected an even number, got {value}"

    def test_is_small(self) -> None:
        assert self.build_with(number=4) < self.limit, f"expected less than {self.limit}"

    def test_takes_names(self) -> None:
        self.skip_unless_taken("name")
        raise AssertionError("expected no name")


def test_build_gets_what_it_names() -> None:
    Even.check(lambda number: number)
    Even.check(lambda: 2)
    with pytest.raises(AssertionError, match="expected no name"):
        Even.check(lambda **supplied: supplied["number"])


def test_all_failures_come_at_once_and_attributes_change_the_contract() -> None:
    with pytest.raises(AssertionError) as caught:
        Even.check(lambda: 11)
    text = str(caught.value)
    assert text.startswith(
        "2 of 3 checks failed:\n- test_is_even: AssertionError: expected an even"
    )
    assert "got 11" in text
    assert "- test_is_small: AssertionError: expected less than 10" in text
    Even.check(lambda: 12, limit=13)


def test_an_error_of_the_part_is_a_failure() -> None:
    def broken() -> Any:
        raise ZeroDivisionError("by hand")

    with pytest.raises(AssertionError, match="- test_is_even: ZeroDivisionError: by hand"):
        Even.check(broken)


def test_missing_build_is_told_with_an_example() -> None:
    with pytest.raises(NotImplementedError, match=r"Contract.build: expected .*such as `def build"):
        Contract().build()
