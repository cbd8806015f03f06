"""Entry point of the command line: `dvspipe`, or `python -m dvspipe`."""

import os
import sys

from .cli.interrupts import Interrupt, catch_interrupts, end_interrupted


def _open_closed_streams() -> None:
    """Open standard streams that are closed, as after `>&-`, at os.devnull.

    Otherwise, the first file that is opened would take the number of the stream, and texts of C libraries with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the process ends


def main() -> None:
    """Run the command line; handle Ctrl-C even while its modules are imported."""
    catch_interrupts()
    _open_closed_streams()

    from .cli.app import main as run

    try:
        run()
    except SystemExit:
        if Interrupt.number is not None:  # a regular exit clears torch's memory, which takes 2 s on a busy machine
            end_interrupted()
        raise


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, which may contain data of strangers
    main()
