"""Body coordinates: rotate joints as if the person faced the camera, and extract the arms."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief, DataError
from ..events import SensorSize
from .network import JOINTS, Floats
from .track import Track

Side = Literal["right", "left"]
OUTWARDS: Mapping[Side, float] = {"right": -1.0, "left": 1.0}
"""Sign of the outward x direction, by the person's own side."""
_LEFT_SHOULDER = JOINTS.index("left_shoulder")
_RIGHT_SHOULDER = JOINTS.index("right_shoulder")


@dataclass(frozen=True, eq=False, repr=False)
class ArmTrack(Brief):
    """Elbow and wrist of one arm at N times, relative to the shoulder, in units of the arm's length.

    The axes are outwards, up and forwards, as in `dvspipe.synthesis.motion.Arm`: multiplied by a person's `reach_m`,
    these points are the points of an `Arm`. They are NaN while the person is missing.

    Args:
        elbow: Elbow positions, [N, 3].
        wrist: Wrist positions, [N, 3].
    """

    elbow: Floats
    wrist: Floats


@dataclass(frozen=True, eq=False, repr=False)
class ArmTracks(Brief):
    """Both arms of a person.

    Args:
        right: The person's right arm.
        left: The person's left arm.
        arm_m: Arm length from shoulder to wrist in metres, as estimated by the network: median over time and both arms.
    """

    right: ArmTrack
    left: ArmTrack
    arm_m: float


def to_body_frame(points_m: Floats) -> tuple[Floats, Floats]:
    """Transform joints to body coordinates, and return the yaw of the person.

    Args:
        points_m: Joints in metres, [N, J, 3]; the axes point right in the picture, up, and towards the camera.

    Returns:
        Joints [N, J, 3], and yaw [N] in radians. The origin is midway between the shoulders; x points horizontally from
        the right to the left shoulder, y up, z forwards. As in `dvspipe.synthesis.scenes.Camera`, the person faces the
        camera at yaw 0, and a positive yaw turns the left shoulder away from the camera.
    """
    right = points_m[:, _RIGHT_SHOULDER]
    left = points_m[:, _LEFT_SHOULDER]
    across = left - right
    yaw = np.arctan2(-across[:, 2], across[:, 0])

    # Turn about the vertical axis until the shoulders are parallel to the picture.
    cos = np.cos(yaw)[:, None]
    sin = np.sin(yaw)[:, None]
    x, y, z = np.moveaxis(points_m - (right + left)[:, None] / 2, -1, 0)

    return np.stack([x * cos - z * sin, y, x * sin + z * cos], axis=-1), yaw


def make_track(times_us: NDArray[np.int64], points: Floats, confidence: Floats | None = None) -> Track:
    """Make a track of a person who was not filmed.

    Args:
        times_us: Increasing times in microseconds, int64 [N].
        points: Joints in metres, [N, J, 3], in the axes of `to_body_frame`.
        confidence: Probability that a joint is visible, [N, J]; default: 1.
    """
    N, J = points.shape[:2]
    body, yaw = to_body_frame(points)
    seen = np.ones((N, J)) if confidence is None else confidence

    # Without a picture, its size does not matter.
    size = SensorSize(width=1, height=1)
    return Track(times_us, body, body[..., :2], seen, np.ones(N), yaw, np.ones(N, np.int64), size)


def measure_arms(track: Track) -> ArmTracks:
    """Extract both arms of a tracked person.

    Raises:
        DataError: If the person is missing at all times.
    """
    if not track.present.any():
        raise DataError(
            "track: shows no person, so it has no arms (found presence below 0.5 at all times, expected 0.5 or more)"
        )

    # The median over both arms and all pictures: the length of a bone changes with errors of its depth.
    bones = [from_shoulder(track, side, ("elbow", "wrist")) for side in OUTWARDS]
    lengths = [np.linalg.norm(elbow, axis=-1) + np.linalg.norm(wrist - elbow, axis=-1) for elbow, wrist in bones]
    arm_m = float(np.median(np.concatenate(lengths)[np.tile(track.present, 2)]))

    right, left = (ArmTrack(elbow / arm_m, wrist / arm_m) for elbow, wrist in bones)
    return ArmTracks(right, left, arm_m)


def from_shoulder(track: Track, side: Side, joints: Sequence[str]) -> Floats:
    """Return joints of an arm relative to its shoulder.

    Args:
        track: Tracked person.
        side: The person's own side.
        joints: Names in `JOINTS` without the side, such as `wrist`.

    Returns:
        Positions in metres, [len(joints), N, 3]; the axes are outwards, up, forwards.
    """
    shoulder = track.point(f"{side}_shoulder")
    points = np.stack([track.point(f"{side}_{joint}") for joint in joints])
    return np.asarray((points - shoulder) * (OUTWARDS[side], 1.0, 1.0))
