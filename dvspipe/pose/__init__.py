"""Human pose tracking: follow the joints of the largest person in a video."""

from .body import OUTWARDS, ArmTrack, ArmTracks, from_shoulder, measure_arms, to_body_frame
from .hands import HandPath, trace_hands
from .movement import GesturePart, find_movement
from .network import JOINTS, InputSquare, Look, PoseNetwork, Sighting
from .track import Gap, Track
from .tracking import TrackSettings, check_brightness, find_people, track, track_pictures

__all__ = [
    "JOINTS",
    "OUTWARDS",
    "ArmTrack",
    "ArmTracks",
    "Gap",
    "GesturePart",
    "HandPath",
    "InputSquare",
    "Look",
    "PoseNetwork",
    "Sighting",
    "Track",
    "TrackSettings",
    "check_brightness",
    "find_movement",
    "find_people",
    "from_shoulder",
    "measure_arms",
    "to_body_frame",
    "trace_hands",
    "track",
    "track_pictures",
]
