"""Settings by name: the keywords of a function have the names and the types of the settings of a model."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import is_dataclass
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from facts import raises

import dvspipe
from dvspipe.base.config import Settings, find_kinds, name_settings
from dvspipe.base.errors import ConfigError, DvspipeError

PACKAGE = Path(dvspipe.__file__).parent
UNTYPED = {"events/methods.py"}
KEYWORDS = re.compile(r"Unpack\[(\w+)\]")
MODEL = re.compile(r"Settings of `(\w+)` by name")


def find_types() -> dict[str, Any]:
    """Return the types of keywords by name; verbs import those of rooms with torch only for type checkers."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        for name in re.findall(r"^class (\w+Keywords)\(", path.read_text(encoding="utf-8"), re.MULTILINE):
            parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
            found[name] = getattr(importlib.import_module(".".join(parts)), name)
    return found


def find_functions() -> dict[str, tuple[Callable[..., object], Any]]:
    """Return each function and method that takes settings by name, and the type of its keywords."""
    found: dict[str, tuple[Callable[..., object], Any]] = {}
    types = find_types()
    for path in sorted(PACKAGE.rglob("*.py")):
        if not KEYWORDS.search(path.read_text(encoding="utf-8")):
            continue

        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        module = importlib.import_module(".".join(parts))
        classes = [
            each for _, each in inspect.getmembers(module, inspect.isclass) if each.__module__ == module.__name__
        ]
        for owner in (module, *classes):
            for _, member in inspect.getmembers(owner, inspect.isroutine):
                function = inspect.unwrap(member)
                keywords = KEYWORDS.fullmatch(str(getattr(function, "__annotations__", {}).get("named")))
                if keywords and function.__module__ == module.__name__:
                    found[f"{module.__name__}.{function.__qualname__}"] = function, types[keywords[1]]
    return found


FUNCTIONS = find_functions()


def list_settings(kind: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], object]]:
    """Yield the path and the type of each setting and group; a setting of several kinds once for each of them."""
    kinds = list(find_kinds(kind).values()) or ([kind] if is_model(kind) else [])
    for model in kinds:
        for name, field in model.model_fields.items():
            yield (*path, name), field.annotation
            yield from list_settings(field.annotation, (*path, name))


def is_model(kind: object) -> bool:
    return inspect.isclass(kind) and issubclass(kind, Settings)


def find_accepted(model: Any) -> dict[str, list[object]]:
    """Return the types of each setting of a model that a name alone stands for."""
    if is_dataclass(model):
        return {name: [kind] for name, kind in get_type_hints(model).items()}

    types = defaultdict[tuple[str, ...], list[object]](list)
    for path, kind in list_settings(model):
        types[path].append(kind)
    return {path[-1]: kinds for path, kinds in types.items() if not is_model(model) or is_found(model, path)}


def is_found(model: type[Settings], path: Sequence[str]) -> bool:
    """Return whether the last part of a path stands for it."""
    nested: Any = None
    for name in reversed(path):
        nested = {name: nested}
    try:
        return name_settings(model, {path[-1]: None}) == nested
    except ConfigError:  # other groups have a setting with this name
        return False


def list_members(kind: object) -> list[object]:
    """Return the members of a union, and the values of a literal as literals."""
    origin, members = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return list_members(members[0])
    if origin in (Union, UnionType):
        return [each for member in members for each in list_members(member)]
    return [Literal[value] for value in members] if origin is Literal else [kind]


def accepts(wide: object, narrow: object) -> bool:
    """Return whether each value of the type `narrow` is a value of the type `wide`."""
    return all(any(fits(each, member) for member in list_members(wide)) for each in list_members(narrow))


def fits(narrow: object, wide: object) -> bool:
    pair = get_origin(narrow), get_origin(wide)
    if pair in ((tuple, Sequence), (dict, Mapping)):
        return accepts(get_args(wide)[-1], [each for each in get_args(narrow) if each is not Ellipsis][-1])
    return narrow == wide or (pair[0] is Literal and wide is type(get_args(narrow)[0]))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_keywords_are_the_settings_of_the_model(name: str) -> None:
    function, keywords = FUNCTIONS[name]
    model = MODEL.match(keywords.__doc__)
    assert model
    accepted = find_accepted(getattr(sys.modules[keywords.__module__], model[1]))
    types = get_type_hints(keywords, include_extras=True)
    arguments = inspect.signature(function).parameters.keys()
    assert types.keys() == accepted.keys() - arguments
    assert not keywords.__required_keys__
    for setting, kinds in accepted.items():
        for kind in kinds:
            assert setting in arguments or accepts(types[setting], kind), (setting, types[setting], kind)


def test_settings_by_name_have_types() -> None:
    found = {path for path in PACKAGE.rglob("*.py") if "**named: object" in path.read_text(encoding="utf-8")}
    assert {path.relative_to(PACKAGE).as_posix() for path in found} <= UNTYPED


def test_wrong_types_are_errors_for_type_checkers_and_at_run_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The type checker of `scripts/check static` reports each missing error as an unused comment."""
    monkeypatch.chdir(tmp_path)
    with raises(DvspipeError, "nowhere"):
        dvspipe.train("nowhere", epochs=3, channels=[8, 16], bins={"steps": 10}, root="recordings")
    with raises(ConfigError, "optimiser.epochs", "x"):
        dvspipe.train({}, epochs="x")  # type: ignore[arg-type]
    with raises(ConfigError, "train", "epoch", "did you mean epochs?"):
        dvspipe.train({}, epoch=3)  # type: ignore[call-arg]
    with raises(ConfigError, "video.fps", "fast"):
        dvspipe.convert_video("nowhere.mp4", "a.h5", fps="fast")  # type: ignore[arg-type]
