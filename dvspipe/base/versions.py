"""Versions of installed packages, which results are stored with."""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from importlib.metadata import PackageNotFoundError, version


def find_versions(*packages: str) -> dict[str, str]:
    """Return the versions of packages by name, without those that are not installed."""
    return dict(_find_versions(packages))


@cache
def _find_versions(packages: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    """Return names and versions; reading them takes 10 ms."""
    installed = []
    for name in packages:
        with suppress(PackageNotFoundError):
            installed.append((name, version(name)))
    return tuple(installed)
