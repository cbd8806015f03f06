"""Map a function over items with local processes, or with a Ray cluster (`parallel.cluster`).

The names are listed in `__init__.pyi` and loaded at first use, because progress needs no processes.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
