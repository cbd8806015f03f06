"""Entry point of the command line: `dvspipe`, or `python -m dvspipe`."""

import gc

from .cli.interrupts import catch_interrupts

FULL_COLLECTION_INTERVAL = 100  # full garbage collections are 10 times less often than Python's default


def main() -> None:
    """Run the command line; handle Ctrl-C even while its modules are imported."""
    catch_interrupts()
    # modules and functions never become garbage; scanning them takes 1/7 of the start-up time with torch
    gc.set_threshold(*gc.get_threshold()[:2], FULL_COLLECTION_INTERVAL)
    from .cli.app import main as run

    run()


if __name__ == "__main__":
    main()
