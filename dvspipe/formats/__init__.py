"""Read and write event recordings of all formats."""

from .aedat4 import read_frames, read_imu
from .hdf5 import EventWriter, discard_saved
from .hints import NO_HINTS, GivenSensor, Hints, HintsLike
from .recordings import (
    FORMATS,
    SYNTHETIC_GESTURES,
    Recording,
    RecordingInfo,
    RecordingLike,
    as_events,
    create_writer,
    info,
    is_recording_folder,
    iterate,
    open_recording,
    read,
    recognise,
    write,
    written_suffixes,
)
from .text import STANDARD, is_unrelated_text
from .writers import Compression, WriteOptions, Writer

__all__ = [
    "FORMATS",
    "NO_HINTS",
    "STANDARD",
    "SYNTHETIC_GESTURES",
    "Compression",
    "EventWriter",
    "GivenSensor",
    "Hints",
    "HintsLike",
    "Recording",
    "RecordingInfo",
    "RecordingLike",
    "WriteOptions",
    "Writer",
    "as_events",
    "create_writer",
    "discard_saved",
    "info",
    "is_recording_folder",
    "is_unrelated_text",
    "iterate",
    "open_recording",
    "read",
    "read_frames",
    "read_imu",
    "recognise",
    "write",
    "written_suffixes",
]
