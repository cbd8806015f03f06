"""Plug-ins: objects of other packages, found by their entry points."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points

from .errors import ConfigError


@cache
def find_plugins(group: str) -> Mapping[str, EntryPoint]:
    """Return the entry points of a group by name. They are read from the metadata: no package is imported."""
    return {point.name: point for point in entry_points(group=group)}


def load_plugin(group: str, name: str) -> object:
    """Import the object of an entry point.

    Raises:
        ConfigError: If importing it fails.
    """
    point = find_plugins(group)[name]
    try:
        return point.load()
    except Exception as error:  # the code of another package may raise anything
        reason = f"{type(error).__name__}: {' '.join(str(error).split())}".removesuffix(": ")
        raise ConfigError(f"{describe_plugin(group, name)}: cannot be loaded ({reason})") from error


def describe_plugin(group: str, name: str) -> str:
    """Describe an entry point for messages: its name and its package."""
    package = find_plugins(group)[name].dist
    source = "an unnamed package" if package is None else f"{package.name} {package.version}"
    return f"plug-in {name} of {source}"
