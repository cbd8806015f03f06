"""Entry point of the command line. A command is loaded when it runs, to keep --help fast."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
from collections.abc import Sequence
from functools import cache, partial
from importlib.metadata import version as version_of
from typing import Annotated

from cyclopts import App, CycloptsError, Group, Parameter

from ..base.errors import DvspipeError, PartialError
from ..base.texts import find_similar
from ..hooks import Command, plugins
from .commands import load_command
from .screen import (
    EXIT_ERROR,
    EXIT_SOME_FAILED,
    Display,
    accept_all_texts,
    close_output,
    fail,
    screen,
    show_log,
    show_result,
)

FIRST = "First steps"
RECORDINGS = "Recordings"
CLASSIFIERS = "Classifiers"
OTHERS = "Data sets, configurations, this machine"
HEADINGS = (FIRST, RECORDINGS, CLASSIFIERS, OTHERS)
COMMANDS = (
    Command("convert", "dvspipe.recordings.conversion:convert", "Convert videos to events, or event formats.", FIRST),
    Command("train", "dvspipe.training.run:train", "Train a spiking classifier on labelled recordings.", FIRST),
    Command("infer", "dvspipe.inference.many:infer", "Classify recordings or videos over time.", FIRST),
    Command("info", "dvspipe.recordings.info:info", "Read and check recordings.", RECORDINGS),
    Command("cut", "dvspipe.recordings.editing:cut", "Cut a recording in time and in space.", RECORDINGS),
    Command("merge", "dvspipe.recordings.editing:merge", "Merge recordings of one sensor into one.", RECORDINGS),
    Command("filter", "dvspipe.recordings.editing:filter", "Remove noise from a recording.", RECORDINGS),
    Command("compare", "dvspipe.recordings.comparison:compare", "Compare two recordings of a scene.", RECORDINGS),
    Command("calibrate", "dvspipe.recordings.calibration:calibrate", "Fit the pixel model.", RECORDINGS),
    Command("evaluate", "dvspipe.training.evaluation:evaluate", "Evaluate a classifier on a data set.", CLASSIFIERS),
    Command("adapt", "dvspipe.inference.adaptation:adapt", "Adapt a network to a sensor.", CLASSIFIERS),
    Command("export", "dvspipe.checkpoints.export:export", "Export a network as NIR, ONNX or C code.", CLASSIFIERS),
    Command("doctor", "dvspipe.cli.doctor:doctor", "Examine what this machine has and lacks.", OTHERS),
    Command("data convert", "dvspipe.cli.data:convert", "Convert the videos of published lists to a data set.", OTHERS),
    Command("data stats", "dvspipe.cli.data:stats", "Show recordings, people and events per class.", OTHERS),
    Command("data verify", "dvspipe.cli.data:verify", "Compare a folder with its dataset.lock.", OTHERS),
    Command("configs", "dvspipe.cli.configs:configs", "List, show or copy configurations and presets.", OTHERS),
)
"""Commands of the pipeline."""


def list_commands() -> list[Command]:
    """Return the commands of the pipeline, and then those that plug-ins add."""
    added = (command for commands in plugins().hook.commands() for command in commands)
    return [*COMMANDS, *added]


EVERY_COMMAND = Group("Every command", sort_key=1000)
EPILOGUE = "First steps: dvspipe convert VIDEO -o events.h5; dvspipe infer gesture VIDEO"
NO_MEMORY = "not enough memory ({}); use fewer steps, a smaller batch or more downsampling"


def create_app(names: Sequence[str], **filled_in: object) -> App:
    """Create the command line.

    Args:
        names: First words of the command; only the command that they name is loaded.
        filled_in: Values of parameters that commands do not have as options.
    """
    created = App(
        name="dvspipe",
        help="Event-camera perception from an ordinary video to a label.",
        help_epilogue=EPILOGUE,
        default_parameter=Parameter(negative=(), show_default=_show_default),
        version_flags=[],
        exit_on_error=False,
        print_error=False,
        result_action="return_value",
        suppress_keyboard_interrupt=False,
    )
    created["--help"].group = EVERY_COMMAND
    created.meta.suppress_keyboard_interrupt = False  # the meta app does not inherit it
    families: dict[str, App] = {}
    commands = list_commands()
    for position, command in enumerate(commands):
        family, _, name = command.name.rpartition(" ")
        is_named = [*names[: 1 + bool(family)]] == command.name.split()
        function = load_command(command.target, filled_in) if is_named else _stand_in
        summary = None if is_named else command.summary

        # A family of commands, such as data, is an app of its own.
        parent = created
        if family:
            if family not in families:
                members = [one.name.split()[1] for one in commands if one.name.startswith(f"{family} ")]
                families[family] = App(
                    name=family,
                    help=f"Commands: {', '.join(members)}.",
                    help_epilogue="",
                    version_flags=[],
                    group=_head(command.heading),
                    sort_key=position,
                )
                created.command(families[family])
            parent = families[family]

        group = None if family else _head(command.heading)
        parent.command(function, name=name, sort_key=position, help_epilogue="", group=group, help=summary)
    return created


@cache
def _head(heading: str) -> Group:
    position = HEADINGS.index(heading) if heading in HEADINGS else len(HEADINGS)
    return Group(heading, sort_key=position)


def _stand_in() -> None:
    """Stand for a command in the list of commands."""


def _show_default(value: object) -> str | None:
    if value is True:
        return "on; =false turns it off"
    return None if value in (None, False, "", ()) else str(value)


Switch = Parameter(group=EVERY_COMMAND, show_default=False)


def run(arguments: Sequence[str]) -> None:
    """Run one command, and print its result."""
    names = [word for word in arguments if not word.startswith("-")][:2]
    display = Display(" ".join(names[:1]))
    signal.signal(signal.SIGTERM, display.stop)
    if signal.getsignal(signal.SIGINT) != signal.SIG_IGN:  # it is ignored after nohup, for example
        signal.signal(signal.SIGINT, display.stop)

    app = create_app(names, progress=display)

    @app.meta.default
    def start(
        *words: Annotated[str, Parameter(show=False, allow_leading_hyphen=True)],
        json: Annotated[bool, Switch] = False,
        quiet: Annotated[bool, Switch, Parameter(alias="-q")] = False,
        verbose: Annotated[bool, Switch, Parameter(alias="-v")] = False,
        version: Annotated[bool, Switch] = False,
    ) -> object:
        """Run one command.

        Args:
            words: Command and its options.
            json: Print results as lines of JSON.
            quiet: Print only results, warnings and errors.
            verbose: Print details, too.
            version: Print the version and exit.
        """
        if version:
            return f"dvspipe {version_of('dvspipe')}"

        screen.as_json = json
        display.quiet = quiet
        level = logging.DEBUG if verbose else logging.INFO
        show_log(logging.WARNING if quiet else level, partial(spell_options, app=app, names=names))
        return app(words)

    try:
        result = app.meta(arguments)
    except DvspipeError as error:
        error.args = (spell_options(str(error), app, names),)
        raise
    finally:
        display.close()
    # Processes of torchrun train one network, and have the same result.
    is_first = names[:1] != ["train"] or os.environ.get("WORLD_SIZE", "1") == "1" or os.environ.get("RANK", "0") == "0"
    if result is not None and is_first and (problem := show_result(result)):
        fail(spell_options(problem, app, names), EXIT_SOME_FAILED)


def spell_options(message: str, app: App, names: Sequence[str]) -> str:
    """Return a message whose advice has the options of a command as they are typed, instead of their Python names.

    A file that needs an option of reading it, which the command lacks, is converted with this option first.

    Args:
        message: Message that has `; use NAME=VALUE ...` or `; use NAME ...`, and further names after `or`.
        app: Command line.
        names: First words of the command.
    """
    problem, use, advice = message.partition("; use ")
    if not use:
        return message

    command = app
    for name in names:
        if name in command:
            command = command[name]
    options = {name for argument in command.assemble_argument_collection() for name in argument.names}

    from ..recordings.config import ConvertConfig  # only advice needs it

    takes_words = any("KEY=VALUE" in option for option in options)
    of_convert = set() if takes_words else ConvertConfig.model_fields.keys()

    def spell(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        option = f"--{name.replace('_', '-')}"
        if option not in options:
            if name not in of_convert:
                return match[0]
            option = f"dvspipe convert {option}"
        if match[3]:  # a switch takes no separate word
            return f"{option}={match[3]}"
        return f"{option} " if match[2] else option

    words = r"(?:(?<=; use )|(?<=\bor ))([a-z_]+)(?![\w=])|\b([a-z_]+)=(true|false)?"
    return problem + re.sub(words, spell, use + advice)


def _keep_near(suggestion: re.Match[str]) -> str:
    """Return an unknown name with the suggestion of cyclopts, if they are similar."""
    typed, known = (name.strip('"') for name in suggestion.groups())
    return suggestion[0] if find_similar(typed, [known]) else f"{suggestion[1]}."


def main() -> None:
    """Run the command line. Errors that users can fix are printed in one line, with exit code 2."""
    accept_all_texts()
    try:
        run(sys.argv[1:])
        sys.stdout.flush()
    except CycloptsError as error:
        text = re.sub(r"(\S+)\. Did you mean (\S+)\?", _keep_near, str(error))
        fail(f"{' '.join(error.command_chain or ())}: {text}".removeprefix(": "))
    except PartialError as error:
        show_result(error.results)
        fail(str(error), EXIT_ERROR if error.all_failed else EXIT_SOME_FAILED)
    except DvspipeError as error:
        fail(str(error))
    except MemoryError as error:
        fail(NO_MEMORY.format(error))
    except BrokenPipeError:
        close_output()
    except OSError as error:
        fail(f"{error.filename or 'standard output'}: {error.strerror or error}")
