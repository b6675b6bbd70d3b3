"""What a component may be told: its options, each declared once, checked wherever they are given.

A component (model, loss, importer, ...) has one subclass of `Options`, in a module that imports no
torch. Its fields are the options: name, type, default, range, a sentence each. The configuration is
held against it (`seglab.config.check`), and so is what a notebook passes to the component itself.
"""

from __future__ import annotations

import inspect
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from annotated_types import Ge, Gt, Interval
from pydantic import BaseModel, ConfigDict, Field, GetCoreSchemaHandler, ValidationError
from pydantic._internal._model_construction import ModelMetaclass
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from seglab.core.errors import ConfigError

BROKEN_RULE = "broken rule"


class _ErrorsInOurWords(ModelMetaclass):
    """Lets `SomeOptions(...)` raise our error; an `__init__` would be called by pydantic's checks too."""

    def __call__(cls: type[Options], *args: Any, **given: Any) -> Any:  # type: ignore[misc]  # noqa: N805
        try:
            return super().__call__(*args, **given)  # type: ignore[misc]
        except ValidationError:
            raise _as_config_error(cls, given, "") from None


class Options(BaseModel, metaclass=_ErrorsInOurWords):
    """Base of all declarations: no key beside the fields, no conversion of types, no change later.

    A string below a field is what help says about it.

    Raises:
        ConfigError: What is given is not what the fields say; all mistakes together.
    """

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, defer_build=True, protected_namespaces=()
    )

    @classmethod
    def read(cls, content: Any, path: str = "") -> Self:
        """Read plain dicts, lists and scalars, for example of a YAML file.

        Args:
            content: Fields left out keep their default.
            path: Where it stands, for messages.

        Raises:
            ConfigError: With every mistake and its full key.
        """
        try:
            return cls.model_validate(content)
        except ValidationError:
            raise _as_config_error(cls, content, path) from None

    def plain(self) -> dict[str, Any]:
        """Return plain dicts, lists and scalars; `read` turns them back into an equal object."""
        return self.model_dump(mode="json")

    def replace(self, **changes: Any) -> Self:
        """Return a copy with some fields changed, and checked.

        Raises:
            ConfigError: As the constructor does.
        """
        return type(self)(**{**dict(self), **changes})


def signature_of(options: type[Options], call: Callable[..., Any]) -> inspect.Signature:
    """Return the signature of a callable whose `**options` are declared: each by its name."""
    own = inspect.signature(call).parameters.values()
    named = [one for one in own if one.name != "self" and one.kind is not one.VAR_KEYWORD]
    declared = [
        inspect.Parameter(
            name, inspect.Parameter.KEYWORD_ONLY, annotation=field.annotation,
            default=inspect.Parameter.empty if field.is_required() else field.default,
        )
        for name, field in options.model_fields.items()
    ]  # fmt: skip
    return inspect.Signature([*named, *declared])


def broken_rule(text: str) -> PydanticCustomError:
    """Return what a validator raises where values do not go together."""
    return PydanticCustomError(BROKEN_RULE, "{text}", {"text": text})


def _as_config_error(schema: type[Options], content: Any, path: str) -> ConfigError:
    from seglab.core.option_problems import keys_of, problems_of, suggest

    found = problems_of(schema, content, path)
    lines = [str(suggest(one, keys_of(schema, path))) for one in found]
    if not path:
        lines = [f"{schema.__name__}.{line}".replace(".: ", ": ") for line in lines]
    return ConfigError(lines)


@dataclass(frozen=True)
class _Checked:
    """A rule for values beside their type; subclasses say whether one holds, and what is expected."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any) -> Any:
        if not self.holds(value):
            raise PydanticCustomError(type(self).__name__, "expected {rule}", {"rule": str(self)})
        return value

    def holds(self, value: Any) -> bool:
        """Whether a value of the right type keeps the rule."""
        raise NotImplementedError


@dataclass(frozen=True)
class Span(_Checked):
    """A pair [low, high] inside limits, in this order."""

    low: float
    high: float

    def holds(self, value: Sequence[float]) -> bool:
        """Whether both ends lie in the limits and do not cross."""
        return self.low <= value[0] <= value[1] <= self.high

    def __str__(self) -> str:
        """Return the rule in words."""
        return f"{self.low:g} <= low <= high <= {self.high:g}"


@dataclass(frozen=True)
class OnDisk(_Checked):
    """A path that must exist before anything is built."""

    kind: Literal["file", "folder", "file or folder"]

    def holds(self, value: str) -> bool:
        """Whether there is such a thing at this path."""
        path = Path(value).expanduser()
        return {"file": path.is_file, "folder": path.is_dir}.get(self.kind, path.exists)()


@dataclass(frozen=True)
class AsTyped(_Checked):
    """Text that is what was typed, also where YAML or the grammar reads `no` or `1e3` otherwise.

    It is in Unicode's composed form (NFC).
    """

    def holds(self, value: str) -> bool:
        """Whether the text is in its composed form."""
        return unicodedata.is_normalized("NFC", value)


@dataclass(frozen=True)
class Words:
    """What to call a type in messages, where its own name says too little."""

    text: str


@dataclass(frozen=True)
class Targets:
    """A node whose `_target_` decides its fields: one of the targets registered for `group`."""

    group: str


@dataclass(frozen=True)
class ChosenBy:
    """A node whose fields depend on the value of the key `sibling`: beside it, or `inside` it.

    `other` holds for any other value of that key; without it the node is then not looked into.
    """

    sibling: str
    choices: dict[str, type[Options]] = field(hash=False)
    inside: bool = False
    other: type[Options] | None = None


Name = Annotated[str, AsTyped()]
Positive = Annotated[int, Ge(1)]
NotNegative = Annotated[int, Ge(0)]
PositiveFloat = Annotated[float, Gt(0)]
NotNegativeFloat = Annotated[float, Ge(0)]
Fraction = Annotated[float, Interval(ge=0, le=1)]
ProperFraction = Annotated[float, Interval(ge=0, lt=1)]
OpenFraction = Annotated[float, Interval(gt=0, lt=1)]
FromList = Field(strict=False)  # of a tuple: YAML has lists only
Size = Annotated[
    tuple[Positive, Positive], FromList, Words("[height, width], two whole numbers (1 or more)")
]
Pair = Annotated[tuple[float, float], FromList]
