"""Event-camera perception from an ordinary video to a label.

The public names are listed in `__init__.pyi`; each is loaded when it is first used, so that importing dvspipe is quick.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

import os
import sys

from .numba_cache import ensure_cache

ensure_cache(os.path.dirname(__file__))

SHOWN = (
    ("dvspipe.events.events", "Events"),
    ("dvspipe.datasets.samples", "DataSet"),
    ("dvspipe.results.training", "TrainingRun"),
    ("dvspipe.inference.classifier", "Classifier"),
    ("dvspipe.results.inference", "Prediction"),
)
"""Values that notebooks show as HTML: the modules and names of their types, which are not imported for it."""


def _describe(value: object) -> str | None:
    """Return the HTML of a value, or None, with which a notebook shows the `repr`, if that fails.

    Whatever is missing or wrong, such as OpenCV, a cell that ends in a value must not fail because of its picture.
    """
    try:
        from .report.notebook import describe

        return describe(value)
    except Exception:
        return None


def _show_in_notebooks() -> None:
    """Register how IPython shows values, if it runs; `report` is imported when the first is shown."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell else None
    if shell is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        for module, name in SHOWN:
            formatter.for_type_by_name(module, name, _describe)


_show_in_notebooks()


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
