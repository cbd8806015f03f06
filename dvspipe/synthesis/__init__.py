"""Labelled video and recordings made on the machine: rendered people who gesture."""

from .gestures import GESTURE_SENSOR, GESTURES, Performance, plan_session, render_gesture, render_session
from .people import Person, draw_person
from .recording import (
    gesture_frames,
    is_synthetic,
    record_gesture,
    record_session,
    write_gestures,
    write_recordings,
)  # fmt: skip

__all__ = [
    "GESTURES",
    "GESTURE_SENSOR",
    "Performance",
    "Person",
    "draw_person",
    "gesture_frames",
    "is_synthetic",
    "plan_session",
    "record_gesture",
    "record_session",
    "render_gesture",
    "render_session",
    "write_gestures",
    "write_recordings",
]
