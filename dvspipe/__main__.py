"""The command line: `dvspipe`, or `python -m dvspipe`."""

import gc

from .cli.interrupts import catch_interrupts

OLDEST_EVERY = 100  # collections of younger objects, in place of Python's 10


def main() -> None:
    """Run the command line, which answers Ctrl-C while its modules are loaded too."""
    catch_interrupts()
    # modules and functions never become garbage, and looking through them takes a seventh of a start with torch
    gc.set_threshold(*gc.get_threshold()[:2], OLDEST_EVERY)
    from .cli.app import main as run

    run()


if __name__ == "__main__":
    main()
