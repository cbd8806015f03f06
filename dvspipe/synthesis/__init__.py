"""Synthetic labelled videos and recordings: rendered people who perform gestures, and digits under saccades."""

from .digits import DIGIT_SENSOR, DigitsPlan, digit_frames, record_digit, saccade_path, write_digits
from .gestures import GESTURE_SENSOR, RENDERING, ClipSettings, Performance, plan_session, render_gesture, render_session
from .mnist import DIGIT_PX, MnistPart, read_idx, read_mnist
from .people import Person, draw_person
from .recording import (
    CameraKind,
    GestureClip,
    GesturesPlan,
    film_gesture,
    gesture_frames,
    record_film,
    record_gesture,
    record_session,
    write_gestures,
)
from .writing import SynthesisRecord, is_synthetic, write_recordings

__all__ = [
    "DIGIT_PX",
    "DIGIT_SENSOR",
    "GESTURE_SENSOR",
    "RENDERING",
    "CameraKind",
    "ClipSettings",
    "DigitsPlan",
    "GestureClip",
    "GesturesPlan",
    "MnistPart",
    "Performance",
    "Person",
    "SynthesisRecord",
    "digit_frames",
    "draw_person",
    "film_gesture",
    "gesture_frames",
    "is_synthetic",
    "plan_session",
    "read_idx",
    "read_mnist",
    "record_digit",
    "record_film",
    "record_gesture",
    "record_session",
    "render_gesture",
    "render_session",
    "saccade_path",
    "write_digits",
    "write_gestures",
    "write_recordings",
]
