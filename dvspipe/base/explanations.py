"""Explanations of wrong settings: pydantic's errors as one message that names each setting and what is expected."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, get_origin

from pydantic import BaseModel, ValidationError

from .errors import ConfigError, join_names, list_expected, shorten
from .groups import KIND, find_kinds, setting_names, setting_types
from .patterns import PATTERNS
from .suggestions import suggest_settings

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

MAX_EXPLAINED = 10  # mistakes listed in a message; each suggestion takes 1 ms


def explain_mistakes(model: type[BaseModel], error: ValidationError, where: str) -> ConfigError:
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
    subject = key if isinstance(value, Mapping) else f"{key} = {format_input(value)}"
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
            return f"{key} = {format_input(error['input'])}: needs {group}.{KIND} = {needed} (found {kind})"

    suggested = suggest_settings(model, key)
    if suggested:
        return f"unknown setting {key}, did you mean {join_names(suggested)}?"

    names = [name for name in setting_names(model) if name.rpartition(".")[0] == group]
    return f"unknown setting {key}, {list_expected(names)}"


def _find_owners(model: object, groups: Iterable[str | int], name: str | int) -> list[str]:
    """Return the kinds of a group that have the setting `name`; empty if the group has no kinds."""
    kinds = find_kinds(_type_of(model, groups))
    return [kind for kind, owner in kinds.items() if name in owner.model_fields]


def _explain_kind(model: type[BaseModel], group: str, error: ErrorDetails) -> str:
    """Explain an unknown kind of a group of settings."""
    kind = error["ctx"]["tag"]
    kinds = list(find_kinds(_type_of(model, error["loc"])))

    similar = difflib.get_close_matches(kind, kinds, 1)
    hint = f"; did you mean {similar[0]}?" if similar else ""
    return f"{group}.{KIND} = {format_input(kind)}: unknown kind (expected {', '.join(kinds)}){hint}"


def _explain_group(model: type[BaseModel], key: str, error: ErrorDetails) -> str:
    """Explain a value that was given for a group of settings; empty for other errors."""
    names = [name for name in setting_names(model) if name.rpartition(".")[0] == key]
    is_group = error["type"] in ("model_type", "model_attributes_type", "dataclass_type") and names
    return f"a group of settings (expected NAME=VALUE with one of {', '.join(names)})" if is_group else ""


def _type_of(model: object, groups: Iterable[str | int]) -> object:
    """Return the type of a group of settings, given by the names on the way to it."""
    for group in groups:
        model = setting_types(model).get(str(group))
    return model


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

        types = setting_types(group)
        if types or get_origin(group) is dict:
            names.append(shorten(part))
        group = types.get(part)

    return ".".join(names)


def explain_value(error: ErrorDetails) -> str:
    """Return pydantic's message about a value; a message of our own validators loses pydantic's prefix."""
    context = error.get("ctx", {})
    if error["type"] == "string_pattern_mismatch" and context["pattern"] in PATTERNS:
        return f"expected {PATTERNS[context['pattern']]}"

    return str(context["error"]).rstrip(".") if error["type"] == "value_error" else shorten(error["msg"], 500)


def format_input(value: object) -> str:
    """Format a value as a user types it."""
    return json.dumps(value) if value is None or isinstance(value, bool) else shorten(repr(value))
