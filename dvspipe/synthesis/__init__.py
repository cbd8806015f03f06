"""Labelled video made on the machine: rendered people who gesture."""

from .gestures import GESTURE_SENSOR, GESTURES, render_gesture
from .people import Person, draw_person
from .recording import gesture_frames, record_gesture

__all__ = [
    "GESTURES",
    "GESTURE_SENSOR",
    "Person",
    "draw_person",
    "gesture_frames",
    "record_gesture",
    "render_gesture",
]
