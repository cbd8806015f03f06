"""Settings: YAML files and KEY=VALUE texts become frozen, strictly checked models.

The models are beside the code that reads them; each default is written once, in its model.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, ValidationInfo, field_validator

from .errors import ConfigError

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PACKAGE = Path(__file__).resolve().parent

SettingsTree = dict[str, JsonValue]
"""Settings before they are checked: values, and groups of settings by their names."""


class Settings(BaseModel):
    """Base of every group of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _refuse_bool_as_number(cls, value: object, info: ValidationInfo) -> object:
        """Pydantic would read true as 1."""
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        if isinstance(value, bool) and annotation is not bool:
            raise ValueError("expected another kind of value than true or false")
        return value


Model = TypeVar("Model", bound=Settings)


def configs_folder() -> Path:
    """Return the folder of shipped YAML files: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def shipped_configs(kind: str = "") -> list[str]:
    """Return the sorted names of the shipped experiments, or of the files of a kind such as `sensors`."""
    return sorted(path.stem for path in (configs_folder() / kind).glob("*.yaml"))


def read_text(source: str | Path, *, kind: str = "") -> str:
    """Return the text of a YAML file, given by its path or by the name of a shipped one of a kind.

    Raises:
        ConfigError: There is no such file, or it cannot be read.
    """
    path = Path(source)
    if not path.is_file():
        path = configs_folder() / kind / f"{source}.yaml"
    if not path.is_file():
        names = ", ".join(shipped_configs(kind))
        raise ConfigError(f"{source}: no such configuration, expected a YAML file or one of {names}")
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def read_yaml(source: str | Path, *, kind: str = "") -> SettingsTree:
    """Return the settings in a YAML file, given as in `read_text`.

    Raises:
        ConfigError: There is no such file, or it holds something other than keys and values.
    """
    try:
        content = yaml.safe_load(read_text(source, kind=kind))
    except yaml.YAMLError as error:
        raise ConfigError(f"{source}: not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: holds a {type(content).__name__}, expected keys and values")
    return content


def parse_overrides(overrides: Sequence[str]) -> SettingsTree:
    """Return nested settings from texts such as `network.channels=[12,64]`; values are read as YAML.

    Raises:
        ConfigError: A text is not of the form KEY=VALUE.

    Example:
        >>> parse_overrides(["seed=1", "network.channels=[12,64]"])
        {'seed': 1, 'network': {'channels': [12, 64]}}
    """
    settings: SettingsTree = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{text!r} is not of the form KEY=VALUE, such as seed=1 or data.root=DIR")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{text!r}: the value is not valid YAML: {' '.join(str(error).split())}") from error
        group = settings
        *outer, last = key.strip().split(".")
        for name in outer:
            inner = group.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{text!r}: {name} already has a value")
            group = inner
        group[last] = parsed
    return settings


def merge_settings(base: Mapping[str, JsonValue], over: Mapping[str, JsonValue]) -> SettingsTree:
    """Return `base` with the values of `over` in their place, group by group.

    Example:
        >>> merge_settings({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
        {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    merged = dict(base)
    for key, value in over.items():
        before = merged.get(key)
        both = isinstance(value, dict) and isinstance(before, dict)
        merged[key] = merge_settings(before, value) if both else value  # type: ignore[arg-type]
    return merged


def find_differences(
    before: Mapping[str, JsonValue], now: Mapping[str, JsonValue], prefix: str = ""
) -> list[tuple[str, JsonValue, JsonValue]]:
    """Return the key, the value before and the value now of each setting that differs; a missing one is None.

    Example:
        >>> find_differences({"a": 1, "b": {"c": 2}}, {"a": 1, "b": {"c": 3, "d": 4}})
        [('b.c', 2, 3), ('b.d', None, 4)]
    """
    found: list[tuple[str, JsonValue, JsonValue]] = []
    for key in dict.fromkeys((*before, *now)):
        old, new = before.get(key), now.get(key)
        if isinstance(old, Mapping) and isinstance(new, Mapping):
            found += find_differences(old, new, f"{prefix}{key}.")
        elif old != new:
            found.append((prefix + key, old, new))
    return found


def build(model: type[Model], settings: Mapping[str, object], where: str) -> Model:
    """Return the model made from plain settings.

    Args:
        model: A kind of `Settings`.
        settings: Keys and values.
        where: The place of a mistake, for messages: a file, or what was typed.

    Raises:
        ConfigError: Names each unknown key with the nearest known one, and each wrong value with what was expected.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(model, item) for item in error.errors())) from error


def _explain(model: type[BaseModel], error: ErrorDetails) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] != "extra_forbidden":
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{key} = {error['input']!r}: {message}" if key else message
    known = _keys_at(model, location[:-1])
    nearest = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    inner = [path for path in _paths(model) if path.endswith(f".{location[-1]}")]
    meant = " or ".join(inner) if inner else ".".join([*location[:-1], *nearest]) if nearest else ""
    hint = f"did you mean {meant}?" if meant else f"expected {', '.join(known)}"
    return f"unknown setting {key}, {hint}"


def _paths(model: type[BaseModel]) -> list[str]:
    """Return the keys of all settings, also of inner groups: `data.root`."""
    paths = []
    for name in model.model_fields:
        group = model.model_fields[name].annotation
        is_group = isinstance(group, type) and issubclass(group, BaseModel)
        paths += [name, *(f"{name}.{path}" for path in _paths(group))] if is_group else [name]  # type: ignore[arg-type]
    return paths


def _keys_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    for name in location:
        field = model.model_fields.get(name)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
