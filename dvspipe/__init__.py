"""Event-camera perception from an ordinary video to a label.

The public names are listed in `__init__.pyi`; each is loaded when it is first used, so that importing dvspipe is quick.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

import os

from .numba_cache import ensure_cache

ensure_cache(os.path.dirname(__file__))


def _attach_names() -> dict[str, object]:
    """Attach the public names to this module when the first is used, and return its namespace.

    The command line uses none: it is ready for Ctrl-C before lazy_loader, which takes longer than all before it.
    """
    import lazy_loader

    namespace = globals()
    namespace["__getattr__"], namespace["__dir__"], namespace["__all__"] = lazy_loader.attach_stub(__name__, __file__)
    return namespace


def __getattr__(name: str) -> object:
    namespace = _attach_names()
    return namespace["__all__"] if name == "__all__" else namespace["__getattr__"](name)  # type: ignore[operator]


def __dir__() -> list[str]:
    return _attach_names()["__dir__"]()  # type: ignore[operator,no-any-return]
