"""Open recordings, videos and events for a network: select a region and fit it to the network's sensor."""

from .config import FramingConfig
from .fitting import scaled_size
from .opening import EventParts, EventSource, find_guess, frame_events, open_source
from .person import VIEW_M

__all__ = [
    "VIEW_M",
    "EventParts",
    "EventSource",
    "FramingConfig",
    "find_guess",
    "frame_events",
    "open_source",
    "scaled_size",
]
