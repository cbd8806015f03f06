"""Recordings, videos and events in memory as the events of a sensor that a network is for."""

from .config import SourceConfig
from .framing import frame_events
from .source import EventSource, EventStream, open_source

__all__ = ["EventSource", "EventStream", "SourceConfig", "frame_events", "open_source"]
