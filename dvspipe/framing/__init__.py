"""Recordings, videos and events in memory as the events of a sensor that a network is for."""

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
