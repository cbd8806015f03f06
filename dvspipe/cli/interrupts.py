"""Ctrl-C on the command line: work that shows progress stops there, and anything else ends with the process.

Python's own KeyboardInterrupt and typer's exit code are not enough: while modules are loaded, they give a traceback of
32 lines and exit code -2, or end after 6 to 10 s on a busy machine (this: 0.1 to 4.4 s); and Python drops an interrupt
in a destructor. This module loads only what is part of the interpreter, because it has to be ready before any other:
`signal` and `typing` alone take longer than Python takes to start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import _thread  # threading.Thread takes locks, which the thread that a signal interrupts may hold
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted"
GRACE_S = 0.6  # for work that shows progress to stop there
LIMIT_S = 1.3  # for everything; then the process ends, which takes some time itself
REPORT_S = 0.1  # for another thread that is writing the line of an interrupt
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # at the beginning of an empty line


class Interrupt:
    """What became of Ctrl-C; a signal handler cannot have another state.

    Work that shows progress stops at its next progress, or wherever it is at the second Ctrl-C or after a time.
    """

    requested = False
    shows_progress = False
    raised = False
    _report = _thread.allocate_lock()

    @classmethod
    def claim_report(cls) -> bool:
        """Return whether the caller is the first who reports Ctrl-C, of all threads."""
        return cls._report.acquire(blocking=False)

    @classmethod
    def stop_if_requested(cls) -> None:
        """Stop the work if Ctrl-C was typed.

        Raises:
            KeyboardInterrupt: It was.
        """
        if cls.requested:
            cls.raised = True
            raise KeyboardInterrupt


def catch_interrupts() -> None:
    """Answer Ctrl-C in this process, whose main thread this is, from now on."""
    _signal.signal(_signal.SIGINT, _handle)


def raise_interrupts() -> None:
    """Raise KeyboardInterrupt at Ctrl-C from now on, as Python does by itself."""
    _signal.signal(_signal.SIGINT, _signal.default_int_handler)


def ignore_interrupts() -> None:
    """Ignore Ctrl-C from now on: the process is about to end."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)


def _handle(*_: object) -> None:
    if Interrupt.raised:  # what was interrupted cleans up
        return
    if not Interrupt.shows_progress:
        end_interrupted()
    if Interrupt.requested:
        Interrupt.stop_if_requested()
    Interrupt.requested = True
    sys.unraisablehook = lambda _: None  # of an interrupt that Python drops, in a destructor
    _thread.start_new_thread(_end_soon, ())


def _end_soon() -> None:
    """Interrupt the main thread again if it did not stop, and then end the process."""
    time.sleep(GRACE_S)
    _thread.interrupt_main()
    time.sleep(LIMIT_S - GRACE_S)
    end_interrupted()


def end_interrupted() -> NoReturn:
    """End the process at once after Ctrl-C, whatever its threads do.

    Python stops threads that return from native code while it ends, for which C++ aborts the process.
    """
    if Interrupt.claim_report():
        start = SHOW_CURSOR if os.isatty(2) else ""
        os.write(2, f"{start}dvspipe: {INTERRUPTED}\n".encode())
    else:
        time.sleep(REPORT_S)
    os._exit(EXIT_INTERRUPTED)
