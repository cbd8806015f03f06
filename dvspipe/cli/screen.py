"""What the commands share: the screen, progress, Ctrl-C, how errors end, and common options."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
from rich.text import Text

from ..errors import ConfigError, DvspipeError, Remedy
from ..events import SensorSize

EXIT_SOME_FAILED = 1
EXIT_ERROR = 2
EXIT_INTERRUPTED = 130

screen = Console(highlight=False, soft_wrap=True, markup=False)  # file names may look like markup
messages = Console(stderr=True, highlight=False, soft_wrap=True, markup=False)
showing_progress = interrupted = False  # the state of Ctrl-C

Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace what is there already.")]
Sensor = Annotated[
    str | None, typer.Option("--sensor", metavar="WxH", help="The sensor, for files that do not name it.")
]
Hinted = Annotated[
    list[str] | None,
    typer.Option(
        "--hint",
        metavar="KEY=VALUE",
        help="What a file does not say: time_unit=us, columns=txyp, chip=DVS128, topic=/events.",
    ),
]


def interrupt(*_: Any) -> None:
    """Ctrl-C: stops at the next progress, or at once where none is shown or at the second time.

    Not always at once, because Python drops an exception that happens to be raised inside a destructor.
    """
    global interrupted
    if interrupted or not showing_progress:
        raise KeyboardInterrupt
    interrupted = True


class _LogLines(logging.Handler):
    """Prints a line per message (rich's own handler folds them)."""

    def emit(self, record: logging.LogRecord) -> None:
        messages.print(Text(record.getMessage()))


def show_log(level: int) -> None:
    """Prints what the stages say, from a level on."""
    log = logging.getLogger("dvspipe")
    log.addHandler(_LogLines())
    log.setLevel(level)


def sensor_size(text: str | None) -> SensorSize | None:
    """What --sensor says."""
    return SensorSize.parse(text) if text else None


def show_error(error: DvspipeError) -> str:
    """Return the message of an error, with its remedies as options of the command line."""
    return error.describe(_as_option)


def _as_option(remedy: Remedy) -> str:
    """Return a remedy as an option: `--overwrite`, `--window 100`, `--hint columns=txyp`; settings as they are."""
    outer, _, field = remedy.setting.rpartition(".")
    if outer == "hints":
        return remedy.explain(f"--hint {field}={remedy.value}")
    if outer:
        return remedy.explain(f"{remedy.setting}={remedy.value}")
    option = f"--{field.removesuffix('_us').removesuffix('_s').replace('_', '-')}"
    return remedy.explain(option if remedy.value is True else f"{option} {remedy.value}")


def fail(message: str, code: int) -> None:
    """Ends the command with a line and an exit code."""
    messages.print(Text.assemble(("dvspipe: ", "red"), " ".join(message.split())))
    sys.exit(code)


def pass_over(error: DvspipeError) -> None:
    """Hinted that one of several inputs is left out."""
    messages.print(Text.assemble(("passed over: ", "yellow"), " ".join(show_error(error).split())))


@contextmanager
def progress() -> Iterator[Any]:
    """A function (stage, done, total) that shows progress with the time left; a new stage begins a new bar."""
    global showing_progress
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=messages, transient=True, disable=not messages.is_terminal) as bars:
        showing_progress = True
        current: dict[str, TaskID] = {}

        def show(stage: str, done: int, total: int) -> None:
            if interrupted:
                raise KeyboardInterrupt
            if stage not in current:
                for old in current.values():
                    bars.remove_task(old)
                current.clear()
                current[stage] = bars.add_task(stage, total=total or None)
            bars.update(current[stage], completed=done, total=total or None)

        try:
            yield show
        finally:
            showing_progress = False


def hints_of(hinted: list[str] | None) -> Any:
    """What --hint tells of a file."""
    from ..config import parse_overrides
    from ..formats import Hints

    told = {key: str(value) for key, value in parse_overrides(hinted or []).items()}
    unknown = [key for key in told if key not in Hints.__dataclass_fields__]
    if unknown:
        raise ConfigError(f"--hint {unknown[0]}: unknown, expected {', '.join(Hints.__dataclass_fields__)}")
    return Hints(**told)  # type: ignore[arg-type]
