"""Simulate a DVS: convert video frames to events.

Each pixel compares the logarithm of its intensity (its level) with a stored reference. It fires an event when the two
differ by a contrast threshold, and the reference moves by the threshold.

The names are listed in `__init__.pyi` and loaded at first use, because only videos need the kernels.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
