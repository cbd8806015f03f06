"""Entry point of the command line. A command is imported when it runs, to keep --help fast."""

from __future__ import annotations

import logging
import re
import sys
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter, UnknownOptionError

from ..base.errors import DvspipeError
from ..hooks import Command, plugins
from .interrupts import EXIT_INTERRUPTED, Interrupt, catch_interrupts, ignore_interrupts
from .screen import EXIT_ERROR, accept_all_texts, close_output, describe_error, fail, notes, show_activity, show_log

GROUPS = "Data sets and configurations"
"""Heading of the groups of commands; a group is an app with its own commands."""
COMMANDS = {
    "First steps": {
        "convert": (".convert:convert", "Convert videos to events of a simulated camera, or recordings to formats."),
        "train": (".training:train", "Train a spiking classifier on labelled recordings, and test it."),
        "infer": (".infer:infer", "Classify recordings over time: labels, probabilities and segments."),
    },
    "Recordings": {
        "info": (".recordings:info", "Show format, sensor, events, duration and settings of recordings."),
        "check": (".recordings:check", "Find errors and unusual properties of recordings."),
        "cut": (".editing:cut", "Cut a recording in time and in space."),
        "merge": (".editing:merge", "Merge recordings of one sensor into one."),
        "filter": (".editing:filter_", "Remove noise from a recording."),
        "compare": (".recordings:compare", "Compare two recordings of the same scene."),
        "calibrate": (".analysis:calibrate", "Fit the pixel model to a recording with frames and events."),
    },
    "Classifiers": {
        "evaluate": (".training:evaluate", "Evaluate a classifier on a data set: accuracy, calibration, confusions."),
        "adapt": (".adapt:adapt", "Adapt a trained network to the sensor of unlabelled recordings."),
        "export": (".export:export", "Export a trained network as NIR, ONNX or C99 code."),
    },
    "Administration": {
        "doctor": (".doctor:doctor", "Examine what this machine has and lacks: webcams, libraries, GPU, caches."),
    },
    GROUPS: {
        "data": (".data:data", "Convert, check and verify data sets; show statistics and the kinds."),
        "configs": (".configs:configs", "List, show and copy included experiments and sensor presets."),
    },
}
"""Commands of the pipeline by the headings of the help: place and summary of each."""
ADDED = tuple(command for commands in plugins().hook.commands() for command in commands)
"""Commands of plug-ins."""
COMMAND_NAMES = frozenset(name for commands in COMMANDS.values() for name in commands) | {one.name for one in ADDED}

FIRST_STEPS = "First steps: dvspipe demo; dvspipe convert VIDEO -o EVENTS.h5; dvspipe view EVENTS.h5 -o PREVIEW.webm"
NO_MEMORY = "not enough memory ({}); use fewer steps, a smaller batch or more downsampling"
ENDLESS = frozenset({"app", "live"})
"""Commands that run until they are stopped; they show their own state."""


def show_default(value: object) -> str | None:
    """Return a default value as the help shows it; None: the help shows none, such as for switches."""
    if value is True:
        return "on; =false turns it off"
    return None if value is None or value is False else str(value)


def _create() -> App:
    """Create the command line with all commands, without importing them."""
    created = App(
        name="dvspipe",
        help="Event-camera perception from an ordinary video to a label.",
        help_epilogue=FIRST_STEPS,
        default_parameter=Parameter(negative=(), show_default=show_default),
        version_flags=[],
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
    )
    own = [
        Command(name, f"{__package__}{place}", summary, heading)
        for heading, commands in COMMANDS.items()
        for name, (place, summary) in commands.items()
    ]
    groups = {heading: Group.create_ordered(heading) for heading in COMMANDS}
    for position, command in enumerate((*own, *ADDED)):
        heading = command.heading
        group = groups.setdefault(heading, Group.create_ordered(heading))
        of_command = {} if heading == GROUPS else {"help_epilogue": ""}
        created.command(
            command.target, name=command.name, group=group, sort_key=position, help=command.summary, **of_command
        )
    return created


app = _create()
for each in (app, app.meta):
    each.suppress_keyboard_interrupt = False  # main prints that the command was interrupted
EVERY_COMMAND = Group("Every command", sort_key=1000)
app["--help"].group = EVERY_COMMAND
app.register_install_completion_command(group=EVERY_COMMAND, help="Install completion for the current shell.")
Switch = Parameter(group=EVERY_COMMAND, show_default=False)


@app.meta.default
def start(
    *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
    version: Annotated[bool, Switch] = False,
    verbose: Annotated[bool, Switch, Parameter(alias="-v")] = False,
    quiet: Annotated[bool, Switch, Parameter(alias="-q")] = False,
) -> None:
    """Run one command.

    Args:
        words: Command and its options.
        version: Print the version and exit.
        verbose: Print informational messages, too.
        quiet: Print only results, warnings and errors.
    """
    notes.quiet = quiet
    if version:
        from importlib.metadata import version as version_of

        notes.print(f"dvspipe {version_of('dvspipe')}")
        return
    show_log(logging.INFO if verbose and not quiet else logging.WARNING)
    if words and words[0] in ENDLESS:
        run(words)
        return
    with show_activity():
        run(words)


def run(words: tuple[str, ...]) -> None:
    """Run one command.

    As in Python, a setting of an inner group can be given by its own name if no other setting has it.
    """
    if words and words[0] in COMMAND_NAMES:
        app[words[0]].help = None  # the summary is for the list of commands; its own help has the text of the function
    try:
        app(words)
    except UnknownOptionError as error:
        from .usage import find_inner_option

        if (found := find_inner_option(error)) is None:
            raise
        option, full_name = found
        try:
            run(tuple(re.sub(rf"^{re.escape(option)}(?==|$)", full_name, word) for word in words))
        except CycloptsError as other:
            other.root_input_tokens = list(words)  # a message has the user's spelling
            raise


def main() -> None:
    """Run the command line. Errors that users can fix are printed in one line, with exit code 2."""
    catch_interrupts()
    accept_all_texts()
    try:
        app.meta(sys.argv[1:])
        if Interrupt.number is not None:
            raise KeyboardInterrupt
        sys.stdout.flush()
    except CycloptsError as error:
        from .usage import explain_usage

        fail(explain_usage(error), EXIT_ERROR)
    except DvspipeError as error:
        fail(describe_error(error), EXIT_ERROR)
    except KeyboardInterrupt:
        fail(Interrupt.describe(), EXIT_INTERRUPTED)
    except MemoryError as error:
        fail(NO_MEMORY.format(error), EXIT_ERROR)
    except BrokenPipeError:
        close_output()
    except OSError as error:
        fail(f"{error.filename or 'standard output'}: {error.strerror or error}", EXIT_ERROR)
    except Exception as error:
        if Interrupt.number is not None:  # another library may have turned the interrupt into an error
            fail(Interrupt.describe(), EXIT_INTERRUPTED)
        if isinstance(error, RuntimeError) and "can't allocate memory" in str(error):  # torch's MemoryError
            fail(NO_MEMORY.format(error), EXIT_ERROR)
        raise  # a bug in dvspipe: show the traceback
    finally:
        ignore_interrupts()
