"""Norse networks, fused over time, and the one way to call them.

The names are listed in `__init__.pyi` and loaded at first use, because most of them need torch, which takes seconds
to import.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
