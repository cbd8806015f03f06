"""Ctrl-C on the command line: work stops at a safe place if one comes soon, and the process ends in any case.

This module loads only what is part of the interpreter, because it has to be ready before any other is loaded: `signal`
and `typing` alone take longer than Python takes to start.
"""

from __future__ import annotations

import _signal  # type: ignore[import-not-found]  # what `signal` wraps
import _thread  # threading.Thread takes locks, which the thread that a signal interrupts may hold
import os
import sys
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from types import FrameType, TracebackType
    from typing import NoReturn

EXIT_INTERRUPTED = 130
INTERRUPTED = "interrupted"
GRACE_S = 0.6  # for work that shows progress, which is stopped there
LIMIT_S = 1.3  # for everything; then the process ends, which takes some time itself
POLL_S = 0.1
REPORT_S = 0.1  # for another thread that is writing the line of an interrupt
SHOW_CURSOR = "\r\x1b[K\x1b[?25h"  # at the beginning of an empty line


class Interrupt:
    """What became of Ctrl-C; a signal handler cannot have another state.

    Python drops an exception that is raised inside a destructor, and modules break if it is raised while they are
    loaded. So work that shows progress stops at its next progress, and everything else as soon as no module is being
    loaded. The second Ctrl-C does not wait for progress.
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
    sys.unraisablehook = _raise_again
    sys.excepthook = _end_or_show


def ignore_interrupts() -> None:
    """Ignore Ctrl-C from now on: the process is about to end."""
    _signal.signal(_signal.SIGINT, _signal.SIG_IGN)
    exec("")  # Python ends itself by SIGINT if an interrupt left code in a text; the next such code resets that


def _handle(_signal: int, frame: FrameType | None) -> None:
    first, Interrupt.requested = not Interrupt.requested, True
    if first:
        _thread.start_new_thread(_end_soon, ())
    if (first and Interrupt.shows_progress) or Interrupt.raised or _is_importing(frame):
        return
    Interrupt.stop_if_requested()


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _end_soon() -> None:
    """Interrupt the main thread again until it stops, and end the process if it does not."""
    begin_s = time.monotonic()
    while (waited_s := time.monotonic() - begin_s) < LIMIT_S:
        time.sleep(POLL_S)
        if waited_s > GRACE_S or not Interrupt.shows_progress:
            _thread.interrupt_main()
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


def _end_or_show(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """End the process if an interrupt reached its top, which happens before the command line catches it."""
    if Interrupt.requested:
        end_interrupted()
    sys.__excepthook__(kind, error, traceback)


def _raise_again(dropped: sys.UnraisableHookArgs) -> None:
    """Raise an interrupt that Python dropped, in a destructor, at the next look at it; say nothing after Ctrl-C."""
    if not Interrupt.requested:
        sys.__unraisablehook__(dropped)
    elif issubclass(dropped.exc_type, KeyboardInterrupt):
        Interrupt.raised = False
