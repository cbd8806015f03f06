"""Settings as trees of plain values: merge two trees, and find their differences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from pydantic import JsonValue

from .groups import KIND, find_foreign

SettingsTree = dict[str, JsonValue]
"""Unchecked settings: a value or a nested group for each name."""


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
