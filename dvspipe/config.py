"""Settings: YAML files and KEY=VALUE texts become frozen, strictly checked models.

The models are beside the code that reads them; each default is written once, in its model.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast, get_args, get_origin, get_type_hints

import yaml
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError, model_validator
from pydantic_core import to_jsonable_python

from .errors import ConfigError, join_names, shorten

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_PACKAGE = Path(__file__).resolve().parent

SettingsTree = dict[str, JsonValue]
"""Settings before they are checked: values, and groups of settings by their names."""

NAME_PATTERN = r"^\w[\w.-]*$"
SIZE_PATTERN = r"^\d+x\d+$"
REGION_PATTERN = r"^\d+x\d+\+\d+\+\d+$"
ROI_PATTERN = r"^(auto|full|\d+x\d+[+-]\d+[+-]\d+)$"
TARGET_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
PATTERNS: Mapping[str, str] = {
    NAME_PATTERN: "a name of letters, digits, '_', '.' and '-'",
    SIZE_PATTERN: "WIDTHxHEIGHT, such as 346x260",
    REGION_PATTERN: "WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10",
    ROI_PATTERN: "WIDTHxHEIGHT+LEFT+TOP, such as 128x128+20+10, auto or full",
    TARGET_PATTERN: "PACKAGE.MODULE:NAME, such as my_package.nets:make_net",
}
"""What is expected of a text that has to match a regular expression, of which pydantic shows the expression."""

YAML_BOOL, YAML_DATE, YAML_INT = (f"tag:yaml.org,2002:{kind}" for kind in ("bool", "timestamp", "int"))
MAX_YAML_BYTES = 1 << 18  # a configuration has some kB, and Python reads 1 MB of YAML in 10 s
MAX_INT_BITS = 64
MAX_EXPLAINED = 10  # mistakes of a configuration; a suggestion for each takes a ms
CLOSE, CLOSE_ELSEWHERE = 0.6, 0.85
"""Least similarity (difflib) of an unknown setting to a suggested one of the same group, and of another group."""


class Settings(BaseModel):
    """Base of every group of settings: frozen, and an unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, coerce_numbers_to_str=True)

    def __init__(self, **values: Any) -> None:
        """Check the values.

        Raises:
            ConfigError: Names each unknown key with the nearest known one, and each wrong value with what was expected.
        """
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise _error(type(self), error, type(self).__name__) from error

    # As in pydantic: otherwise it would call this method for a group inside another one too, whose errors it collects.
    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]

    @model_validator(mode="before")
    @classmethod
    def _read_plain_values(cls, values: object) -> object:
        """Refuse true and false as numbers, which pydantic would read as 1 and 0, and expand the home folder in paths.

        A shell does not expand it in data.root=~/x.
        """
        if not isinstance(values, dict):
            return values
        types = {name: field.annotation for name, field in cls.model_fields.items()}
        return {name: _plain(value, types.get(name, bool)) for name, value in values.items()}


def _plain(value: object, annotation: object) -> object:
    if isinstance(value, bool) and annotation is not bool:
        return str(value).lower()
    return os.path.expanduser(value) if isinstance(value, str) and value.startswith("~/") else value


Model = TypeVar("Model", bound=Settings)


class _Loader(yaml.SafeLoader):
    """Reads YAML of plain values: a date and `off` are text, and there are no aliases, which can be exponentially many.

    Only `true` and `false` are truth values, as in YAML 1.2.
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
    if value.bit_length() > MAX_INT_BITS:  # Python does not print those of more than 4,300 digits
        raise yaml.MarkedYAMLError(problem="a whole number of more than 64 bits", problem_mark=node.start_mark)
    return value


_Loader.add_constructor(YAML_INT, _construct_int)
_Loader.add_implicit_resolver(YAML_BOOL, re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])


def _describe_yaml_error(error: Exception) -> str:
    """Return the message of an error in one line, without the name that PyYAML gives to any text."""
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
        missing, places = "configuration", "a YAML file"
        if not kind:
            missing, places = "folder or configuration", "a folder of recordings, a YAML file"
        raise ConfigError(f"{source}: no such {missing} (expected {places} or one of {names})")
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
        if len(content) > MAX_YAML_BYTES:
            raise ConfigError(f"{path}: too large for a configuration (expected at most {MAX_YAML_BYTES:,} bytes)")
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no text (expected a YAML file)") from error
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error})") from error


def read_yaml(source: str | Path, *, kind: str = "") -> SettingsTree:
    """Return the settings in a YAML file, given as in `read_text`.

    Raises:
        ConfigError: There is no such file, or it holds something other than keys and values.
    """
    content = _parse_yaml(read_text(source, kind=kind), str(source))
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
    """Return settings as a command line has them, which `parse_overrides` reads.

    Args:
        settings: Values by the names of settings with their groups.

    Example:
        >>> write_overrides({"network.norm": "weight", "network.channels": [12, 64], "network.tau_syn_s": None})
        'network.norm=weight network.channels=[12,64] network.tau_syn_s=null'
    """
    texts = {
        key: value if isinstance(value, str) else json.dumps(value, separators=(",", ":"))
        for key, value in settings.items()
    }
    return " ".join(f"{key}={text}" for key, text in texts.items())


def merge_settings(
    base: Mapping[str, JsonValue], over: Mapping[str, JsonValue], unions: Mapping[str, object] | None = None
) -> SettingsTree:
    """Return `base` with the values of `over` in their place, group by group.

    Args:
        base: Settings.
        over: Others.
        unions: The types of groups that have kinds, by their names. If `over` has the kind of such a group, what that
            kind does not have is left out of `base`; see `find_left_out`.

    Example:
        >>> merge_settings({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 4}})
        {'a': 1, 'b': {'c': 4, 'd': 3}}
    """
    merged = dict(base)
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
    """Return the settings of `base` that the kind which `over` gives to their group does not have, by group."""
    found: dict[str, list[str]] = {}
    for group, union in unions.items():
        before, now = base.get(group), over.get(group)
        if isinstance(before, dict) and isinstance(now, dict) and "kind" in now:
            found[group] = find_foreign(union, before | {"kind": now["kind"]})
    return {group: names for group, names in found.items() if names}


def _without(settings: Mapping[str, JsonValue], names: Sequence[str]) -> SettingsTree:
    return {name: value for name, value in settings.items() if name not in names}


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


def show_value(value: JsonValue) -> str:
    """Return a value as a person writes it in `KEY=VALUE`."""
    return value if isinstance(value, str) else json.dumps(value)


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
        raise _error(model, error, where) from error
    except ConfigError as error:  # of a validator that names a remedy
        raise error.named(where) from error


def read_stored(model: type[Model], path: Path) -> Model:
    """Return the settings that a run stored, without those of other kinds, which earlier versions stored too.

    Raises:
        ConfigError: The file is not there, or holds other settings.
    """
    return build(model, keep_own(model, read_yaml(path)), str(path))


def as_settings(model: type[Model], given: Model | Mapping[str, object] | None) -> Model:
    """Return settings that are also given as plain keys and values; None stands for the defaults.

    Raises:
        ConfigError: A key is unknown, or a value is wrong.
    """
    if isinstance(given, model):
        return given
    return build(model, cast(Mapping[str, object], given or {}), model.__name__)


def suggest_settings(model: type[BaseModel], name: str) -> list[str]:
    """Return the settings that an unknown one may stand for, with their groups: the most similar first, at most three.

    Example:
        >>> class Example(Settings):
        ...     learning_rate: float = 0.1
        >>> suggest_settings(Example, "lr"), suggest_settings(Example, "group.learning_rate")
        (['learning_rate'], ['learning_rate'])
    """
    group, _, last = name.rpartition(".")
    lasts = {key: key.rpartition(".")[2] for key in _setting_names(model)}
    siblings = {key: own for key, own in lasts.items() if key.rpartition(".")[0] == group}
    found = (
        [key for key, own in lasts.items() if own == last]
        or [*_closest(last, siblings, CLOSE), *_prolonged(last, siblings)]
        or [key for key, own in lasts.items() if "_" in own and "".join(word[0] for word in own.split("_")) == last]
        or [*_closest(last, lasts, CLOSE_ELSEWHERE), *_prolonged(last, lasts)]
    )
    return list(dict.fromkeys(found))[:3]


def _setting_names(group: object, prefix: str = "") -> Iterator[str]:
    """Yield the names of all settings and groups of a model."""
    for name, kind in _members(group).items():
        yield prefix + name
        yield from _setting_names(kind, f"{prefix}{name}.")


def _members(kind: object) -> Mapping[str, object]:
    """Return the settings of a group with their types; none for other types."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: field.annotation for name, field in kind.model_fields.items()}
    if kinds := find_kinds(kind):
        return {name: member for each in reversed(kinds.values()) for name, member in _members(each).items()}
    return get_type_hints(kind) if isinstance(kind, type) and is_dataclass(kind) else {}


def find_kinds(annotation: object) -> dict[str, type[BaseModel]]:
    """Return the models of a group that has kinds, by the value of its setting `kind`; none for other types."""
    union = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    models = [each for each in get_args(union) if isinstance(each, type) and issubclass(each, BaseModel)]
    return {kind.default: each for each in models if (kind := each.model_fields.get("kind")) is not None}


def find_foreign(union: object, settings: Mapping[str, object]) -> list[str]:
    """Return the names of settings that only other kinds of their group have.

    Args:
        union: The type of the group; its first kind is the default.
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
    kind = settings.get("kind", next(iter(kinds)))
    own = kinds.get(kind) if isinstance(kind, str) else None
    known = {name for kind in kinds.values() for name in kind.model_fields}
    return [] if own is None else [name for name in settings if name in known and name not in own.model_fields]


def keep_own(model: type[BaseModel], stored: SettingsTree) -> SettingsTree:
    """Return stored settings of a model without those of other kinds, which earlier versions stored too."""
    kept = dict(stored)
    for group, field in model.model_fields.items():
        settings = stored.get(group)
        if isinstance(settings, dict) and find_kinds(field.annotation):
            kept[group] = _without(settings, find_foreign(field.annotation, settings))
    return kept


def complete_kind(union: object, settings: object) -> object:
    """Add the default kind to settings of a group, and leave out those of other kinds that have their defaults.

    Before 0.2.0, the complete configuration of a run listed the settings of all kinds.
    """
    if not isinstance(settings, Mapping):
        return settings
    kinds = find_kinds(union)
    unused = [name for name in find_foreign(union, settings) if _is_default(kinds.values(), name, settings[name])]
    return {"kind": next(iter(kinds))} | {name: value for name, value in settings.items() if name not in unused}


def _is_default(kinds: Iterable[type[BaseModel]], name: str, value: object) -> bool:
    """Return whether a setting has its default in the first kind that has it, which all kinds had in 0.1.0."""
    field = next(kind.model_fields[name] for kind in kinds if name in kind.model_fields)
    default = field.get_default(call_default_factory=True)
    if isinstance(default, Settings) and isinstance(value, Mapping):
        with suppress(ConfigError):
            value = to_jsonable_python(build(type(default), value, name))
    return value is None or value == to_jsonable_python(default)


def _closest(name: str, lasts: Mapping[str, str], cutoff: float) -> list[str]:
    """Return the settings with the one last part that is closest to a name."""
    nearest = difflib.get_close_matches(name, set(lasts.values()), n=1, cutoff=cutoff)
    return [key for key, last in lasts.items() if last in nearest]


def _prolonged(name: str, lasts: Mapping[str, str]) -> list[str]:
    """Return the settings whose last part is a name with more words or with fewer."""
    return [key for key, last in lasts.items() if last.startswith(f"{name}_") or name.startswith(f"{last}_")]


def _error(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
    """Return an error with pydantic's messages under the names of the settings; of very many, the first ones."""
    errors = error.errors(include_url=False)
    found: dict[str, list[str]] = {}  # the beginning of a sentence, and of a union the message of each member
    for each in errors[:MAX_EXPLAINED]:
        key, value = _locate(model, each["loc"]), each["input"]
        if each["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            found[_explain_unknown(model, key, each)] = []
        else:
            begin = key if isinstance(value, Mapping) else f"{key} = {_show(value)}"
            found.setdefault(begin, []).append(explain_value(each))
    sentences = [": ".join(filter(None, (begin, ", or ".join(found[begin])))) for begin in found]
    if len(errors) > MAX_EXPLAINED:
        sentences.append(f"and {len(errors) - MAX_EXPLAINED:,} more mistakes")
    return ConfigError(f"{where}: {'; '.join(sentences)}")


def explain_value(error: ErrorDetails) -> str:
    """Return the message of pydantic about a value, or that of a check of our own without pydantic's prefix."""
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return f"expected {PATTERNS[context['pattern']]}"
    return str(context["error"]).rstrip(".") if error["type"] == "value_error" else shorten(error["msg"], 500)


def _locate(model: type[BaseModel], location: Iterable[str | int]) -> str:
    """Return the name of a setting, with the index of a value in a list, for a location of pydantic.

    A location also names the members of unions.
    """
    names: list[str] = []
    kind: object = model
    for part in location:
        if isinstance(part, int):
            return f"{'.'.join(names)}[{part}]"
        if part in (kinds := find_kinds(kind)):
            kind = kinds[part]
            continue
        members = _members(kind)
        if members or get_origin(kind) is dict:
            names.append(shorten(part))
        kind = members.get(part)
    return ".".join(names)


def _explain_unknown(model: type[BaseModel], key: str, error: ErrorDetails) -> str:
    *groups, kind, name = (None, *error["loc"])
    owners = _find_owners(model, groups[1:], name)
    if owners:
        group = key.rpartition(".")[0]
        return f"{key} = {_show(error['input'])}: needs {group}.kind = {join_names(owners)} (found {kind})"
    suggested = suggest_settings(model, key)
    if suggested:
        return f"unknown setting {key}, did you mean {join_names(suggested)}?"
    group = key.rpartition(".")[0]
    names = [name for name in _setting_names(model) if name.rpartition(".")[0] == group]
    return f"unknown setting {key}, expected one of {', '.join(names)}"


def _find_owners(model: object, groups: Iterable[str | int | None], name: str | int | None) -> list[str]:
    """Return the kinds of a group that have a setting; none if the group has no kinds."""
    for group in groups:
        model = _members(model).get(str(group))
    return [kind for kind, each in find_kinds(model).items() if name in each.model_fields]


def _show(value: object) -> str:
    """Return a value as it is typed."""
    return json.dumps(value) if value is None or isinstance(value, bool) else shorten(repr(value))
