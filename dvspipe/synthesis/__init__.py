"""Synthetic labelled videos and recordings: rendered people performing gestures, and digits under saccades.

People, clothes, rooms and movements are drawn by eye: a number without a source was chosen by looking at pictures. All
numbers are frozen, because a clip is identified by its seeds. If one changes, increment `RENDERING`.
"""

from .digits import DIGIT_SENSOR, DigitsPlan, digit_frames, record_digit, write_digits
from .filmed import FilmedGesture, FilmedGestures
from .gestures import (
    DVS128_GESTURES,
    GESTURE_SENSOR,
    OTHER,
    RENDERING,
    ClipSettings,
    Performance,
    Repertoire,
    plan_clip,
    plan_session,
    pose_person,
    render_gesture,
    render_session,
)
from .mnist import DIGIT_PX, MnistPart, read_mnist
from .people import Person, draw_person
from .recording import (
    CameraKind,
    GestureClip,
    GesturesPlan,
    film_gesture,
    gesture_frames,
    read_repertoire,
    record_film,
    record_gesture,
    record_session,
    write_gestures,
)
from .tracked import Repeat, TrackedMovement, mirror_class
from .writing import SynthesisRecord, is_synthetic, write_recordings

__all__ = [
    "DIGIT_PX",
    "DIGIT_SENSOR",
    "DVS128_GESTURES",
    "GESTURE_SENSOR",
    "OTHER",
    "RENDERING",
    "CameraKind",
    "ClipSettings",
    "DigitsPlan",
    "FilmedGesture",
    "FilmedGestures",
    "GestureClip",
    "GesturesPlan",
    "MnistPart",
    "Performance",
    "Person",
    "Repeat",
    "Repertoire",
    "SynthesisRecord",
    "TrackedMovement",
    "digit_frames",
    "draw_person",
    "film_gesture",
    "gesture_frames",
    "is_synthetic",
    "mirror_class",
    "plan_clip",
    "plan_session",
    "pose_person",
    "read_mnist",
    "read_repertoire",
    "record_digit",
    "record_film",
    "record_gesture",
    "record_session",
    "render_gesture",
    "render_session",
    "write_digits",
    "write_gestures",
    "write_recordings",
]
