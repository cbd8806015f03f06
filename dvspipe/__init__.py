"""Event-camera perception, from an ordinary video to a label.

The public names are listed in `__init__.pyi`. Each is loaded at first use, to keep `import dvspipe` fast; names of
extras come through the hook `functions`.

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


@functools.cache
def _list_extra_names() -> dict[str, str]:
    """Return the extra of each public name that is a function of an extra."""
    import re

    with open(f"{__file__}i", encoding="utf-8") as stub:
        return {name: extra for extra, name in re.findall(r"from dvspipe\.(\w+)\S* import (\w+)", stub.read())}


def __getattr__(name: str) -> object:
    if name == "__version__":
        from importlib.metadata import version

        return version("dvspipe")

    load, names = _attach_names()
    if name == "__all__":  # `from dvspipe import *` must not replace `filter`
        from pkgutil import iter_modules

        modules = {module.name for module in iter_modules(__path__)}
        return [public for public in __dir__() if public not in modules and not hasattr(builtins, public)]
    if name in names or name.startswith("_"):
        return load(name)

    from .hooks import find_function

    if (found := find_function(name)) is not None:
        return found
    if name in _list_extra_names():
        raise ImportError(f"dvspipe.{name} belongs to the extra {_list_extra_names()[name]}, which is not installed")
    return load(name)


def __dir__() -> list[str]:
    _, names = _attach_names()
    return [*names, *_list_extra_names(), "__version__"]
