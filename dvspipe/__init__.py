"""Event-camera perception, from an ordinary video to a label.

The public names are listed in `__init__.pyi`. Each is loaded at first use, to keep `import dvspipe` fast.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

import builtins
import functools
import os
import sys
from collections.abc import Callable

from .base.kernels import ensure_cache

ensure_cache(os.path.dirname(__file__))

HTML_TYPES = (
    ("dvspipe.events.events", "Events"),
    ("dvspipe.datasets.samples", "DataSet"),
    ("dvspipe.results.training", "TrainingRun"),
    ("dvspipe.inference.classifier", "Classifier"),
    ("dvspipe.results.inference", "Prediction"),
)
"""Types that notebooks show as HTML, by module and name; registering them does not import them."""


def _summarize_html(value: object) -> str | None:
    """Return an HTML summary, or None to let Jupyter fall back to `repr`.

    Errors are suppressed: a notebook cell must not fail because its picture does, for example without OpenCV.
    """
    try:
        from .report.notebook import describe

        return describe(value)
    except Exception:
        return None


def _register_html() -> None:
    """Register the HTML summaries if IPython is running; `report` is imported when the first value is shown."""
    get_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = get_shell() if get_shell else None
    if shell is not None:
        formatter = shell.display_formatter.formatters["text/html"]
        for module, name in HTML_TYPES:
            formatter.for_type_by_name(module, name, _summarize_html)


_register_html()


@functools.cache
def _attach_names() -> tuple[Callable[[str], object], list[str]]:
    """Attach the public names to this module; return the function that loads one, and their list.

    The command line uses no public name, so it handles Ctrl-C without first importing lazy_loader, the slowest part of
    its start until then.
    """
    import lazy_loader

    load, _, names = lazy_loader.attach_stub(__name__, __file__)
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
