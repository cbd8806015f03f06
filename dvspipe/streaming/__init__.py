"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them."""

from .chunks import Chunk, ChunkQueue, LiveClock, SystemClock
from .scene import Doubt, SceneWatch
from .session import LiveSession, LiveViewer, with_hop
from .sources import LiveSource, PushedSource, open_live
from .streams import is_stream

__all__ = [
    "Chunk",
    "ChunkQueue",
    "Doubt",
    "LiveClock",
    "LiveSession",
    "LiveSource",
    "LiveViewer",
    "PushedSource",
    "SceneWatch",
    "SystemClock",
    "is_stream",
    "open_live",
    "with_hop",
]
