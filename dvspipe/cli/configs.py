"""Command `configs`: list, show and copy included configurations."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from ..base.texts import TextTable
from .options import Overwrite
from .screen import print_parts, screen

configs = App(name="configs", help_epilogue="", version_flags=[])

Name = Annotated[str, Parameter(help="Name of an included experiment or sensor preset.")]
CONFIG_KINDS = {"": "dvspipe train {}", "sensors": "dvspipe convert VIDEO -o EVENTS.h5 --preset {}"}
"""Kinds of configurations, and how to use each."""


@configs.default
@configs.command(name="list")
def list_() -> None:
    """List included experiments and sensor presets, and the commands to use them."""
    from ..base.yaml_files import read_text, shipped_configs

    for kind, command in CONFIG_KINDS.items():
        screen.print(command.format("NAME"))
        table = TextTable()
        for name in shipped_configs(kind):
            table.add_row(f"  {name}", _summary(read_text(name, kind=kind)))
        print_parts(table)

    screen.print(
        "dvspipe configs show NAME prints a configuration; dvspipe configs copy NAME FILE.yaml copies it for editing"
    )


@configs.command
def show(name: Name, /) -> None:
    """Print an included configuration as YAML."""
    from ..base.yaml_files import read_text

    screen.print(read_text(name, kind=_kind_of(name)).rstrip())


@configs.command
def copy(
    name: Name,
    file: Annotated[Path, Parameter(help="YAML file to write.")],
    /,
    *,
    overwrite: Overwrite = False,
) -> None:
    """Copy an included configuration to a file, for editing."""
    from ..base.files import claim_output, write_text
    from ..base.yaml_files import read_text

    kind = _kind_of(name)
    claim_output(file, overwrite=overwrite)

    text = read_text(name, kind=kind)
    write_text(file, text.replace(f"name: {name}\n", f"name: {file.stem}\n"))  # the name is the default run folder
    screen.print(f"{file}: copy of {name}; use it with {CONFIG_KINDS[kind].format(file)}")


def _kind_of(name: str) -> str:
    from ..base.yaml_files import shipped_configs

    return next((kind for kind in CONFIG_KINDS if name in shipped_configs(kind)), "")


def _summary(text: str) -> str:
    """Return the comment in the first line, or an empty string."""
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
