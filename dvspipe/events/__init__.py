"""Events, sensors and regions; join, merge and window recordings. `events.filters` loads separately: it needs numba."""

from .digest import EventDigest, digest_events
from .events import Event, Events, check_order
from .joining import check_part, checked_parts, concatenate, join_streams, merge_streams, windows
from .sensor import GESTURE_SENSOR, MAX_SIDE_PX, Region, RegionLike, SensorSize, SensorSizeLike, as_integer
from .span import EARLIEST_US, IN_SECONDS, LATEST_US, TIME_LIMIT_US, TimeSpan

__all__ = [
    "EARLIEST_US",
    "GESTURE_SENSOR",
    "IN_SECONDS",
    "LATEST_US",
    "MAX_SIDE_PX",
    "TIME_LIMIT_US",
    "Event",
    "EventDigest",
    "Events",
    "Region",
    "RegionLike",
    "SensorSize",
    "SensorSizeLike",
    "TimeSpan",
    "as_integer",
    "check_order",
    "check_part",
    "checked_parts",
    "concatenate",
    "digest_events",
    "join_streams",
    "merge_streams",
    "windows",
]
