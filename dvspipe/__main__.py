"""`python -m dvspipe`."""

from .cli import main

main()
