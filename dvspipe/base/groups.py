"""Names, types and kinds of the settings in a model.

A name with dots, such as `network.channels`, is a setting in a group. A group may be a union of models, its kinds: the
setting `kind` selects one of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import is_dataclass
from typing import Annotated, get_args, get_origin, get_type_hints

from pydantic import BaseModel

KIND = "kind"  # name of the setting that selects the kind of a group


def setting_names(group: object, prefix: str = "") -> Iterator[str]:
    """Yield the dotted names of all settings and groups of a model."""
    for name, annotation in setting_types(group).items():
        yield prefix + name
        yield from setting_names(annotation, f"{prefix}{name}.")


def setting_types(group: object) -> Mapping[str, object]:
    """Return the type of each setting of a group; empty for other types."""
    if isinstance(group, type) and issubclass(group, BaseModel):
        return {name: field.annotation for name, field in group.model_fields.items()}
    if kinds := find_kinds(group):
        # The first kind is the default: it is last, so its types win if kinds have the same names.
        types: dict[str, object] = {}
        for model in reversed(kinds.values()):
            types |= setting_types(model)
        return types

    return get_type_hints(group) if isinstance(group, type) and is_dataclass(group) else {}


def find_kinds(annotation: object) -> dict[str, type[BaseModel]]:
    """Map each value of the setting `kind` to its model, for groups with kinds; empty for other types."""
    union = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    models = [model for model in get_args(union) if isinstance(model, type) and issubclass(model, BaseModel)]
    return {field.default: model for model in models if (field := model.model_fields.get(KIND)) is not None}


def find_unions(model: type[BaseModel]) -> dict[str, object]:
    """Return the types of the groups with kinds, by name."""
    return {name: field.annotation for name, field in model.model_fields.items() if find_kinds(field.annotation)}


def find_foreign(union: object, settings: Mapping[str, object]) -> list[str]:
    """Return the names of settings that belong only to other kinds of their group.

    Args:
        union: Type of the group, a union of its kinds; the first kind is the default.
        settings: Settings of the group.

    Example:
        >>> from typing import Literal
        >>> class Circle(BaseModel):
        ...     kind: Literal["circle"] = "circle"
        ...     radius: float = 1.0
        >>> class Square(BaseModel):
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
