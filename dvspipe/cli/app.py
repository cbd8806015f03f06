"""The commands. Heavy modules are imported inside the command that needs them, so that --help is quick."""

from __future__ import annotations

import logging
import signal
from typing import Annotated

import typer

from ..errors import DvspipeError
from .analysis import calibrate, compare, view
from .configs import configs
from .convert import convert
from .data import data
from .encode import encode
from .export import export
from .infer import infer
from .neuron import neuron
from .options import explain_usage
from .recordings import check, cut, filter_, info, merge
from .screen import EXIT_ERROR, EXIT_INTERRUPTED, Interrupt, describe_error, fail, screen, show_log
from .synth import synth
from .training import demo, evaluate, train

COMMANDS = (
    convert, info, check, view, cut, merge, filter_, compare, calibrate, encode, neuron, train, evaluate, infer, export,
    demo,
)  # fmt: skip
NAMES = {"filter_": "filter", "evaluate": "eval"}

app = typer.Typer(
    name="dvspipe",
    help="Event-camera perception from an ordinary video to a label.",
    epilog="First steps: dvspipe demo; dvspipe convert VIDEO -o EVENTS.h5; dvspipe view EVENTS.h5 -o PREVIEW.webm",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in COMMANDS:
    app.command(NAMES.get(command.__name__, command.__name__))(command)
app.add_typer(data, name="data")
app.add_typer(configs, name="configs")
app.add_typer(synth, name="synth")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Print more messages.")] = False,
) -> None:
    """Set up logging for every command."""
    if version:
        from importlib.metadata import version as version_of

        screen.print(f"dvspipe {version_of('dvspipe')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        screen.print(context.get_help())
        raise typer.Exit
    show_log(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Run the command line; an error that the user can solve is one line and exit code 2."""
    signal.signal(signal.SIGINT, Interrupt.handle)
    try:
        code = app(standalone_mode=False)  # typer turns Ctrl-C into this code
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
    except DvspipeError as error:
        fail(describe_error(error), EXIT_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        fail("interrupted", EXIT_INTERRUPTED)
    except MemoryError as error:
        fail(f"not enough memory ({error}); use fewer steps, a smaller batch or more downsampling", EXIT_ERROR)
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}", EXIT_ERROR)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a defect of dvspipe: show the traceback
            raise
        fail(explain_usage(error), EXIT_ERROR)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be interrupted
