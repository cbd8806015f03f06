"""Handle Ctrl-C and SIGTERM: stop at the next progress call, or end the process after 2 s or at a second Ctrl-C.

Work that shows no progress ends at once. Python's own KeyboardInterrupt is not enough: during imports it ends in a
traceback of 32 lines, and in a destructor it is dropped.

The process ends as shells expect: it removes its handler and sends itself the signal again. So it does not wait for
threads in native code, and a script that runs it stops, too.
"""

from __future__ import annotations

import os
import signal
from typing import NoReturn

from ..base.interrupts import SIGNALS

INTERRUPTED = "interrupted"
EXIT_INTERRUPTED = 130  # 128 + SIGINT, as shells report it
GRACE_S = 2.0  # time to stop at a progress call; a training step on a slow machine takes one second
HAS_TIMER = hasattr(signal, "setitimer")  # not on Windows: a second Ctrl-C ends the process there
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # clear the line, then show the cursor


class Interrupt:
    """State of the Ctrl-C handler, in class attributes because signal handlers cannot take arguments.

    Attributes:
        number: Signal that was received; None: none.
        shows_progress: Whether the current work calls its progress regularly.
        is_reported: Whether the message is printed.
        advice: How to continue after an interruption; empty if there is nothing to say.
        stderr: Descriptor of the terminal; a duplicate, because OpenCV is silenced by redirecting 2.
    """

    number: int | None = None
    shows_progress = False
    is_reported = False
    advice = ""
    stderr = 2

    @classmethod
    def describe(cls) -> str:
        """Return the message of an interrupted command."""
        return f"{INTERRUPTED}; {cls.advice}" if cls.advice else INTERRUPTED

    @classmethod
    def stop_if_requested(cls) -> None:
        """Stop the work if Ctrl-C was pressed, and give it time to clean up.

        Raises:
            KeyboardInterrupt: If Ctrl-C was pressed.
        """
        if cls.number is not None:
            _set_timer(0)
            raise KeyboardInterrupt


def catch_interrupts() -> None:
    """Install this handler of Ctrl-C; call it in the main thread."""
    Interrupt.advice = ""

    # OpenCV is silenced by redirecting descriptor 2, so the message needs a duplicate; see `Interrupt.stderr`.
    if Interrupt.stderr == 2:
        Interrupt.stderr = _duplicate_stderr()

    for number in SIGNALS:
        signal.signal(number, _handle)

    if HAS_TIMER:
        signal.signal(signal.SIGALRM, _end_late)


def _duplicate_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:  # standard error is closed
        return 2


def raise_interrupts() -> None:
    """Install Python's own handler, which raises KeyboardInterrupt at Ctrl-C."""
    for number in SIGNALS:
        signal.signal(number, signal.default_int_handler)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C, because the process is about to exit."""
    _set_timer(0)
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)


def _handle(number: int, _: object) -> None:
    # Work without progress calls would never see the request to stop.
    is_second = Interrupt.number is not None
    Interrupt.number = number
    if is_second or not Interrupt.shows_progress:
        end_interrupted()

    _set_timer(GRACE_S)


def _end_late(*_: object) -> None:
    end_interrupted()


def _set_timer(seconds: float) -> None:
    if HAS_TIMER:
        signal.setitimer(signal.ITIMER_REAL, seconds)


def end_interrupted() -> NoReturn:
    """Report Ctrl-C and end the process at once, in the main thread."""
    if not Interrupt.is_reported:
        Interrupt.is_reported = True
        start = SHOW_CURSOR if os.isatty(Interrupt.stderr) else ""
        os.write(Interrupt.stderr, f"{start}dvspipe: {Interrupt.describe()}\n".encode())

    # As shells expect, the process is ended by the signal itself; a script that runs it stops, too.
    number = Interrupt.number or signal.SIGINT
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
    raise SystemExit(128 + number)
