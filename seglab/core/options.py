"""What a component may be told: its options, each declared once, checked wherever they are given.

A component (model, loss, importer, ...) has one subclass of `Options`, in a module that imports no
torch. Its fields are the options: name, type, default, range, a sentence each. The configuration is
held against it (`seglab.config.declared.check`), and so is what a notebook passes to the component itself.
"""

from __future__ import annotations

import functools
import inspect
import unicodedata
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from annotated_types import Ge, Gt, Interval
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    ValidationError,
    ValidationInfo,
)
from pydantic._internal._model_construction import ModelMetaclass
from pydantic_core import CoreSchema, PydanticCustomError, core_schema

from seglab.core.errors import ConfigError

BROKEN_RULE = "broken rule"
# Names are brought into their composed form, where they are not read from what a user typed.
COMPOSE = "compose"
_Result = TypeVar("_Result")


class _ErrorsInOurWords(ModelMetaclass):
    """Lets `SomeOptions(...)` raise our error; an `__init__` would be called by pydantic's checks too."""

    def __call__(cls: type[Options], *args: Any, **given: Any) -> Any:  # type: ignore[misc]  # noqa: N805
        try:
            return super().__call__(*args, **given)  # type: ignore[misc]
        except ValidationError:
            raise ConfigError(cls.problems(given, cls.__name__)) from None


class Options(BaseModel, metaclass=_ErrorsInOurWords):
    """Base of all declarations: no key beside the fields, no conversion of types, no change later.

    A string below a field is what help says about it.

    Raises:
        ConfigError: What is given is not what the fields say; all mistakes together.
    """

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        allow_inf_nan=False,
        defer_build=True,
        protected_namespaces=(),
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
            return cls.model_validate(_as_plain(content), context=COMPOSE)
        except ValidationError:
            raise ConfigError(cls.problems(content, path)) from None

    @classmethod
    def problems(cls, content: Any, path: str = "") -> list[str]:
        """Return every mistake as one line; arguments as for `read`."""
        from seglab.core.option_problems import keys_of, problems_of, suggest

        known = [path, *keys_of(cls, path)] if path else keys_of(cls)
        return [
            str(suggest(one, known)) for one in problems_of(cls, _as_plain(content), path, COMPOSE)
        ]

    def to_dict(self) -> dict[str, Any]:
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
    named = [one for one in own if one.name != "chosen" and one.kind is not one.VAR_KEYWORD]
    declared = [
        inspect.Parameter(
            name,
            inspect.Parameter.KEYWORD_ONLY,
            annotation=field.annotation,
            default=inspect.Parameter.empty if field.is_required() else field.default,
        )
        for name, field in options.model_fields.items()
    ]
    return inspect.Signature([*named, *declared])


def broken_rule(*texts: str) -> PydanticCustomError:
    """Return what a validator raises where values do not go together: one text a problem."""
    return PydanticCustomError(BROKEN_RULE, "{texts}", {"texts": list(texts)})


def _as_plain(value: Any) -> Any:
    """Return dicts and lists for any mapping and sequence, such as OmegaConf's."""
    if isinstance(value, Mapping):
        return {key: _as_plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [_as_plain(item) for item in value]
    return value


def takes(
    options: type[Options], path: str, also: Callable[[Mapping[str, Any]], list[str]] | None = None
) -> Callable[[Callable[..., _Result]], Callable[..., _Result]]:
    """Let a function be called with options by name; it gets them as one checked `chosen`.

    Args:
        options: What is declared.
        path: What messages call the place, such as `optimizer`.
        also: Returns further problems of what was given, to be told with the others.
    """

    def decorate(function: Callable[..., _Result]) -> Callable[..., _Result]:
        parameters = inspect.signature(function).parameters
        own = [name for name in parameters if name != "chosen"]
        places = [n for n in own if parameters[n].kind is not inspect.Parameter.KEYWORD_ONLY]

        @functools.wraps(function)
        def call(*args: Any, **given: Any) -> _Result:
            further = args[len(places) :]
            told = dict(zip(options.model_fields, further, strict=False))
            by_name = {name: value for name, value in given.items() if name not in own}
            if len(further) > len(told) or told.keys() & by_name.keys():
                raise TypeError(
                    f"{function.__qualname__}: an option is given twice, or more than there are"
                )
            told |= by_name
            rest = {name: value for name, value in given.items() if name in own}
            if also is not None and (more := also(told)):
                raise ConfigError([*options.problems(told, path), *more])
            return function(*args[: len(places)], **rest, chosen=options.read(told, path))

        call.__signature__ = signature_of(options, function)  # type: ignore[attr-defined]
        return call

    return decorate


@dataclass(frozen=True)
class _Checked(ABC):
    """A rule for values beside their type; subclasses say whether one holds, and what is expected."""

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_after_validator_function(self._check, handler(source))

    def _check(self, value: Any, info: ValidationInfo) -> Any:
        if not self.holds(value):
            raise PydanticCustomError(type(self).__name__, "expected {rule}", {"rule": str(self)})
        return value

    @abstractmethod
    def holds(self, value: Any) -> bool:
        """Whether a value of the right type keeps the rule."""


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
        """Whether there is such a thing at this path; a URL is asked when it is read."""
        if self.kind == "folder" and "://" in value:
            return True
        path = Path(value).expanduser()
        return {"file": path.is_file, "folder": path.is_dir}.get(self.kind, path.exists)()


@dataclass(frozen=True)
class AsTyped(_Checked):
    """Text that is what was typed, also where YAML or the grammar reads `no` or `1e3` otherwise.

    It is in Unicode's composed form (NFC).
    """

    def _check(self, value: Any, info: ValidationInfo) -> Any:
        if info.context == COMPOSE:
            return unicodedata.normalize("NFC", value)
        return super()._check(value, info)

    def holds(self, value: str) -> bool:
        """Whether the text is in its composed form."""
        return unicodedata.is_normalized("NFC", value)


@dataclass(frozen=True)
class OneOf(_Checked):
    """Text that is one of several names."""

    names: tuple[str, ...]
    or_own: bool = False

    def holds(self, value: str) -> bool:
        """Whether it is, or with `or_own` names a class or function by its dotted path."""
        return value in self.names or (self.or_own and "." in value)

    def __str__(self) -> str:
        """Return the names."""
        return f"one of {', '.join(self.names)}"


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

    `other` holds for any other value of that key; without it the node is then not looked into. With
    `own`, a dotted value names a part of one's own of that kind.
    """

    sibling: str
    choices: dict[str, type[Options]] = field(hash=False)
    inside: bool = False
    other: type[Options] | None = None
    own: str = ""


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
