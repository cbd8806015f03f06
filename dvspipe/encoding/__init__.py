"""Encoding: events to spike tensors, static values and signals to spike trains.

The names are listed in `__init__.pyi` and loaded at first use, because settings need no kernels.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
