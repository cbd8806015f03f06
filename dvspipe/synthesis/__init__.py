"""Synthetic labelled videos and recordings: rendered people performing gestures, and digits under saccades.

People, clothes, rooms and movements are drawn by eye: a number without a source was chosen by looking at pictures. All
numbers are frozen, because a clip is identified by its seeds. If one changes, increment `RENDERING`.

The names are listed in `__init__.pyi` and loaded at first use, because a setting of a camera needs no kernels.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
