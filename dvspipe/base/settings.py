"""Settings: frozen pydantic models, flat, so that the model of a verb is also a model of each of its parts.

Each model is defined next to the code that reads it, and is the only place of its defaults.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Self, TypeVar, cast

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    JsonValue,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)

from .errors import ConfigError, brief, join_names
from .texts import find_similar
from .yaml_files import parse_yaml, read_text

MAX_MISTAKES = 5  # listed in a message

log = logging.getLogger(__name__)

Model = TypeVar("Model", bound="Settings")

UserPath = Annotated[Path, BeforeValidator(lambda path: Path(str(path)).expanduser())]
"""Path that a user types: no shell expands the ~ in root=~/recordings, and a folder may be called 2024."""


class Settings(BaseModel):
    """Base class of all settings: frozen; unknown names are errors.

    The `repr` lists the settings that differ from their defaults.

    Example:
        >>> class Example(Settings):
        ...     rate_hz: float = 1.0
        ...     steps: int = 10
        >>> Example(), Example(steps=20)
        (Example(), Example(steps=20))
        >>> Example(step=20)
        Traceback (most recent call last):
        dvspipe.base.errors.ConfigError: Example: step = 20: unknown setting; did you mean steps?
    """

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        use_attribute_docstrings=True,
    )

    kinds: ClassVar[Mapping[str, tuple[str, Collection[str]]]] = {}
    """Settings that apply to some kinds only: by name, the setting that selects the kind, and these kinds."""

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, values: Any, validate: ModelWrapValidatorHandler[Self]) -> Self:
        """Raise one ConfigError for all wrong settings."""
        mistakes = []
        try:
            settings = validate(values)
        except ValidationError as error:
            for mistake in error.errors(include_url=False):
                subject = f"{mistake['loc'][0]} = {brief(mistake['input'])}: " if mistake["loc"] else ""
                text = mistake["msg"].removeprefix("Value error, ")
                if mistake["type"] == "extra_forbidden":
                    similar = find_similar(str(mistake["loc"][0]), cls.model_fields)
                    text = f"unknown setting; did you mean {similar}?" if similar else "unknown setting"
                mistakes.append(subject + text)

        if mistakes:
            raise ConfigError(f"{cls.__name__}: {'; '.join(mistakes[:MAX_MISTAKES])}")

        # A kind that is not given may come from a file, which these settings change.
        settings.check_kinds(settings.given)
        return settings

    def check_kinds(self, values: Mapping[str, object]) -> None:
        """Check that the given settings apply to the kinds in `values`.

        Raises:
            ConfigError: If a setting does not; the message names the kinds that it applies to.
        """
        unused = self.find_unused(values)
        mistakes = [f"{name}: {unused[name]}" for name in self.given if name in unused]
        if mistakes:
            raise ConfigError(f"{type(self).__name__}: {'; '.join(mistakes[:MAX_MISTAKES])}")

    @classmethod
    def find_unused(cls, values: Mapping[str, object]) -> dict[str, str]:
        """Return the settings that do not apply to the kinds in `values`, with the kinds that they apply to."""
        unused: dict[str, str] = {}
        for name, (selector, kinds) in cls.kinds.items():
            if selector in values and values[selector] not in kinds:
                unused[name] = f"needs {selector} = {join_names([*kinds])} (found {values[selector]})"
        return unused

    @classmethod
    def read(cls, source: str | Path, overrides: Mapping[str, object] = {}, *, kind: str = "") -> Self:
        """Read a YAML file, or an included one by its name.

        Args:
            source: File, or name of an included file.
            overrides: Settings that take precedence. If they select another kind of network or data set, settings of
                the file that do not apply to it are left out, with a warning.
            kind: Kind of included files, such as `sensors`; empty: experiments.

        Raises:
            ConfigError: If the file cannot be read, or settings are unknown or wrong.

        Example:
            >>> from dvspipe import TrainConfig
            >>> TrainConfig.read("nmnist", {"epochs": 5}).epochs
            5
        """
        stored = parse_yaml(read_text(source, kind=kind), str(source)) or {}
        if not isinstance(stored, dict):
            raise ConfigError(f"{source}: not a YAML file of settings (found {type(stored).__name__})")

        settings = stored | {**overrides}
        defaults = {selector: cls.model_fields[selector].default for selector, _ in cls.kinds.values()}
        for name, reason in cls.find_unused(defaults | settings).items() if overrides else ():
            if name in stored and name not in overrides:
                log.warning("%s: %s = %s is not used, it %s", source, name, settings.pop(name), reason)

        try:
            complete = cls.model_validate(settings)
            complete.check_kinds(dict(complete))
        except ConfigError as error:
            raise error.named(str(source)) from error
        return complete

    @property
    def given(self) -> dict[str, Any]:
        """Settings that were given; the others have their defaults.

        Example:
            >>> class Example(Settings):
            ...     rate_hz: float = 1.0
            ...     steps: int = 10
            >>> trained, used = Example(rate_hz=5, steps=20), Example(steps=30)
            >>> Example(**trained.given | used.given)
            Example(rate_hz=5.0, steps=30)
        """
        return {name: value for name, value in self if name in self.model_fields_set}

    def part(self, model: type[Model]) -> Model:
        """Return the settings of a part, a base class of this model, without the others: for digests and comparisons.

        Example:
            >>> class Example(Settings):
            ...     steps: int = 10
            >>> class Larger(Example):
            ...     rate_hz: float = 1.0
            >>> Larger(rate_hz=5, steps=20).part(Example)
            Example(steps=20)
        """
        values = {name: getattr(self, name) for name in model.model_fields}
        model.model_rebuild()  # pydantic before 2.14 has no serialiser for a model that nothing has validated
        return cast(Model, model.model_construct(self.model_fields_set & values.keys(), **values))

    def to_record(self) -> dict[str, JsonValue]:
        """Return all settings that apply as plain values, given ones first."""
        values = self.model_dump(mode="json", exclude={*self.find_unused(dict(self))})
        return {name: values[name] for name in sorted(values, key=lambda name: name not in self.model_fields_set)}

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.is_required() or value != field.get_default(call_default_factory=True):
                yield name, value

    def __str__(self) -> str:
        return repr(self)


def parse_overrides(arguments: Iterable[str]) -> dict[str, JsonValue]:
    """Parse KEY=VALUE arguments; values are YAML.

    Raises:
        ConfigError: If an argument is not of the form KEY=VALUE, or its value is not valid YAML.

    Example:
        >>> parse_overrides(["seed=1", "channels=[12,64]"])
        {'seed': 1, 'channels': [12, 64]}
    """
    settings: dict[str, JsonValue] = {}
    for text in arguments:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{text!r} is not of the form KEY=VALUE, such as seed=1 or root=DIR")
        settings[key.strip()] = parse_yaml(value, repr(text))
    return settings


def show_settings(settings: Mapping[str, JsonValue]) -> str:
    """Format settings as KEY=VALUE arguments; inverse of `parse_overrides`.

    Example:
        >>> show_settings({"norm": "weight", "channels": [12, 64], "tau_syn_s": None})
        'norm=weight channels=[12,64] tau_syn_s=null'
    """
    return " ".join(
        f"{name}={value if isinstance(value, str) else json.dumps(value, separators=(',', ':'))}"
        for name, value in settings.items()
    )


def find_differences(
    before: Mapping[str, JsonValue], now: Mapping[str, JsonValue], prefix: str = ""
) -> list[tuple[str, JsonValue, JsonValue]]:
    """Return the (dotted key, old value, new value) of each value that differs; missing values are None.

    Example:
        >>> find_differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3, "d": 4}})
        [('b.c', 2, 3), ('b.d', None, 4)]
    """
    differences: list[tuple[str, JsonValue, JsonValue]] = []
    for key in dict.fromkeys((*before, *now)):
        old = before.get(key)
        new = now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            differences += find_differences(old, new, f"{prefix}{key}.")
        elif old != new:
            differences.append((prefix + key, old, new))

    return differences
