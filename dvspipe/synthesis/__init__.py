"""Labelled recordings made on the machine: rendered people who gesture, and digits under saccades."""

from .digits import DIGIT_SENSOR, digit_frames, record_digit, saccade_path, write_digits
from .gestures import GESTURE_SENSOR, GESTURES, render_gesture
from .mnist import read_idx, read_mnist
from .people import Person, draw_person
from .recording import gesture_frames, record_gesture
from .writing import is_synthetic, write_recordings

__all__ = [
    "DIGIT_SENSOR",
    "GESTURES",
    "GESTURE_SENSOR",
    "Person",
    "digit_frames",
    "draw_person",
    "gesture_frames",
    "is_synthetic",
    "read_idx",
    "read_mnist",
    "record_digit",
    "record_gesture",
    "render_gesture",
    "saccade_path",
    "write_digits",
    "write_recordings",
]
