"""Previews, charts and self-contained HTML pages, made from events and from the records in `results`.

The names are listed in `__init__.pyi` and loaded at first use, because charts need matplotlib, and settings do not.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
