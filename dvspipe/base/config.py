"""Settings: frozen, strictly checked models, created from trees of plain values and from keyword arguments.

Each model is defined next to the code that reads it, and is the only place of its defaults.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Self, TypeVar, cast, get_args

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from .errors import ConfigError, brief
from .groups import KIND, find_unions, setting_names, setting_types
from .trees import SettingsTree, merge_settings
from .yaml_files import read_yaml

MAX_MISTAKES = 5  # listed in a message


def explain_mistakes(where: str, error: ValidationError) -> ConfigError:
    """Return an error that lists the wrong settings with pydantic's messages."""
    listed = []
    for mistake in error.errors(include_url=False)[:MAX_MISTAKES]:
        subject = f"{mistake['loc'][0]} = {brief(mistake['input'])}: " if mistake["loc"] else ""
        listed.append(subject + mistake["msg"].removeprefix("Value error, "))

    return ConfigError(f"{where}: {'; '.join(listed)}")


class Settings(BaseModel):
    """Base class of all groups of settings: frozen; unknown keys and wrong values are a `ConfigError`.

    A validator of a field raises ValueError, and a validator of a model `ConfigError`: pydantic runs it after `_check`.
    The `repr` lists the settings that differ from their defaults.

    Example:
        >>> class Example(Settings):
        ...     rate_hz: float = 1.0
        ...     steps: int = 10
        >>> Example(), Example(steps=20)
        (Example(), Example(steps=20))
    """

    model_config = ConfigDict(
        frozen=True,
        defer_build=True,
        extra="forbid",
        allow_inf_nan=False,
        coerce_numbers_to_str=True,
        use_attribute_docstrings=True,
    )

    @model_validator(mode="wrap")
    @classmethod
    def _check(cls, values: object, check: ModelWrapValidatorHandler[Self]) -> Self:
        """Check the values; wrong ones are one ConfigError.

        pydantic would read true and false as 1 and 0, and a shell does not expand the ~ in root=~/x.
        """
        if isinstance(values, dict):
            # Values of unknown names stay as they are, as if booleans were expected: pydantic reports the names.
            types = {name: field.annotation for name, field in cls.model_fields.items()}
            values = {name: _to_plain(value, types.get(name, bool)) for name, value in values.items()}

        try:
            return check(values)
        except ValidationError as error:
            raise explain_mistakes(cls.__name__, error) from error

    def __repr_args__(self) -> Iterator[tuple[str, object]]:
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if field.is_required() or value != field.get_default(call_default_factory=True):
                yield name, value

    def __str__(self) -> str:
        return repr(self)


def _to_plain(value: object, annotation: object) -> object:
    if isinstance(value, bool) and annotation is not bool:
        return str(value).lower()
    return os.path.expanduser(value) if isinstance(value, str) and value.startswith("~/") else value


Model = TypeVar("Model", bound=Settings)


def complete_repr(value: object) -> str:
    """Return the `repr` of a value with all settings, also the defaults; for digests.

    Example:
        >>> class Example(Settings):
        ...     steps: int = 10
        >>> complete_repr(("a", Example()))
        "('a', Example(steps=10))"
    """
    if isinstance(value, Settings):
        return f"{type(value).__name__}({', '.join(f'{name}={complete_repr(setting)}' for name, setting in value)})"

    # Not named tuples: their own `repr` has their names. As in Python, one item is followed by a comma.
    if isinstance(value, tuple) and type(value) is tuple:
        end = "," if len(value) == 1 else ""
        return f"({', '.join(map(complete_repr, value))}{end})"
    if is_dataclass(value) and not isinstance(value, type):
        shown = ((field.name, getattr(value, field.name)) for field in fields(value) if field.repr)
        return f"{type(value).__qualname__}({', '.join(f'{name}={complete_repr(item)}' for name, item in shown)})"

    return repr(value)


def build(model: type[Model], settings: Mapping[str, object], where: str) -> Model:
    """Create a model from plain settings.

    Args:
        model: Subclass of `Settings`.
        settings: Keys and values.
        where: Source of the settings, named in error messages: a file, a command or an argument.

    Raises:
        ConfigError: If keys are unknown or values are wrong.

    Example:
        >>> class Example(Settings):
        ...     rate_hz: float = 1.0
        >>> build(Example, {"rate_hz": 20}, "example.yaml").rate_hz
        20.0
    """
    try:
        return model.model_validate(settings)
    except ConfigError as error:
        raise error.named(where) from error


def read_stored(model: type[Model], path: Path) -> Model:
    """Read the settings stored by a run.

    Raises:
        ConfigError: If the file does not exist, or contains other settings.
    """
    return build(model, read_yaml(path), str(path))


def as_settings(
    model: type[Model],
    given: Model | Mapping[str, object] | None = None,
    named: Mapping[str, object] | None = None,
    function: Callable[..., object] | None = None,
) -> Model:
    """Create settings from a model, a mapping or None, and from keyword arguments, which take precedence.

    Names as in `name_settings`: a setting of the model, or the only such setting in its groups.

    Args:
        model: Subclass of `Settings`.
        given: Settings, or keys and values; None: the defaults.
        named: Keyword arguments of a function.
        function: This function, named in the error for an unknown keyword.

    Raises:
        ConfigError: If a name is unknown or stands for several settings, a value is wrong, or `given` is neither a
            model nor a mapping.

    Example:
        >>> from dvspipe.recordings.config import ConvertConfig
        >>> as_settings(ConvertConfig, {"upsample": 4}, {"fps": 30, "pos_thres": 0.3})
        ConvertConfig(video=VideoSettings(fps=30.0), simulator=SimulatorConfig(pos_thres=0.3), upsample=4)
        >>> as_settings(ConvertConfig, ConvertConfig(upsample=4), {"fps": 30}).upsample
        4
    """
    if isinstance(given, model) and not named:
        return given
    if given is not None and not isinstance(given, model | Mapping):
        raise ConfigError(
            f"{model.__name__}: found {brief(given)}, expected settings by name, a mapping or {model.__name__}"
        )

    # A model may be of a derived class, with more settings; only its given values override defaults.
    target = model
    base = cast(Mapping[str, object], given or {})
    if isinstance(given, model):
        target = type(given)
        base = _given_values(given)

    settings: Mapping[str, object] = name_settings(target, base)
    if named:
        over = name_settings(target, named)
        _check_arguments(target, over, function)
        settings = merge_settings(settings, over, find_unions(target))  # type: ignore[arg-type]

    return build(target, settings, model.__name__)


def plain_settings(
    model: type[Settings],
    given: Settings | Mapping[str, object] | None,
    named: Mapping[str, object] | None = None,
    function: Callable[..., object] | None = None,
) -> SettingsTree:
    """Return the given settings alone as plain values by group, to merge them with others; see `as_settings`.

    Example:
        >>> from dvspipe.training import TrainConfig
        >>> plain_settings(TrainConfig, {"seed": 1}, {"epochs": 5, "channels": (8, 16)})
        {'seed': 1, 'optimiser': {'epochs': 5}, 'network': {'channels': [8, 16]}}
    """
    base = name_settings(model, _given_values(given) if isinstance(given, Settings) else given or {})
    over = name_settings(model, named or {})
    _check_arguments(model, over, function)

    merged = merge_settings(base, over, find_unions(model))  # type: ignore[arg-type]
    plain: SettingsTree = to_jsonable_python(merged, fallback=str)
    return plain


def name_settings(model: type[Settings], values: Mapping[str, object]) -> dict[str, object]:
    """Sort values into the groups of a model: a name is a full name with dots, or its last part.

    The last part alone stands for a setting of the model itself, or for the only setting with this name in its groups.
    Unknown names are kept; `build` explains them.

    Raises:
        ConfigError: If a name stands for several settings.

    Example:
        >>> from dvspipe.training import TrainConfig
        >>> name_settings(TrainConfig, {"epochs": 5, "seed": 1, "network.kind": "mlp"})
        {'optimiser': {'epochs': 5}, 'seed': 1, 'network': {'kind': 'mlp'}}
    """
    own_names = setting_types(model)
    sorted_values = dict[str, object]()
    for name, value in values.items():
        path = name if name in own_names else _find_path(model, name)
        *groups, last = path.split(".")

        # From the inside out: the value, {"epochs": 5}, {"optimiser": {"epochs": 5}}.
        nested: object = _given_values(value) if isinstance(value, Settings) else value
        for part in (last, *reversed(groups)):
            nested = {part: nested}
        sorted_values = merge_settings(sorted_values, nested)  # type: ignore[arg-type, assignment]

    return sorted_values


def _find_path(model: type[Settings], name: str) -> str:
    """Return the full name of a setting; `name` itself if it is unknown."""
    paths = list(dict.fromkeys(setting_names(model)))

    # A setting of the model itself takes precedence over settings in its groups.
    matches = [path for path in paths if path == name] or [path for path in paths if path.endswith(f".{name}")]

    if len(matches) > 1:
        group, *others = matches[0].split(".")
        example = "VALUE"
        for other in reversed(others):
            example = f"{{{other!r}: {example}}}"
        raise ConfigError(
            f"{model.__name__}: {name} stands for several settings, {', '.join(matches)}; name the group, such as "
            f"{group}={example}"
        )

    return matches[0] if matches else name


def _given_values(settings: Settings) -> dict[str, object]:
    """Return the values that were given to a model, and to the models in it, with their kinds."""
    # A kind has a single value, its default. It is always included: the other values belong to it.
    fixed = {name for name, field in type(settings).model_fields.items() if len(get_args(field.annotation)) == 1}
    given = settings.model_fields_set | (fixed & {KIND})

    values = {name: getattr(settings, name) for name in type(settings).model_fields if name in given}
    return {name: _given_values(value) if isinstance(value, Settings) else value for name, value in values.items()}


def _check_arguments(
    model: type[Settings], named: Mapping[str, object], function: Callable[..., object] | None
) -> None:
    """Check for unknown arguments of a function that also takes settings by name.

    Raises:
        ConfigError: If a name is not a setting.
    """
    unknown = [name for name in named if name not in setting_types(model)]
    if function is not None and unknown:
        raise ConfigError(f"{function.__name__}: unknown argument {', '.join(unknown)}")
