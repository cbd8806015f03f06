"""Entry point of the command line: `dvspipe`, or `python -m dvspipe`."""

import os
import signal
import sys


def _open_closed_streams() -> None:
    """Open standard streams that are closed, as after `>&-`, at os.devnull.

    Otherwise, the first file that is opened would take the number of the stream, and texts of C libraries with it.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115 - open until the process ends


def main() -> None:
    """Run the command line; Ctrl-C ends it with one line, even while its modules are imported."""
    _open_closed_streams()
    try:
        from .cli.app import main as run

        run()
    except KeyboardInterrupt:
        sys.stderr.write("dvspipe: interrupted\n")
        sys.stderr.flush()

        # A shell ends its loop only if the command ended by the signal.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    if not sys.flags.safe_path:
        del sys.path[0]  # the current folder, which may contain data of strangers
    main()
