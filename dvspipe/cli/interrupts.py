"""Handle Ctrl-C and SIGTERM: stop at the next progress call, or exit after 1.3 s; exit at once if no progress is shown.

Python's KeyboardInterrupt and typer's exit code are not enough. During imports they end in a traceback of 32 lines and
exit code -2, or only after 6 to 10 s on a busy machine (this module: 0.1 to 4.4 s), and Python drops an interrupt in a
destructor. This module imports only modules built into the interpreter, because it must be ready before all others:
importing `signal` and `typing` takes longer than starting Python.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # the C part of `signal`
import _thread  # not threading.Thread: it takes locks that the interrupted thread may hold
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import NoReturn

SIGNALS = (_signal.SIGINT, _signal.SIGTERM)  # called Ctrl-C below
EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted"
GRACE_S = 0.6  # time to stop at a progress call
LIMIT_S = 1.3  # time until the process exits; the exit itself takes some time
REPORT_S = 0.1  # time for another thread to finish printing its message
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # clear the line, then show the cursor


class Interrupt:
    """State of the Ctrl-C handler, in class attributes because signal handlers cannot take arguments.

    Work that shows progress stops at its next progress call. A second Ctrl-C, or `GRACE_S` after the first, it stops
    wherever it is.

    Attributes:
        requested: Whether Ctrl-C was pressed.
        shows_progress: Whether the current work calls its progress regularly.
        raised: Whether KeyboardInterrupt was raised at a progress call.
    """

    requested = False
    shows_progress = False
    raised = False
    stderr = 2  # replaced by a duplicate: OpenCV is silenced by redirecting 2
    _report = _thread.allocate_lock()

    @classmethod
    def claim_report(cls) -> bool:
        """Return True to the first caller in any thread, who reports Ctrl-C; False to all others."""
        return cls._report.acquire(blocking=False)

    @classmethod
    def stop_if_requested(cls) -> None:
        """Stop the work if Ctrl-C was pressed.

        Raises:
            KeyboardInterrupt: If Ctrl-C was pressed.
        """
        if cls.requested:
            cls.raised = True
            raise KeyboardInterrupt


def catch_interrupts() -> None:
    """Install this handler of Ctrl-C; call it in the main thread."""
    if Interrupt.stderr == 2:
        Interrupt.stderr = _duplicate_stderr()
    for number in SIGNALS:
        _signal.signal(number, _handle)


def _duplicate_stderr() -> int:
    try:
        return os.dup(2)
    except OSError:  # standard error is closed
        return 2


def raise_interrupts() -> None:
    """Install Python's own handler, which raises KeyboardInterrupt at Ctrl-C."""
    for number in SIGNALS:
        _signal.signal(number, _signal.default_int_handler)


class EndOnInterrupt:
    """Context in which the first Ctrl-C ends a stream normally; a second one is handled as before the block.

    It has no effect outside the main thread, because only the main thread receives signals.

    Args:
        end: Called at the first Ctrl-C, wherever the main thread is. It must not take locks.

    Attributes:
        is_requested: Whether Ctrl-C was pressed.
    """

    def __init__(self, end: Callable[[], object]) -> None:
        self._end = end
        self._before: list[object] = []
        self.is_requested = False

    def __enter__(self) -> EndOnInterrupt:
        try:
            self._before = [_signal.signal(number, self._handle) for number in SIGNALS]
        except ValueError:  # not the main thread
            self._before = []
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in zip(SIGNALS, self._before, strict=False):
            _signal.signal(number, handler)

    def _handle(self, *_: object) -> None:
        self.__exit__()
        self.is_requested = True
        self._end()


def ignore_interrupts() -> None:
    """Ignore Ctrl-C, because the process is about to exit."""
    for number in SIGNALS:
        _signal.signal(number, _signal.SIG_IGN)


def _handle(*_: object) -> None:
    if Interrupt.raised:  # the interrupted work is cleaning up
        return
    if not Interrupt.shows_progress:
        end_interrupted()
    if Interrupt.requested:
        Interrupt.stop_if_requested()
    Interrupt.requested = True
    sys.unraisablehook = lambda _: None  # an interrupt dropped in a destructor prints no traceback
    _thread.start_new_thread(_end_soon, ())


def _end_soon() -> None:
    """Interrupt the main thread again after `GRACE_S`; end the process after `LIMIT_S`."""
    time.sleep(GRACE_S)
    _thread.interrupt_main()
    time.sleep(LIMIT_S - GRACE_S)
    end_interrupted()


def end_interrupted() -> NoReturn:
    """Exit the process at once after Ctrl-C, regardless of its threads.

    During a regular exit, Python stops threads that return from native code, and C++ then aborts the process.
    """
    if Interrupt.claim_report():
        start = SHOW_CURSOR if os.isatty(Interrupt.stderr) else ""
        os.write(Interrupt.stderr, f"{start}dvspipe: {INTERRUPTED}\n".encode())
    else:
        time.sleep(REPORT_S)
    os._exit(EXIT_INTERRUPTED)
