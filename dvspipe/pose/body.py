"""The body's frame: joints of a person as if the person faced the camera, and the arms in it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..errors import DataError
from .network import JOINTS, Floats
from .track import Track

Side = Literal["right", "left"]
OUTWARDS: Mapping[Side, float] = {"right": -1.0, "left": 1.0}
"""Sign of x that is outwards, by the person's own side."""
_LEFT_SHOULDER, _RIGHT_SHOULDER = JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")


@dataclass(frozen=True, eq=False)
class ArmTrack:
    """Elbow and wrist of one arm over N moments, [N, 3], relative to its shoulder and in units of the arm's length.

    The axes are outwards, up and forwards, as in `dvspipe.synthesis.motion.Arm`: the points multiplied by a person's
    `reach_m` are the points of an `Arm`. A missing person is NaN.

    Args:
        elbow: Position of the elbow.
        wrist: Position of the wrist.
    """

    elbow: Floats
    wrist: Floats


@dataclass(frozen=True, eq=False)
class ArmTracks:
    """Both arms of a person.

    Args:
        right: The person's right arm.
        left: The person's left arm.
        arm_m: Length of an arm from shoulder to wrist, in metres of the network: the median over time, of both arms.
    """

    right: ArmTrack
    left: ArmTrack
    arm_m: float


def to_body_frame(points_m: Floats) -> tuple[Floats, Floats]:
    """Return joints in the body's frame, and the angle by which the person is turned.

    Args:
        points_m: [N, J, 3] joints in metres: to the right of the picture, up, towards the camera.

    Returns:
        The joints [N, J, 3], with the origin midway between the shoulders, x from the right shoulder to the left one
        (horizontally), y up and z forwards; and the yaw [N] in radians, as in `dvspipe.synthesis.scenes.Camera`: at 0
        the person faces the camera, a positive yaw turns the left shoulder away from it.
    """
    right, left = points_m[:, _RIGHT_SHOULDER], points_m[:, _LEFT_SHOULDER]
    across = left - right
    yaw = np.arctan2(-across[:, 2], across[:, 0])
    cos, sin = np.cos(yaw)[:, None], np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(points_m - (right + left)[:, None] / 2, -1, 0)
    return np.stack([x * cos - z * sin, y, x * sin + z * cos], axis=-1), yaw


def measure_arms(track: Track) -> ArmTracks:
    """Return both arms of a tracked person.

    Raises:
        DataError: The track has no person at any time.
    """
    if not track.present.any():
        raise DataError("a track without a person has no arms (found a presence below 0.5 at all times)")
    bones = [from_shoulder(track, side, ("elbow", "wrist")) for side in OUTWARDS]
    lengths = [np.linalg.norm(elbow, axis=-1) + np.linalg.norm(wrist - elbow, axis=-1) for elbow, wrist in bones]
    arm_m = float(np.median(np.concatenate(lengths)[np.tile(track.present, 2)]))
    right, left = (ArmTrack(elbow / arm_m, wrist / arm_m) for elbow, wrist in bones)
    return ArmTracks(right, left, arm_m)


def from_shoulder(track: Track, side: Side, joints: Sequence[str]) -> Floats:
    """Return joints of an arm relative to its shoulder, [joints, N, 3] in metres: outwards, up, forwards.

    Args:
        track: The person.
        side: The person's own side.
        joints: Names in `JOINTS` without the side, such as `wrist`.
    """
    shoulder = track.point(f"{side}_shoulder")
    points = np.stack([track.point(f"{side}_{joint}") for joint in joints])
    return np.asarray((points - shoulder) * (OUTWARDS[side], 1.0, 1.0))
