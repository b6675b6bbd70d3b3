"""Options are declared once: what a declaration refuses, in which words, and where it is read."""

from __future__ import annotations

import ast
import importlib
import inspect
import pickle
import subprocess
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seglab.core.errors import ConfigError
from seglab.core.options import (
    Fraction,
    Name,
    OneOf,
    Options,
    Pair,
    Positive,
    PositiveFloat,
    Size,
    Span,
    takes,
)
from seglab.core.parts.components import components

PACKAGE = Path(__file__).resolve().parents[2] / "seglab"
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    for path in PACKAGE.rglob("options.py")
    if path.parent.name != "core"
)
GROUPS = ("model", "loss", "loss_term", "optimizer", "schedule")


class Inner(Options):
    """Options inside others."""

    share: Fraction = 0.5
    size: Size = (32, 48)


class Outer(Options):
    """One of each kind."""

    name: Name = "a"
    rate: PositiveFloat = 1.0
    count: Positive | Literal["auto"] | None = None
    kind: Annotated[str, OneOf(("unet", "segnet"))] = "unet"
    band: Annotated[Pair, Span(0, 10)] = (1.0, 2.0)
    inner: Inner = Inner()
    either: Inner | list[Positive] = Inner()
    free: dict[str, Any] | None = None


@pytest.mark.parametrize(
    ("content", "problems"),
    [
        ({"rate": 0}, ["x.rate: expected a number (more than 0), got 0"]),
        ({"rate": float("inf")}, ["x.rate: expected a number (more than 0), got inf"]),
        ({"rate": "1"}, ["x.rate: expected a number (more than 0), got '1'"]),
        ({"rate": True}, ["x.rate: expected a number (more than 0), got true"]),
        ({"count": 0}, ["x.count: expected a whole number (1 or more), 'auto' or null, got 0"]),
        (
            {"count": "autp"},
            [
                "x.count: expected a whole number (1 or more), 'auto' or null, got 'autp' "
                "(did you mean 'auto'?)"
            ],
        ),
        (
            {"kind": "unet2"},
            ["x.kind: expected one of unet, segnet, got 'unet2' (did you mean 'unet'?)"],
        ),
        (
            {"band": [3, 2]},
            ["x.band: expected [low, high] with 0 <= low <= high <= 10, got [3, 2]"],
        ),
        ({"inner": 3}, ["x.inner: expected a group of keys, got 3"]),
        (
            {"inner": {"size": [32]}},
            ["x.inner.size: expected [height, width], two whole numbers (1 or more), got [32]"],
        ),
        (
            {"inner": {"shar": 1}},
            [
                "x.inner.shar: no such key (did you mean 'x.inner.share'?), got 1; 'x.inner' takes "
                "share, size"
            ],
        ),
        # The alternative that took the value's form knows better than both together.
        ({"either": [1, 0]}, ["x.either[1]: expected a whole number (1 or more), got 0"]),
        ({"either": {"share": 2}}, ["x.either.share: expected a number (0 to 1), got 2"]),
        (
            {"rate": -1, "nam": "b", "inner": {"share": 2}},
            [
                "x.rate: expected a number (more than 0), got -1",
                "x.inner.share: expected a number (0 to 1), got 2",
                "x.nam: no such key (did you mean 'x.name'?), got 'b'; 'x' takes band, count, either, "
                "free, inner, kind, name, rate",
            ],
        ),
    ],
)
def test_each_mistake_is_one_line(content: dict[str, Any], problems: list[str]) -> None:
    assert Outer.problems(content, "x") == problems
    with pytest.raises(ConfigError) as caught:
        Outer.read(content, "x")
    assert caught.value.problems == problems


def test_constructor_names_its_class_and_converts_nothing() -> None:
    with pytest.raises(
        ConfigError, match=r"Outer\.rate: expected a number \(more than 0\), got -1"
    ):
        Outer(rate=-1)
    with pytest.raises(ConfigError, match=r"Outer\.rat: no such key \(did you mean 'Outer\.rate'"):
        Outer(rat=1)  # type: ignore[call-arg]
    assert Outer(rate=2).rate == 2.0
    assert Outer(band=[1, 3]).band == (1.0, 3.0)  # type: ignore[arg-type]


@given(
    rate=st.floats(1e-9, 1e9),
    count=st.one_of(st.none(), st.just("auto"), st.integers(1, 99)),
    share=st.floats(0, 1),
    size=st.tuples(st.integers(1, 99), st.integers(1, 99)),
)
def test_plain_content_reads_back_to_an_equal_object(
    rate: float, count: Any, share: float, size: tuple[int, int]
) -> None:
    options = Outer(rate=rate, count=count, inner=Inner(share=share, size=size))
    assert Outer.read(options.to_dict()) == options
    assert pickle.loads(pickle.dumps(options)) == options  # noqa: S301 - our own
    assert options.replace(rate=3.0).rate == 3.0
    assert options.replace(rate=3.0).inner == options.inner


def test_a_function_takes_declared_options_by_name() -> None:
    @takes(Inner, "place")
    def build(number: int, *, flag: bool = False, chosen: Inner) -> tuple[int, bool, Inner]:
        return number, flag, chosen

    assert build(3, share=0.25) == (3, False, Inner(share=0.25))
    assert build(3, 0.25, flag=True) == (3, True, Inner(share=0.25))
    for args in ((3, 0.25, (1, 1), 7), (3, 0.25)):
        with pytest.raises(TypeError, match="given twice, or more than there are"):
            build(*args, share=0.5)
    assert list(inspect.signature(build).parameters) == ["number", "flag", "share", "size"]
    with pytest.raises(ConfigError, match=r"place\.share: expected a number \(0 to 1\), got 7"):
        build(3, share=7)


@pytest.mark.parametrize("group", GROUPS)
def test_components_are_where_they_are_said_to_be(group: str) -> None:
    for module in MODULES:
        importlib.import_module(module)
    assert components(group)
    for target in components(group):
        if "." in target:
            package, _, name = target.rpartition(".")
            assert callable(getattr(importlib.import_module(package), name))


@pytest.mark.parametrize("module", MODULES)
def test_each_option_has_its_sentence_below(module: str) -> None:
    path = PACKAGE.parent / (module.replace(".", "/") + ".py")
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if not isinstance(node, ast.ClassDef):
            continue
        assert ast.get_docstring(node), node.name
        for field, below in zip(node.body, [*node.body[1:], None], strict=True):
            if isinstance(field, ast.AnnAssign) and "ClassVar" not in ast.unparse(field):
                said = isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
                assert said, f"{module}.{node.name}.{ast.unparse(field.target)} says nothing"


def test_declarations_are_read_without_torch() -> None:
    heavy = "('torch', 'timm', 'cv2')"
    code = f"import sys, {', '.join(MODULES)}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
