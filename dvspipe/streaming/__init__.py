"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them.

The names are listed in `__init__.pyi` and loaded at first use, because most of them need torch.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
