"""Open recordings, videos and events for a network: select a region and fit it to the network's sensor.

The names are listed in `__init__.pyi` and loaded at first use, because recordings need neither pose nor live framing.
"""

from ..base.lazy import attach_stub

__getattr__, __dir__, __all__ = attach_stub(__name__, __file__)
