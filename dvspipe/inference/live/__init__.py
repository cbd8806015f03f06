"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them."""

from .chunks import Chunk, ChunkQueue, LiveClock, SystemClock
from .labels import live
from .session import LiveSession
from .sources import LiveSource, open_live
from .streams import is_stream

__all__ = [
    "Chunk",
    "ChunkQueue",
    "LiveClock",
    "LiveSession",
    "LiveSource",
    "SystemClock",
    "is_stream",
    "live",
    "open_live",
]
