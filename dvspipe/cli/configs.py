"""Shipped configurations: list, show, copy."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from .options import Overwrite
from .screen import make_table, screen

configs = typer.Typer(help="List, show and copy shipped experiments and sensor presets.", no_args_is_help=False)

Name = Annotated[str, typer.Argument(help="Name of an experiment or a sensor preset.")]
CONFIG_KINDS = {"": "dvspipe train {}", "sensors": "dvspipe convert VIDEO -o EVENTS.h5 --preset {}"}
"""Kinds of configurations, and the command that uses one."""


@configs.callback(invoke_without_command=True)
def start(context: typer.Context) -> None:
    """List them unless another command is given."""
    if context.invoked_subcommand is None:
        list_()


@configs.command("list")
def list_() -> None:
    """List all shipped configurations with the command that uses them."""
    from ..config import read_text, shipped_configs

    for kind, command in CONFIG_KINDS.items():
        screen.print(command.format("NAME"))
        table = make_table()
        for name in shipped_configs(kind):
            table.add_row(f"  {name}", _summary(read_text(name, kind=kind)))
        screen.print(table)
    screen.print("dvspipe configs show NAME prints one, dvspipe configs copy NAME FILE.yaml copies it to edit")


@configs.command()
def show(name: Name) -> None:
    """Print a configuration."""
    from ..config import read_text

    screen.print(read_text(name, kind=_kind_of(name)).rstrip())


@configs.command()
def copy(
    name: Name,
    out: Annotated[Path, typer.Argument(metavar="FILE", help="The YAML file to write.")],
    overwrite: Overwrite = False,
) -> None:
    """Copy a configuration to a file, to be edited."""
    from ..config import read_text
    from ..files import claim_output, write_text

    kind = _kind_of(name)
    claim_output(out, overwrite=overwrite)
    text = read_text(name, kind=kind)
    write_text(out, text.replace(f"name: {name}\n", f"name: {out.stem}\n"))  # which names the run folder
    screen.print(f"{out}: a copy of {name}; use it as {CONFIG_KINDS[kind].format(out)}")


def _kind_of(name: str) -> str:
    from ..config import shipped_configs

    return next((kind for kind in CONFIG_KINDS if name in shipped_configs(kind)), "")


def _summary(text: str) -> str:
    """Return the comment in the first line."""
    first = text.partition("\n")[0]
    return first.removeprefix("#").strip() if first.startswith("#") else ""
