"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them."""

from .chunks import Chunk, ChunkQueue, LiveClock, SystemClock
from .scene import Doubt, SceneWatch
from .session import EventSink, LiveSession, default_hop_us
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
    "default_hop_us",
    "is_stream",
    "open_live",
]
