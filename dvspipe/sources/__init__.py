"""Recordings, videos and events in memory as the events of a sensor that a network is for."""

from .config import SourceConfig
from .source import EventSource, EventStream, frame_events, open_source

__all__ = ["EventSource", "EventStream", "SourceConfig", "frame_events", "open_source"]
