"""The commands. Heavy modules are imported inside the command that needs them, so that --help stays quick."""

from __future__ import annotations

import logging
import signal
from typing import Annotated

import typer

from ..errors import DvspipeError
from .convert import convert
from .data import data
from .encode import encode
from .export import export
from .infer import infer
from .learning import demo, evaluate, train
from .recordings import calibrate, check, compare, cut, filter_, info, merge, view
from .screen import EXIT_ERROR, EXIT_INTERRUPTED, fail, interrupt, screen, show_error, show_log
from .synth import synth

app = typer.Typer(
    name="dvspipe",
    help="Event-camera perception from an ordinary video to a label.",
    epilog="First steps: dvspipe demo; dvspipe convert VIDEO -o EVENTS.h5; dvspipe view EVENTS.h5 -o PREVIEW.webm",
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (
    convert,
    info,
    check,
    view,
    cut,
    merge,
    filter_,
    compare,
    calibrate,
    encode,
    train,
    infer,
    export,
    demo,
):
    app.command(command.__name__.rstrip("_"))(command)
app.command("eval")(evaluate)
app.add_typer(data, name="data")
app.add_typer(synth, name="synth")


@app.callback(invoke_without_command=True)
def start(
    context: typer.Context,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Say more of what happens.")] = False,
) -> None:
    """Sets up logging, for every command."""
    if version:
        from importlib.metadata import version as version_of

        screen.print(f"dvspipe {version_of('dvspipe')}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        screen.print(context.get_help())
        raise typer.Exit
    show_log(logging.INFO if verbose else logging.WARNING)


def main() -> None:
    """Runs the command line; what a user can mend ends in one line and exit code 2."""
    signal.signal(signal.SIGINT, interrupt)
    try:
        code = app(standalone_mode=False)  # typer turns Ctrl-C into this code
        if code == EXIT_INTERRUPTED:
            raise KeyboardInterrupt
    except DvspipeError as error:
        fail(show_error(error), EXIT_ERROR)
    except (KeyboardInterrupt, typer.Abort):
        fail("stopped", EXIT_INTERRUPTED)
    except MemoryError as error:
        fail(f"not enough memory ({error}); fewer steps, a smaller batch or more downsampling need less", EXIT_ERROR)
    except OSError as error:
        fail(f"{error.filename or 'input or output'}: {error.strerror or error}", EXIT_ERROR)
    except Exception as error:
        if not hasattr(error, "format_message"):  # a mistake of ours, not of the one who typed
            raise
        fail(error.format_message(), EXIT_ERROR)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # nothing is left to be stopped
