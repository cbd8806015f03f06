"""Live streams to labels: sources, the queue of their chunks, and the session that classifies them."""

from .chunks import Chunk, ChunkQueue, LiveClock, SystemClock
from .scene import Doubt, SceneWatch
from .session import LiveSession, LiveViewer
from .sources import LiveSource, PushedSource, open_live
from .streams import is_stream
from .verb import live

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
    "live",
    "open_live",
]
