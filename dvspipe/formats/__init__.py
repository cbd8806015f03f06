"""Events to and from files."""

from .aedat4 import read_frames
from .hdf5 import EventWriter
from .recordings import FORMATS, Recording, RecordingInfo, describe, iterate, open_recording, read, write

__all__ = [
    "FORMATS",
    "EventWriter",
    "Recording",
    "RecordingInfo",
    "describe",
    "iterate",
    "open_recording",
    "read",
    "read_frames",
    "write",
]
