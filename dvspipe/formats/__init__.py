"""Events to and from files."""

from .aedat4 import read_frames, read_imu
from .chunks import Compression
from .hdf5 import EventWriter
from .hints import NO_HINTS, Hints
from .recordings import (
    FORMATS,
    Recording,
    RecordingInfo,
    describe,
    iterate,
    open_recording,
    read,
    recognise,
    write,
)  # fmt: skip
from .rosbag import is_ros2_folder

__all__ = [
    "FORMATS",
    "NO_HINTS",
    "Compression",
    "EventWriter",
    "Hints",
    "Recording",
    "RecordingInfo",
    "describe",
    "is_ros2_folder",
    "iterate",
    "open_recording",
    "read",
    "read_frames",
    "read_imu",
    "recognise",
    "write",
]
