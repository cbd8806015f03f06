"""The command line: `dvspipe`, or `python -m dvspipe`."""

from .cli.interrupts import catch_interrupts


def main() -> None:
    """Run the command line, which answers Ctrl-C while its modules are loaded too."""
    catch_interrupts()
    from .cli.app import main as run

    run()


if __name__ == "__main__":
    main()
