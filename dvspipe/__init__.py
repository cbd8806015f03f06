"""Event-camera perception, from an ordinary video to a label.

The public names are listed in `__init__.pyi`. Each is loaded at first use, to keep `import dvspipe` fast.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

import builtins
import functools
from collections.abc import Callable


@functools.cache
def _attach_names() -> tuple[Callable[[str], object], list[str]]:
    """Attach the public names to this module; return the function that loads one, and their list.

    The command line uses no public name, so it handles Ctrl-C without first reading them.
    """
    from .base.lazy import attach_stub

    load, _, names = attach_stub(__name__, __file__)
    return load, names


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("dvspipe")

    load, names = _attach_names()
    if name == "__all__":  # `from dvspipe import *` must not replace `torch` or `filter`
        from pkgutil import iter_modules

        modules = {module.name for module in iter_modules(__path__)}
        return [public for public in names if public not in modules and not hasattr(builtins, public)]

    return load(name)


def __dir__() -> list[str]:
    _, names = _attach_names()
    return [*names, "__version__"]
