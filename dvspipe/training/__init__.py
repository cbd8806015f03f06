"""Train and evaluate a classifier; results are returned as records and stored in a run folder.

The names are listed in `__init__.pyi` and loaded at first use, because torch takes seconds to import.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
