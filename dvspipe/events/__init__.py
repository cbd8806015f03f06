"""Events and their sensor, and what is made of events alone; `events.filters` is apart, since it needs numba."""

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
