"""Events, sensors and regions; join, merge and window recordings. `events.filters` loads separately: it needs numba."""

from .digest import EventDigest, digest_events
from .events import Event, Events
from .joining import checked_parts, concatenate, join_streams, merge_streams, windows
from .sensor import GESTURE_SENSOR, MAX_SIDE_PX, Region, RegionLike, SensorSize, SensorSizeLike
from .span import EARLIEST_US, IN_SECONDS, LATEST_US, TimeSpan

__all__ = [
    "EARLIEST_US",
    "GESTURE_SENSOR",
    "IN_SECONDS",
    "LATEST_US",
    "MAX_SIDE_PX",
    "Event",
    "EventDigest",
    "Events",
    "Region",
    "RegionLike",
    "SensorSize",
    "SensorSizeLike",
    "TimeSpan",
    "checked_parts",
    "concatenate",
    "digest_events",
    "join_streams",
    "merge_streams",
    "windows",
]
