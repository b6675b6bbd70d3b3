"""What the contracts share: how a part is built, and failures that say what was expected."""

from __future__ import annotations

import inspect
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn
from unittest import SkipTest

import torch


class Contract:
    """Base of all contracts: `test_*` methods over what `build` returns.

    A method that a part cannot keep is overridden with the reason, or set to None.
    """

    def build(self, **supplied: Any) -> Any:
        """Return the part under test; subclasses implement it.

        Args:
            **supplied: What seglab gives a part of this kind. An override names those it wants, or
                takes all as `**supplied`.
        """
        raise NotImplementedError(
            f"{type(self).__name__}.build: expected it to return the part under test, such as "
            "`def build(self, **supplied): return MyPart(**supplied)`"
        )

    def takes(self, name: str) -> bool:
        """Whether `build` takes an argument that seglab supplies."""
        parameters = inspect.signature(self.build).parameters
        return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())

    def build_with(self, **supplied: Any) -> Any:
        """Call `build` with those of the arguments that it takes."""
        return self.build(**{name: value for name, value in supplied.items() if self.takes(name)})

    def skip_unless_taken(self, name: str) -> None:
        """Skip the running test where `build` does not take the argument."""
        if not self.takes(name):
            raise SkipTest(f"{type(self).__name__}.build takes no {name}")

    def teardown_method(self) -> None:
        """Clean up after a test; pytest calls it, too."""

    @classmethod
    def check(cls, build: Callable[..., Any], **attributes: Any) -> None:
        """Run all tests of the contract, without pytest.

        Args:
            build: Makes the part from what is supplied, such as its class.
            **attributes: Attributes of the contract that differ, such as `minimum`.

        Raises:
            AssertionError: With every test that failed and why.
        """
        suite = type("Checked", (cls,), {**attributes, "build": staticmethod(build)})
        names = [name for name in dir(suite) if name.startswith("test_")]
        failures = [text for name in names if (text := _failure(suite(), name))]
        if failures:
            raise AssertionError(
                f"{len(failures)} of {len(names)} checks failed:\n" + "\n".join(failures)
            )


def _failure(suite: Contract, name: str) -> str | None:
    test = getattr(suite, name)
    try:
        if callable(test):
            test()
    except SkipTest:
        return None
    except Exception as error:  # noqa: BLE001 - whatever the part raises is what is to be told
        return f"- {name}: {''.join(traceback.format_exception_only(error)).strip()}"
    finally:
        suite.teardown_method()
    return None


def assert_close(got: torch.Tensor, expected: torch.Tensor, what: str) -> None:
    """Fail, saying what was compared, unless two tensors are close (NaN equals NaN)."""

    def message(text: str) -> str:
        return f"{what}: expected {_short(expected)}, got {_short(got)}. {text}"

    torch.testing.assert_close(got, expected, msg=message, equal_nan=True)


def _short(tensor: torch.Tensor) -> str:
    return f"{tensor.item():g}" if tensor.ndim == 0 else f"a tensor {tuple(tensor.shape)}"


def fail(text: str) -> NoReturn:
    """Fail with a text."""
    raise AssertionError(text)


@contextmanager
def expect_error(kind: type[Exception], words: str = "") -> Iterator[None]:
    """Fail unless the block raises such an error whose message has the words in it."""
    try:
        yield
    except kind as error:
        if words not in str(error):
            fail(f"expected a {kind.__name__} that says '{words}', got: {error}")
    except Exception as error:
        text = f"expected {kind.__name__}, got {type(error).__name__}: {error}"
        raise AssertionError(text) from error
    else:
        fail(f"expected {kind.__name__} ('{words}'), got no error")
