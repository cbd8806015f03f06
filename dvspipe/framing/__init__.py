"""Open recordings, videos and events for a network: select a region and fit it to the network's sensor."""

from .config import FramingConfig
from .fitting import scaled_size
from .live import EventFramer, FrameFramer, frame_live_events, frame_live_video, live_settings
from .opening import EventParts, EventSource, RecordingView, find_guess, frame_events, open_source
from .person import VIEW_M

__all__ = [
    "VIEW_M",
    "EventFramer",
    "EventParts",
    "EventSource",
    "FrameFramer",
    "FramingConfig",
    "RecordingView",
    "find_guess",
    "frame_events",
    "frame_live_events",
    "frame_live_video",
    "live_settings",
    "open_source",
    "scaled_size",
]
