"""Encoding: events to spike tensors, static values and signals to spike trains.

The names are listed in `__init__.pyi` and loaded at first use, because settings need no kernels.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
