"""YAML files of settings, of users and included ones, as trees of plain values."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from pydantic import JsonValue

from .errors import ConfigError, shorten
from .files import read_bytes
from .trees import SettingsTree

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
YAML_BOOL = "tag:yaml.org,2002:bool"
YAML_DATE = "tag:yaml.org,2002:timestamp"
MAX_YAML_BYTES = 1 << 18  # configurations have a few kB; parsing 1 MB of YAML takes 10 s
YAML_ERRORS = (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError, RecursionError)
"""Errors of PyYAML, such as AttributeError for !!timestamp x."""


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


_Loader.add_implicit_resolver(YAML_BOOL, re.compile("^(true|false)$", re.IGNORECASE), [*"tTfF"])


def configs_folder() -> Path:
    """Return the folder of included YAML files: in the package if installed, next to it in a checkout."""
    inside = PACKAGE_FOLDER / "configs"
    return inside if inside.is_dir() else PACKAGE_FOLDER.parent / "configs"


def shipped_configs(kind: str = "") -> list[str]:
    """Return the sorted names of included experiments, or of included files of another kind, such as `sensors`."""
    return sorted(path.stem for path in (configs_folder() / kind).glob("*.yaml"))


def read_text(source: str | Path, *, kind: str = "") -> str:
    """Return the text of a YAML file.

    Args:
        source: Path of the file, or name of an included file.
        kind: Kind of included files, such as `sensors`; empty: experiments.

    Raises:
        ConfigError: If the file does not exist, or is not text.
        FileError: If it cannot be read, or has more than 256 KiB.
    """
    path = Path(source)
    if not path.is_file():
        path = configs_folder() / kind / f"{source}.yaml"

    places = "" if kind else "a folder of recordings, "
    if not path.is_file():
        names = ", ".join(shipped_configs(kind))
        raise ConfigError(f"{source}: not a configuration (expected {places}a YAML file or one of {names})")
    try:
        return read_bytes(path, MAX_YAML_BYTES).decode()
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not a text file (expected {places}a YAML file)") from error


def read_yaml(source: str | Path, *, kind: str = "") -> SettingsTree:
    """Return the settings of a YAML file; arguments as in `read_text`.

    Raises:
        ConfigError: If the file cannot be read, is not valid YAML, or contains something other than keys and values.
    """
    content = parse_yaml(read_text(source, kind=kind), str(source)) or {}
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: not a mapping (found {type(content).__name__}, expected keys and values)")
    return content


def parse_yaml(text: str, where: str) -> JsonValue:
    """Return the plain values of a YAML text; errors begin with `where`."""
    try:
        parsed: JsonValue = yaml.load(text, _Loader)
    except YAML_ERRORS as error:
        reason = " ".join(str(error).replace('in "<unicode string>",', "in").split())
        raise ConfigError(f"{where}: not valid YAML: {shorten(reason)}") from error
    return parsed
