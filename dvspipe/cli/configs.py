"""Included configurations and sensor presets: list, show and copy them."""

from __future__ import annotations

from pathlib import Path

from ..base.files import claim_output, write_text
from ..base.texts import Described, TextTable
from ..base.yaml_files import read_text, shipped_configs

USES = {"": "dvspipe train {}", "sensors": "dvspipe convert VIDEO -o EVENTS.h5 --preset {}"}
"""How to use each kind of configuration."""


class ConfigList(Described):
    """Included configurations."""

    def describe(self) -> list[str | TextTable]:
        """Return the names of each kind, with the comment in their first lines."""
        parts: list[str | TextTable] = []
        for kind, use in USES.items():
            table = TextTable()
            for name in shipped_configs(kind):
                first = read_text(name, kind=kind).partition("\n")[0]
                table.add_row(f"  {name}", first.removeprefix("#").strip() if first.startswith("#") else "")
            parts += [use.format("NAME"), table]
        return parts

    def to_record(self) -> dict[str, list[str]]:
        """Return the names by kind."""
        return {kind or "experiments": shipped_configs(kind) for kind in USES}


def list_configs() -> ConfigList:
    """List included experiments and sensor presets, and the commands to use them."""
    return ConfigList()


def show(name: str) -> str:
    """Print an included configuration as YAML.

    Args:
        name: Name of an included experiment or sensor preset.
    """
    return read_text(name, kind=_find_kind(name)).rstrip()


def copy(name: str, file: Path, *, overwrite: bool = False) -> str:
    """Copy an included configuration to a file, for editing.

    Args:
        name: Name of an included experiment or sensor preset.
        file: YAML file to write.
        overwrite: Replace an existing file.
    """
    kind = _find_kind(name)
    claim_output(file, overwrite=overwrite)

    text = read_text(name, kind=kind)
    write_text(file, text.replace(f"name: {name}\n", f"name: {file.stem}\n"))  # the name is the default run folder
    return f"{file}: copy of {name}; use it with {USES[kind].format(file)}"


def _find_kind(name: str) -> str:
    return next((kind for kind in USES if name in shipped_configs(kind)), "")
