"""Human pose tracking: follow the joints of the largest person in a video."""

from .body import OUTWARDS, ArmTrack, ArmTracks, Side, from_shoulder, make_track, measure_arms, to_body_frame
from .hands import HandPath, trace_hands
from .movement import GesturePart, find_movement
from .network import JOINTS, InputSquare, Look, PoseNetwork, Sighting
from .reading import TRACK_READERS, find_tracks, read_track
from .track import Gap, Track
from .tracking import TrackSettings, check_brightness, find_people, track, track_pictures

__all__ = [
    "JOINTS",
    "OUTWARDS",
    "TRACK_READERS",
    "ArmTrack",
    "ArmTracks",
    "Gap",
    "GesturePart",
    "HandPath",
    "InputSquare",
    "Look",
    "PoseNetwork",
    "Side",
    "Sighting",
    "Track",
    "TrackSettings",
    "check_brightness",
    "find_movement",
    "find_people",
    "find_tracks",
    "from_shoulder",
    "make_track",
    "measure_arms",
    "read_track",
    "to_body_frame",
    "trace_hands",
    "track",
    "track_pictures",
]
