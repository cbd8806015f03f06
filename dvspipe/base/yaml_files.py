"""YAML files of settings, of users and included ones, as plain values."""

from __future__ import annotations

import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from .errors import ConfigError, shorten

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
YAML_BOOL = "tag:yaml.org,2002:bool"
YAML_DATE = "tag:yaml.org,2002:timestamp"
MAX_BYTES = 1 << 18  # configurations have a few kB; parsing 1 MB of YAML takes 10 s


class _Loader(yaml.SafeLoader):
    """YAML loader for plain values: dates and `off` are text, and only true and false are booleans, as in YAML 1.2."""

    yaml_implicit_resolvers = {  # noqa: RUF012  (as in the base class)
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in (YAML_BOOL, YAML_DATE)]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


_Loader.add_implicit_resolver(YAML_BOOL, re.compile(r"^(true|True|TRUE|false|False|FALSE)$"), [*"tTfF"])


def configs_folder() -> Path:
    """Return the folder of included YAML files: in the package if installed, next to it in a checkout."""
    inside = PACKAGE_FOLDER / "configs"
    return inside if inside.is_dir() else PACKAGE_FOLDER.parent / "configs"


def shipped_configs(kind: str = "") -> list[str]:
    """Return the sorted names of included experiments, or of included files of another kind, such as `sensors`."""
    return sorted(path.stem for path in (configs_folder() / kind).glob("*.yaml"))


def is_included(name: str | Path, names: Collection[str], *, is_here: bool) -> bool:
    """Return whether a name is the name of an included file.

    Args:
        name: Name, or path of a user's file or folder.
        names: Names of included files.
        is_here: Whether the user has a file or folder of this name that could be meant.

    Raises:
        ConfigError: If both exist.
    """
    if str(name) not in names:
        return False
    if is_here:
        raise ConfigError(
            f"{name}: is included in dvspipe and exists in the current folder, too; write ./{name} for your own, or "
            "work in another folder for the included one"
        )
    return True


def read_text(source: str | Path, *, kind: str = "") -> str:
    """Return the text of a YAML file.

    Args:
        source: Path of the file, or name of an included file.
        kind: Kind of included files, such as `sensors`; empty: experiments.

    Raises:
        ConfigError: If the file does not exist or is not text, or the name has two meanings.
        FileError: If it cannot be read, or has more than 256 KiB.
    """
    path = Path(source)
    names = shipped_configs(kind)
    if is_included(source, names, is_here=path.is_file()):
        path = configs_folder() / kind / f"{source}.yaml"
    elif not path.is_file():
        places = "a YAML file" if kind else "a folder of recordings, a YAML file"
        raise ConfigError(f"{source}: not a configuration (expected {places} or one of {', '.join(names)})")

    try:
        text = path.read_text(encoding="utf-8") if path.stat().st_size <= MAX_BYTES else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text ({error})") from error

    if not text.strip():
        raise ConfigError(f"{path}: an empty file, or larger than a configuration ({MAX_BYTES:,} bytes)")
    return text


def parse_yaml(text: str, where: str) -> Any:
    """Return the plain values of a YAML text; errors begin with `where`."""
    try:
        return yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise ConfigError(f"{where}: not valid YAML: {shorten(' '.join(str(error).split()))}") from error
