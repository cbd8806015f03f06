"""Read and write event recordings of all formats.

The names are listed in `__init__.pyi` and loaded at first use, because what names a recording
needs no decoder.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
