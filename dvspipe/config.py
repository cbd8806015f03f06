"""Settings: YAML files and key=value overrides become frozen, strictly checked models.

The models themselves stand beside the code that reads them; a default is written once, in the model.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, ValidationInfo, field_validator

from .errors import ConfigError

_PACKAGE = Path(__file__).resolve().parent


class Settings(BaseModel):
    """Base of every group of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _true_is_no_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Pydantic would take true as 1."""
        annotation = cls.model_fields[info.field_name].annotation if info.field_name else None
        if isinstance(value, bool) and annotation is not bool:
            raise ValueError("expected another kind of value than true or false")
        return value


Model = TypeVar("Model", bound=Settings)


def configs_folder() -> Path:
    """The folder of shipped YAML files: inside an installed package, beside it in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def shipped_configs(kind: str = "") -> list[str]:
    """The names by which the shipped YAML files are found, sorted; of experiments, or of a kind such as `sensors`."""
    return sorted(path.stem for path in (configs_folder() / kind).glob("*.yaml"))


def read_yaml(source: str | Path, *, kind: str = "") -> dict[str, Any]:
    """The settings in a YAML file, given by path or by the name of a shipped one of a kind.

    Raises:
        ConfigError: There is no such file, or it holds something other than keys and values.
    """
    path = Path(source)
    if not path.is_file():
        path = configs_folder() / kind / f"{source}.yaml"
    if not path.is_file():
        names = shipped_configs(kind)
        raise ConfigError(f"{source}: no such configuration; give a YAML file or one of {', '.join(names)}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: not readable as YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: holds a {type(content).__name__}, expected keys and values")
    return content


def parse_overrides(overrides: Sequence[str]) -> dict[str, Any]:
    """Nested settings from texts such as `network.channels=[12,64]`; values are read as YAML.

    Raises:
        ConfigError: A text is not of the form key=value.
    """
    settings: dict[str, Any] = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{text!r} is not of the form key=value, such as seed=1 or data.root=DIR")
        try:
            parsed = yaml.safe_load(value)
        except yaml.YAMLError as error:
            raise ConfigError(f"{text!r}: the value is not readable: {' '.join(str(error).split())}") from error
        group = settings
        *outer, last = key.strip().split(".")
        for name in outer:
            group = group.setdefault(name, {})
            if not isinstance(group, dict):
                raise ConfigError(f"{text!r}: {name} already has a value")
        group[last] = parsed
    return settings


def merge_settings(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with the values of `over` put over it, group by group."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        both = isinstance(value, Mapping) and isinstance(below, Mapping)
        merged[key] = merge_settings(below, value) if both else value  # type: ignore[arg-type]
    return merged


def build(model: type[Model], settings: Mapping[str, Any], where: str) -> Model:
    """The model made from plain settings.

    Args:
        model: A kind of `Settings`.
        settings: Keys and values, as YAML gives them.
        where: What the message names as the place of a mistake.

    Raises:
        ConfigError: Names each wrong key with the nearest right one, and each wrong value with what was expected.
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise ConfigError(f"{where}: " + "; ".join(_explain(model, item) for item in error.errors())) from error


def _explain(model: type[BaseModel], error: Any) -> str:
    location = [str(part) for part in error["loc"]]
    key = ".".join(location)
    if error["type"] != "extra_forbidden":
        message = str(error["msg"]).removeprefix("Value error, ")
        return f"{key} = {error['input']!r}: {message}" if key else message
    known = _keys_at(model, location[:-1])
    nearest = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    hint = f"did you mean {'.'.join([*location[:-1], nearest[0]])}?" if nearest else f"known are {', '.join(known)}"
    return f"unknown setting {key}, {hint}"


def _keys_at(model: type[BaseModel], location: Sequence[str]) -> list[str]:
    for name in location:
        field = model.model_fields.get(name)
        annotation = field.annotation if field else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            break
        model = annotation
    return list(model.model_fields)
