"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them."""

from .chunks import Chunk, ChunkQueue, LiveClock, SystemClock
from .labels import live
from .scene import Doubt, SceneWatch
from .session import EventSink, LiveSession
from .sources import LiveSource, PushedSource, open_live
from .streams import is_stream

__all__ = [
    "Chunk",
    "ChunkQueue",
    "Doubt",
    "EventSink",
    "LiveClock",
    "LiveSession",
    "LiveSource",
    "PushedSource",
    "SceneWatch",
    "SystemClock",
    "is_stream",
    "live",
    "open_live",
]
