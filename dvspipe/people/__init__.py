"""Human pose tracking: follow the joints of the largest person in a video.

The names are listed in `__init__.pyi` and loaded at first use, because settings do not need OpenCV.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
