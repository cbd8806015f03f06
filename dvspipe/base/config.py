"""Settings: parse YAML files and KEY=VALUE arguments into frozen, strictly checked models.

Each model is defined next to the code that reads it, and is the only place of its defaults.

The parts, in order: `Settings`, the base of all models; reading and writing YAML and KEY=VALUE as trees of plain
values; merging trees; models from trees and from keyword arguments (`build`, `as_settings`); the names and kinds in a
model; suggestions for unknown names; and messages that explain wrong settings.

A name with dots, such as `network.channels`, is a setting in a group. A group may be a union of models, its kinds: the
setting `kind` selects one of them.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import update_wrapper
from inspect import signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from .arguments import read_result_type
from .errors import OF_COMMANDS, ConfigError, join_names, shorten, suggest_argument

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PACKAGE = Path(__file__).resolve().parents[1]

SettingsTree = dict[str, JsonValue]
"""Unchecked settings: a value or a nested group for each name."""

NAME_PATTERN = r"^\w[\w.-]*$"
SIZE_PATTERN = r"^\d+x\d+$"
SENSOR_PATTERN = r"^(keep|\d+x\d+)$"
REGION_PATTERN = r"^\d+x\d+\+\d+\+\d+$"
ROI_PATTERN = r"^(auto|full|\d+x\d+[+-]\d+[+-]\d+)$"
TARGET_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
PATTERNS: Mapping[str, str] = {
    NAME_PATTERN: "a name of letters, digits, '_', '.' and '-'",
    SIZE_PATTERN: "WIDTHxHEIGHT, such as 346x260",
    SENSOR_PATTERN: "WIDTHxHEIGHT, such as 346x260, or keep",
    REGION_PATTERN: "WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10",
    ROI_PATTERN: "WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10, auto or full",
    TARGET_PATTERN: "PACKAGE.MODULE:NAME, such as my_package.nets:make_net",
}
"""Readable form of each regular expression; pydantic's own messages show the expression."""

YAML_BOOL = "tag:yaml.org,2002:bool"
YAML_DATE = "tag:yaml.org,2002:timestamp"
YAML_INT = "tag:yaml.org,2002:int"
MAX_YAML_BYTES = 1 << 18  # configurations have a few kB; parsing 1 MB of YAML takes 10 s
MAX_INT_BITS = 64
MAX_EXPLAINED = 10  # mistakes listed in a message; each suggestion takes 1 ms
KIND = "kind"  # name of the setting that selects the kind of a group
MIN_SIMILARITY = 0.65  # difflib's ratio of a suggested name, in the same group
MIN_SIMILARITY_ELSEWHERE = 0.85  # in another group
MAX_SUGGESTIONS = 3
MIN_WORD = 4  # letters of a word that suggests settings with this word


# Settings, the base of all models.


class Settings(BaseModel):
    """Base class of all groups of settings: frozen; unknown keys are errors.

    The `repr` lists the settings that differ from their defaults.

    Example:
        >>> class Example(Settings):
        ...     rate_hz: float = 1.0
        ...     steps: int = 10
        >>> Example(), Example(steps=20)
        (Example(), Example(steps=20))
    """

    model_config = ConfigDict(
        frozen=True, defer_build=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True
    )

    def __init__(self, *unnamed: object, **values: Any) -> None:
        """Check the values.

        Raises:
            ConfigError: If keys are unknown or values are wrong. The message names each of them, with the closest known
                key or the expected value. Also if values have no names.
        """
        if unnamed:
            name = type(self).__name__
            first = next(iter(type(self).model_fields))
            listed = ", ".join(map(_format_input, unnamed))
            raise ConfigError(f"{name}: settings need names (found {listed}, expected {name}({first}=...))")

        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _build_error(type(self), error, type(self).__name__) from error

    # This copies `__pydantic_base_init__`, by which pydantic recognises its own __init__: nested groups are checked
    # without this one, and their errors are collected in one message.
    update_wrapper(__init__, BaseModel.__init__, assigned=())

    @model_validator(mode="before")
    @classmethod
    def _read_plain_values(cls, values: object) -> object:
        """Reject true and false as numbers, and expand the home folder in paths.

        pydantic would read true and false as 1 and 0, and a shell does not expand the ~ in data.root=~/x.
        """
        if not isinstance(values, dict):
            return values

        # Values of unknown names stay as they are, as if booleans were expected: pydantic reports the names.
        types = {name: field.annotation for name, field in cls.model_fields.items()}
        return {name: _to_plain(value, types.get(name, bool)) for name, value in values.items()}

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


# YAML and KEY=VALUE, as trees of plain values.


class _Loader(yaml.SafeLoader):
    """YAML loader for plain values: dates and `off` are text, and only `true` and `false` are booleans, as in YAML 1.2.

    Aliases are errors, because a small file with aliases can expand exponentially.
    """

    yaml_implicit_resolvers = {  # noqa: RUF012  (as in the base class)
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (YAML_BOOL, YAML_DATE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
            raise yaml.MarkedYAMLError(problem="aliases are not supported", problem_mark=mark)
        return super().compose_node(parent, index)


def _construct_int(loader: _Loader, node: yaml.ScalarNode) -> int:
    value = int(loader.construct_yaml_int(node))
    if value.bit_length() > MAX_INT_BITS:  # Python cannot print integers of more than 4,300 digits
        raise yaml.MarkedYAMLError(problem="an integer of more than 64 bits", problem_mark=node.start_mark)
    return value


_Loader.add_constructor(YAML_INT, _construct_int)
_Loader.add_implicit_resolver(YAML_BOOL, re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])


def _describe_yaml_error(error: Exception) -> str:
    """Return the error message in one line, without PyYAML's placeholder for the file name."""
    return " ".join(str(error).replace('in "<unicode string>",', "in").split())


def _parse_yaml(text: str, where: str) -> JsonValue:
    try:
        parsed: JsonValue = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError) as error:  # tags such as !!int x
        raise ConfigError(f"{where}: not valid YAML: {shorten(_describe_yaml_error(error))}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: not valid YAML: nested too deeply") from error
    return parsed


def configs_folder() -> Path:
    """Return the folder of included YAML files: in the package if installed, next to it in a checkout."""
    inside = _PACKAGE / "configs"
    return inside if inside.is_dir() else _PACKAGE.parent / "configs"


def shipped_configs(kind: str = "") -> list[str]:
    """Return the sorted names of included experiments, or of included files of another kind, such as `sensors`."""
    return sorted(path.stem for path in (configs_folder() / kind).glob("*.yaml"))


def read_text(source: str | Path, *, kind: str = "") -> str:
    """Return the text of a YAML file.

    Args:
        source: Path of the file, or name of an included file.
        kind: Kind of included files, such as `sensors`; empty: experiments.

    Raises:
        ConfigError: If the file does not exist, cannot be read, is not text, or has more than 256 KiB.
    """
    path = Path(source)
    is_folder = path.is_dir()
    if not path.is_file():
        path = configs_folder() / kind / f"{source}.yaml"
    if not path.is_file():
        names = ", ".join(shipped_configs(kind))
        if is_folder:
            raise ConfigError(f"{source}: not a configuration (found a folder, expected a YAML file or one of {names})")

        missing = "configuration" if kind else "folder or configuration"
        places = "a YAML file" if kind else "a folder of recordings, a YAML file"
        similar = difflib.get_close_matches(str(source).lower(), shipped_configs(kind), 1)
        hint = f"; did you mean {similar[0]}?" if similar else ""
        raise ConfigError(f"{source}: no such {missing} (expected {places} or one of {names}){hint}")

    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)  # one byte more shows that a file is too large
        if len(content) > MAX_YAML_BYTES:
            raise ConfigError(f"{path}: too large for a configuration (expected at most {MAX_YAML_BYTES:,} bytes)")
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        places = "YAML" if kind else "a folder of class folders with recordings, or a YAML file"
        raise ConfigError(f"{path}: not a text file (expected {places})") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def read_yaml(source: str | Path, *, kind: str = "") -> SettingsTree:
    """Return the settings of a YAML file.

    Args:
        source: Path of the file, or name of an included file.
        kind: Kind of included files, as in `read_text`.

    Raises:
        ConfigError: If the file cannot be read, is not valid YAML, or contains something other than keys and values.
    """
    content = _parse_yaml(read_text(source, kind=kind), str(source))

    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: not a mapping (found {type(content).__name__}, expected keys and values)")
    return content


def parse_overrides(overrides: Sequence[str]) -> SettingsTree:
    """Parse KEY=VALUE arguments into nested settings; values are YAML.

    Args:
        overrides: Arguments such as `network.channels=[12,64]`; dots in keys separate groups.

    Raises:
        ConfigError: If an argument is not of the form KEY=VALUE, or its value is not valid YAML.

    Example:
        >>> parse_overrides(["seed=1", "network.channels=[12,64]"])
        {'seed': 1, 'network': {'channels': [12, 64]}}
    """
    settings: SettingsTree = {}
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals or not key.strip():
            raise ConfigError(f"{text!r} is not of the form KEY=VALUE, such as seed=1 or data.root=DIR")
        parsed = _parse_yaml(value, repr(text))

        group = settings
        *outer, last = key.strip().split(".")
        for name in outer:
            inner = group.setdefault(name, {})
            if not isinstance(inner, dict):
                raise ConfigError(f"{text!r}: {name} already has a value")
            group = inner
        group[last] = parsed

    return settings


def write_overrides(settings: Mapping[str, JsonValue]) -> str:
    """Format settings as KEY=VALUE arguments; inverse of `parse_overrides`.

    Args:
        settings: Values by dotted names.

    Example:
        >>> write_overrides({"network.norm": "weight", "network.channels": [12, 64], "network.tau_syn_s": None})
        'network.norm=weight network.channels=[12,64] network.tau_syn_s=null'
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in settings.items()
    }

    return " ".join(f"{key}={text}" for key, text in texts.items())


def show_value(value: JsonValue) -> str:
    """Format a value as in a `KEY=VALUE` argument."""
    return value if isinstance(value, str) else json.dumps(value)


# Trees: merging and comparing.


def merge_settings(
    base: Mapping[str, JsonValue], over: Mapping[str, JsonValue], unions: Mapping[str, object] | None = None
) -> SettingsTree:
    """Return `base` updated with `over`, recursively for groups.

    Args:
        base: Settings.
        over: Settings that take precedence.
        unions: Types of the groups with kinds, by group name. If `over` sets the kind of such a group, settings of
            `base` unknown to this kind are dropped; see `find_left_out`.

    Example:
        >>> merge_settings({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
        {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    merged = dict(base)

    # Settings that belong only to the previous kind of a group would be errors with the new kind.
    for group, names in find_left_out(base, over, unions or {}).items():
        merged[group] = _without(cast(SettingsTree, base[group]), names)

    for key, value in over.items():
        before = merged.get(key)
        both = isinstance(value, dict) and isinstance(before, dict)
        merged[key] = merge_settings(before, value) if both else value  # type: ignore[arg-type]

    return merged


def find_left_out(
    base: Mapping[str, JsonValue], over: Mapping[str, JsonValue], unions: Mapping[str, object]
) -> dict[str, list[str]]:
    """Return, by group, the settings of `base` that the kind set in `over` does not have."""
    left_out: dict[str, list[str]] = {}
    for group, union in unions.items():
        before = base.get(group)
        now = over.get(group)
        if isinstance(before, dict) and isinstance(now, dict) and KIND in now:
            left_out[group] = find_foreign(union, before | {KIND: now[KIND]})

    return {group: names for group, names in left_out.items() if names}


def _without(settings: Mapping[str, JsonValue], names: Sequence[str]) -> SettingsTree:
    return {name: value for name, value in settings.items() if name not in names}


def find_differences(
    before: Mapping[str, JsonValue], now: Mapping[str, JsonValue], prefix: str = ""
) -> list[tuple[str, JsonValue, JsonValue]]:
    """Return the (dotted key, old value, new value) of each setting that differs; missing values are None.

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


# Models, from trees and from keyword arguments.


def build(model: type[Model], settings: Mapping[str, object], where: str) -> Model:
    """Create a model from plain settings.

    Args:
        model: Subclass of `Settings`.
        settings: Keys and values.
        where: Source of the settings, named in error messages: a file, a command or an argument.

    Raises:
        ConfigError: If keys are unknown or values are wrong. The message names each of them, with the closest known key
            or the expected value.

    Example:
        >>> class Example(Settings):
        ...     rate_hz: float = 1.0
        >>> build(Example, {"rate_hz": 20}, "example.yaml").rate_hz
        20.0
    """
    try:
        return model.model_validate(settings)
    except ValidationError as error:
        raise _build_error(model, error, where) from error
    except ConfigError as error:  # raised by a validator that names a remedy
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
        function: This function; its other arguments are suggested for unknown keywords.

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
            f"{model.__name__}: found {_format_input(given)}, expected settings by name, a mapping or {model.__name__}"
        )

    # A model may be of a derived class, with more settings; only its given values override defaults.
    built = model
    base = cast(Mapping[str, object], given or {})
    if isinstance(given, model):
        built = type(given)
        base = _given_values(given)

    settings: Mapping[str, object] = name_settings(built, base)
    if named:
        over = name_settings(built, named)
        _check_arguments(built, over, function)
        settings = merge_settings(settings, over, find_unions(built))  # type: ignore[arg-type]

    return build(built, settings, model.__name__)


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
    own_names = _setting_types(model)
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
    paths = list(dict.fromkeys(_setting_names(model)))

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
    """Check for misspelled arguments of a function that also takes settings by name.

    Raises:
        ConfigError: If an unknown name resembles a setting or an argument.
    """
    if function is None:
        return

    parameters = signature(function).parameters
    arguments = [name for name, parameter in parameters.items() if parameter.kind is parameter.KEYWORD_ONLY]
    for name in named:
        if name in _setting_types(model):
            continue

        if suggested := suggest_settings(model, name):
            similar = [_argument_name(model, path) for path in suggested]
            raise ConfigError(f"{function.__name__}: unknown argument {name}, did you mean {join_names(similar)}?")

        if name in OF_COMMANDS or difflib.get_close_matches(name, arguments, 1, MIN_SIMILARITY):
            suggestion = suggest_argument(name, arguments, read_result_type(function))
            raise ConfigError(f"{function.__name__}: unknown argument {name}, {suggestion}")


def _argument_name(model: type[Settings], path: str) -> str:
    """Return the last part of the full name of a setting; the full name if other settings have the same last part."""
    last = path.rpartition(".")[2]
    owners = {name for name in _setting_names(model) if name.rpartition(".")[2] == last}
    return last if owners == {path} else path


# Names and kinds in a model.


def _setting_names(group: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings and groups of a model."""
    for name, annotation in _setting_types(group).items():
        yield prefix + name
        yield from _setting_names(annotation, f"{prefix}{name}.")


def _setting_types(group: object) -> Mapping[str, object]:
    """Return the type of each setting of a group; empty for other types."""
    if isinstance(group, type) and issubclass(group, BaseModel):
        return {name: field.annotation for name, field in group.model_fields.items()}
    if kinds := find_kinds(group):
        # The first kind is the default: it is last, so its types win if kinds have the same names.
        types: dict[str, object] = {}
        for model in reversed(kinds.values()):
            types |= _setting_types(model)
        return types

    return get_type_hints(group) if isinstance(group, type) and is_dataclass(group) else {}


def find_kinds(annotation: object) -> dict[str, type[BaseModel]]:
    """Map each value of the setting `kind` to its model, for groups with kinds; empty for other types."""
    union = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    models = [model for model in get_args(union) if isinstance(model, type) and issubclass(model, BaseModel)]
    return {field.default: model for model in models if (field := model.model_fields.get(KIND)) is not None}


def find_unions(model: type[Settings]) -> dict[str, object]:
    """Return the types of the groups with kinds, by name."""
    return {name: field.annotation for name, field in model.model_fields.items() if find_kinds(field.annotation)}


def find_foreign(union: object, settings: Mapping[str, object]) -> list[str]:
    """Return the names of settings that belong only to other kinds of their group.

    Args:
        union: Type of the group, a union of its kinds; the first kind is the default.
        settings: Settings of the group.

    Example:
        >>> from typing import Literal
        >>> class Circle(Settings):
        ...     kind: Literal["circle"] = "circle"
        ...     radius: float = 1.0
        >>> class Square(Settings):
        ...     kind: Literal["square"] = "square"
        ...     side: float = 1.0
        >>> find_foreign(Circle | Square, {"kind": "square", "side": 2, "radius": 3})
        ['radius']
    """
    kinds = find_kinds(union)
    kind = settings.get(KIND, next(iter(kinds)))
    chosen = kinds.get(kind) if isinstance(kind, str) else None
    known = set[str]().union(*(model.model_fields for model in kinds.values()))
    return [] if chosen is None else [name for name in settings if name in known and name not in chosen.model_fields]


def complete_kind(union: object, settings: object) -> object:
    """Add the default kind to settings of a group."""
    return {KIND: next(iter(find_kinds(union)))} | settings if isinstance(settings, dict) else settings


# Suggestions for unknown names.


def suggest_settings(model: type[BaseModel], name: str) -> list[str]:
    """Suggest at most three known settings for an unknown name, most similar first, with their groups.

    Example:
        >>> class Example(Settings):
        ...     learning_rate: float = 0.1
        >>> suggest_settings(Example, "lr"), suggest_settings(Example, "group.learning_rate")
        (['learning_rate'], ['learning_rate'])
    """
    group, _, last = name.rpartition(".")
    lasts = {key: key.split(".")[-1] for key in _setting_names(model)}  # last part of each full name
    siblings = {key: word for key, word in lasts.items() if key.rpartition(".")[0] == group}

    # From the surest match to the vaguest; each step is tried only if the steps before have none.
    suggestions = (
        [key for key, word in lasts.items() if word == last]
        or [*_match_closest(last, siblings, MIN_SIMILARITY), *_match_extended(last, siblings)]
        or _match_initials(last, lasts)
        or [*_match_closest(last, lasts, MIN_SIMILARITY_ELSEWHERE), *_match_extended(last, lasts)]
        or _match_words(last, lasts)
    )
    return list(dict.fromkeys(suggestions))[:MAX_SUGGESTIONS]


def _match_closest(name: str, lasts: Mapping[str, str], cutoff: float) -> list[str]:
    """Return the settings whose last part is the closest match of `name`."""
    nearest = difflib.get_close_matches(name, set(lasts.values()), n=1, cutoff=cutoff)
    return [key for key, last in lasts.items() if last in nearest]


def _match_extended(name: str, lasts: Mapping[str, str]) -> list[str]:
    """Return the settings whose last part extends `name` by words, or that `name` extends."""
    return [key for key, last in lasts.items() if last.startswith(f"{name}_") or name.startswith(f"{last}_")]


def _match_initials(name: str, lasts: Mapping[str, str]) -> list[str]:
    """Return the settings of several words whose initials are `name`: `learning_rate` for `lr`."""
    words = {key: last.split("_") for key, last in lasts.items() if "_" in last}
    return [key for key, parts in words.items() if "".join(part[0] for part in parts) == name]


def _match_words(name: str, lasts: Mapping[str, str]) -> list[str]:
    """Return the settings with a word of `name`, which may be shortened: `pos_thres` for `threshold`."""
    words = [word for word in name.split("_") if len(word) >= MIN_WORD]

    def has_word(setting: str) -> bool:
        parts = [part for part in setting.split("_") if len(part) >= MIN_WORD]
        return any(word.startswith(part) or part.startswith(word) for part in parts for word in words)

    return [key for key, last in lasts.items() if has_word(last)]


# Messages that explain wrong settings.


def _build_error(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    """Create an error that lists pydantic's messages by setting; at most `MAX_EXPLAINED` of them."""
    errors = error.errors(include_url=False)
    sentences = join_mistakes(_explain(model, mistake) for mistake in errors[:MAX_EXPLAINED])
    if len(errors) > MAX_EXPLAINED:
        sentences.append(f"and {len(errors) - MAX_EXPLAINED:,} more mistakes")
    return ConfigError(f"{where}: {'; '.join(sentences)}")


def join_mistakes(mistakes: Iterable[tuple[str, str | None]]) -> list[str]:
    """Return a sentence per subject; a value that may have several types has a mistake for each of them.

    Example:
        >>> join_mistakes([("a = x", "not a number"), ("b", None), ("a = x", "not a size")])
        ['a = x: not a number, or not a size', 'b']
    """
    reasons: dict[str, list[str]] = {}
    for subject, reason in mistakes:
        known = reasons.setdefault(subject, [])
        if reason is not None:
            known.append(reason)

    return [f"{subject}: {', or '.join(listed)}" if listed else subject for subject, listed in reasons.items()]


def _explain(model: type[BaseModel], error: ErrorDetails) -> tuple[str, str | None]:
    """Return the setting with its value, and what is wrong with it; or one complete sentence, and None."""
    key = _locate(model, error["loc"])
    if error["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        return _explain_unknown(model, key, error), None
    if error["type"] == "union_tag_invalid":
        return _explain_kind(model, key, error), None

    value = error["input"]
    subject = key if isinstance(value, Mapping) else f"{key} = {_format_input(value)}"
    return subject, _explain_group(model, key, error) or explain_value(error)


def _explain_unknown(model: type[BaseModel], key: str, error: ErrorDetails) -> str:
    """Explain a setting that a group does not have, or only with another kind."""
    group = key.rpartition(".")[0]
    location = error["loc"]

    # In a group with kinds, pydantic's location ends with group, kind and name.
    if len(location) > 2:
        *groups, kind, name = location
        owners = _find_owners(model, groups, name)
        if owners:
            needed = join_names(owners)
            return f"{key} = {_format_input(error['input'])}: needs {group}.{KIND} = {needed} (found {kind})"

    suggested = suggest_settings(model, key)
    if suggested:
        return f"unknown setting {key}, did you mean {join_names(suggested)}?"

    names = [name for name in _setting_names(model) if name.rpartition(".")[0] == group]
    return f"unknown setting {key}, expected one of {', '.join(names)}"


def _find_owners(model: object, groups: Iterable[str | int], name: str | int) -> list[str]:
    """Return the kinds of a group that have the setting `name`; empty if the group has no kinds."""
    kinds = find_kinds(_type_of(model, groups))
    return [kind for kind, owner in kinds.items() if name in owner.model_fields]


def _type_of(model: object, groups: Iterable[str | int]) -> object:
    """Return the type of a group of settings, given by the names on the way to it."""
    for group in groups:
        model = _setting_types(model).get(str(group))
    return model


def _explain_kind(model: type[BaseModel], group: str, error: ErrorDetails) -> str:
    """Explain an unknown kind of a group of settings."""
    kind = error["ctx"]["tag"]
    kinds = list(find_kinds(_type_of(model, error["loc"])))

    similar = difflib.get_close_matches(kind, kinds, 1)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f"{group}.{KIND} = {_format_input(kind)}: unknown kind (expected {', '.join(kinds)}){hint}"


def _explain_group(model: type[BaseModel], key: str, error: ErrorDetails) -> str:
    """Explain a value that was given for a group of settings; empty for other errors."""
    names = [name for name in _setting_names(model) if name.rpartition(".")[0] == key]
    is_group = error["type"] in ("model_type", "model_attributes_type", "dataclass_type") and names
    return f"a group of settings (expected NAME=VALUE with one of {', '.join(names)})" if is_group else ""


def explain_value(error: ErrorDetails) -> str:
    """Return pydantic's message about a value; a message of our own validators loses pydantic's prefix."""
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return f"expected {PATTERNS[context['pattern']]}"

    return str(context["error"]).rstrip(".") if error["type"] == "value_error" else shorten(error["msg"], 500)


def _locate(model: type[BaseModel], location: Iterable[str | int]) -> str:
    """Convert a pydantic location to the dotted name of a setting, with the index for values in lists.

    Locations also contain kinds, and the types of other unions; these are left out.
    """
    names: list[str] = []
    group: object = model
    for part in location:
        if isinstance(part, int):
            return f"{'.'.join(names)}[{part}]"
        if part in (kinds := find_kinds(group)):
            group = kinds[part]
            continue

        types = _setting_types(group)
        if types or get_origin(group) is dict:
            names.append(shorten(part))
        group = types.get(part)

    return ".".join(names)


def _format_input(value: object) -> str:
    """Format a value as a user types it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else shorten(repr(value))
