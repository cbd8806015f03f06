"""Event-camera perception from an ordinary video to a label.

The names below are the public interface; each is loaded when it is first used, so that importing dvspipe is quick.

    >>> from dvspipe import events_from_video, read, write, Classifier
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .conversion import ConvertConfig, convert_video, events_from_video
    from .encoding import BinConfig, encode_events, encode_stream
    from .errors import DvspipeError
    from .events import Events, SensorSize, concatenate
    from .formats import describe, iterate, read, write
    from .frames import Frame, frames_from_arrays
    from .inference import Classifier
    from .simulator import EventSimulator, SimulatorConfig, simulate
    from .training import TrainConfig, train
    from .video import VideoSettings, open_video

_HOMES = {
    "BinConfig": "encoding",
    "Classifier": "inference",
    "ConvertConfig": "conversion",
    "DvspipeError": "errors",
    "EventSimulator": "simulator",
    "Events": "events",
    "Frame": "frames",
    "SensorSize": "events",
    "SimulatorConfig": "simulator",
    "TrainConfig": "training",
    "VideoSettings": "video",
    "concatenate": "events",
    "convert_video": "conversion",
    "describe": "formats",
    "encode_events": "encoding",
    "encode_stream": "encoding",
    "events_from_video": "conversion",
    "frames_from_arrays": "frames",
    "iterate": "formats",
    "open_video": "video",
    "read": "formats",
    "simulate": "simulator",
    "train": "training",
    "write": "formats",
}

__all__ = [
    "BinConfig",
    "Classifier",
    "ConvertConfig",
    "DvspipeError",
    "EventSimulator",
    "Events",
    "Frame",
    "SensorSize",
    "SimulatorConfig",
    "TrainConfig",
    "VideoSettings",
    "concatenate",
    "convert_video",
    "describe",
    "encode_events",
    "encode_stream",
    "events_from_video",
    "frames_from_arrays",
    "iterate",
    "open_video",
    "read",
    "simulate",
    "train",
    "write",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'dvspipe' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    return __all__
