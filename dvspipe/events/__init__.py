"""Events, sensors and regions; join, merge and window recordings. `events.filters` loads separately: it needs numba."""

from .events import EARLIEST_US, LATEST_US, Events
from .joining import concatenate, join, merge, windows
from .sensor import MAX_SIDE_PX, Region, SensorSize, SensorSizeLike

__all__ = [
    "EARLIEST_US",
    "LATEST_US",
    "MAX_SIDE_PX",
    "Events",
    "Region",
    "SensorSize",
    "SensorSizeLike",
    "concatenate",
    "join",
    "merge",
    "windows",
]
