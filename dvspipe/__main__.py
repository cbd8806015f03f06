"""Entry point of the command line: `dvspipe`, or `python -m dvspipe`."""

import atexit
import gc
import os
import sys

from .cli.interrupts import EXIT_INTERRUPTED, Interrupt, catch_interrupts


def _open_closed_streams() -> None:
    """Open standard streams that are closed, as after `>&-`, at os.devnull.

    Otherwise, the first file that is opened would take the number of the stream, and texts of C libraries with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the process ends


def main() -> None:
    """Run the command line; handle Ctrl-C even while its modules are imported.

    When a command has succeeded or was interrupted, its process ends without clearing memory object by object, which
    takes 0.2 to 0.4 s, or 2 s with torch on a busy machine. Other threads and exit callbacks end before. Callbacks from
    before this call would end after it, so they keep the regular exit.
    """
    catch_interrupts()
    _open_closed_streams()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # searching all packages for plugins takes 15 ms
    exit_code: int | None = None  # None: a regular exit

    def end_process() -> None:
        if exit_code is not None:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(exit_code)

    if atexit._ncallbacks() == 0:
        atexit.register(end_process)
    gc.disable()  # until a command starts: imports leave little garbage, and searching them takes 8 % of --help
    from .cli.app import main as run

    try:
        run()
        exit_code = 0
    except SystemExit:
        exit_code = EXIT_INTERRUPTED if Interrupt.requested else None
        raise


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, which may contain data of strangers
    main()
