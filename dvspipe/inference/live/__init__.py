"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them."""

from .chunks import Chunk, ChunkQueue, LiveClock, SystemClock
from .session import EventSink, LiveSession
from .sources import LiveSource, PushedSource, open_live
from .streams import is_stream

__all__ = [
    "Chunk",
    "ChunkQueue",
    "EventSink",
    "LiveClock",
    "LiveSession",
    "LiveSource",
    "PushedSource",
    "SystemClock",
    "is_stream",
    "open_live",
]
