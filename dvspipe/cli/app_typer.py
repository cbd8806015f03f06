"""Entry point of the command line. Commands import heavy modules when they run, to keep --help fast."""

from __future__ import annotations

# mypy: ignore-errors
import logging
from typing import TYPE_CHECKING, Annotated

import typer
from typer.core import TyperCommand, TyperGroup

from .adapt import adapt
from .analysis import calibrate, compare, view
from .encode import encode
from .export import export
from .frames import frames
from .neuron import neuron
from .quantise import quantise
from .screen import (
    notes,
    screen,
    show_activity,
    show_log,
)
from .track import track

if TYPE_CHECKING:
    from typer._click.core import Context, Parameter

COMMANDS = {
    "Commands": {
        "view": view,
    },
    "Recordings": {
        "frames": frames,
        "compare": compare,
        "calibrate": calibrate,
        "track": track,
    },
    "Classifiers": {"adapt": adapt, "quantise": quantise, "export": export},
    "Spikes": {"encode": encode, "neuron": neuron},
}
"""Commands by the headings of the help and by name."""
BY_NAME = {name: command for commands in COMMANDS.values() for name, command in commands.items()}
PANELS = {name: panel for panel, commands in COMMANDS.items() for name in commands}
NO_MEMORY = "not enough memory ({}); use fewer steps, a smaller batch or more downsampling"
NOT_INSTALLED = "this command needs {}, but it is not installed; pip install dvspipe installs all dependencies"
LEFT_OUT = frozenset({"norse", "sklearn", "tonic", "torch"})  # missing from requirements/convert.txt
QUIET_HELP = "Print only results, warnings and errors."
ENDLESS = frozenset({"app", "live"})
"""Commands that run until they are stopped; they show their own state."""


def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print informational messages, too.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help=QUIET_HELP)] = False,
) -> None:
    """Set the verbosity; without a command, print the help."""
    notes.quiet = quiet
    if version:
        from importlib.metadata import version as version_of

        screen.print(f"dvspipe {version_of('dvspipe')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        screen.print(context.get_help())
        raise typer.Exit
    show_log(logging.INFO if verbose and not quiet else logging.WARNING)
    if context.invoked_subcommand not in ENDLESS:
        context.with_resource(show_activity())


class _Command(TyperCommand):
    """Command whose help shows no type after switches."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters for the help and the parser."""
        return _hide_types(super().get_params(ctx))


class _Group(TyperGroup):
    """Group of commands whose help shows no type after switches."""

    def get_params(self, ctx: Context) -> list[Parameter]:
        """Return the parameters for the help and the parser."""
        return _hide_types(super().get_params(ctx))


def _hide_types(parameters: list[Parameter]) -> list[Parameter]:
    for parameter in parameters:
        if getattr(parameter, "is_flag", False):
            parameter.metavar = ""
    return parameters


def _create() -> typer.Typer:
    """Create the app without commands."""
    created = typer.Typer(
        name="dvspipe",
        cls=_Group,
        help="Event-camera perception from an ordinary video to a label.",
        epilog="First steps: dvspipe demo; dvspipe convert VIDEO -o EVENTS.h5; dvspipe view EVENTS.h5 -o PREVIEW.webm",
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    created.callback(invoke_without_command=True)(start)
    return created


app = _create()
for _name, _command in BY_NAME.items():
    app.command(_name, cls=_Command, rich_help_panel=PANELS[_name])(_command)  # type: ignore[type-var]
