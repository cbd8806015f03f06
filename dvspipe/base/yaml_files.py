"""YAML files of settings, of users and included ones, as trees of plain values."""

from __future__ import annotations

import difflib
import re
from pathlib import Path

import yaml
from pydantic import JsonValue

from .errors import ConfigError, shorten
from .trees import SettingsTree

PACKAGE_FOLDER = Path(__file__).resolve().parents[1]
YAML_BOOL = "tag:yaml.org,2002:bool"
YAML_DATE = "tag:yaml.org,2002:timestamp"
YAML_INT = "tag:yaml.org,2002:int"
MAX_YAML_BYTES = 1 << 18  # configurations have a few kB; parsing 1 MB of YAML takes 10 s
MAX_INT_BITS = 64


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
        ConfigError: If the file does not exist, cannot be read, is empty, is not text, or has more than 256 KiB.
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

    places = "YAML" if kind else "a folder of class folders with recordings, or a YAML file"
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)  # one byte more shows that a file is too large
        if len(content) > MAX_YAML_BYTES:
            most = f"of at most {MAX_YAML_BYTES:,} bytes"
            raise ConfigError(f"{path}: too large for a configuration (expected {places} {most})")
        if not content.strip():
            raise ConfigError(f"{path}: an empty file (expected {places})")
        return content.decode("utf-8").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
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
    content = parse_yaml(read_text(source, kind=kind), str(source))

    if content is None:
        return {}
    if not isinstance(content, dict):
        raise ConfigError(f"{source}: not a mapping (found {type(content).__name__}, expected keys and values)")
    return content


def parse_yaml(text: str, where: str) -> JsonValue:
    """Return the plain values of a YAML text; errors begin with `where`."""
    try:
        parsed: JsonValue = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError, LookupError, AttributeError, OverflowError) as error:  # tags such as !!int x
        raise ConfigError(f"{where}: not valid YAML: {shorten(_describe_yaml_error(error))}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: not valid YAML: nested too deeply") from error
    return parsed


def _describe_yaml_error(error: Exception) -> str:
    """Return the error message in one line, without PyYAML's placeholder for the file name."""
    return " ".join(str(error).replace('in "<unicode string>",', "in").split())
