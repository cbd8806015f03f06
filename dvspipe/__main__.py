"""Entry point of the command line: `dvspipe`, or `python -m dvspipe`."""

import os

from .cli.interrupts import catch_interrupts


def main() -> None:
    """Run the command line; handle Ctrl-C even while its modules are imported."""
    catch_interrupts()
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")  # searching all packages for plugins takes 15 ms
    from .cli.app import main as run

    run()


if __name__ == "__main__":
    main()
