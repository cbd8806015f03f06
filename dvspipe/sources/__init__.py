"""Recordings, videos and events in memory as the events of a sensor that a network is for."""

from .config import SourceConfig
from .source import EventSource, open_source

__all__ = ["EventSource", "SourceConfig", "open_source"]
