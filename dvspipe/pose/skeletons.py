"""Skeletons of motion capture: forward kinematics, and conversion to tracks.

Joint j of a picture has the orientation G[j] and the position p[j]. With the parent k, the rotation R[j] that the file
stores, and the offset o[j] from the parent in the rest pose:

    G[j] = G[k] R[j]
    p[j] = p[k] + G[k] o[j]
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..base.errors import DataError, FormatError
from .body import make_track
from .network import JOINTS, Floats
from .track import Track

X, Y, Z = range(3)
_UNITS_M = (1.0, 0.01, 0.001, 0.0254, 0.0254 / 0.45)  # metre, cm, mm, inch; CMU and HDM05: inch / 0.45
_ARM_M = 0.53  # shoulder to wrist of an adult: 0.186 + 0.146 of a height of 1.6 m (Winter 2009, figure 4.1)
_MIN_UPRIGHT = 0.9  # cosine of the largest angle between torso and vertical axis in the rest pose
_ALIASES = {
    "shoulder": ("humerus", "arm", "upperarm", "uparm", "shldr", "shoulder"),
    "elbow": ("radius", "forearm", "lowerarm", "lowarm", "elbow"),
    "wrist": ("hand", "wrist"),  # CMU and HDM05: lwrist is the end of the forearm
    "hip": ("femur", "upleg", "upperleg", "thigh", "hip"),
}
_HAND_ALIASES = ("fingers", "fingerbase", "handmiddle1", "middle1", "handindex1", "index1")  # knuckles
_HEAD_ALIASES = ("head",)
_SIDES = {"left": ("left", "l"), "right": ("right", "r")}

# The hand, simplified: index and little finger start beside the knuckles, the thumb beside the middle of the hand.
# In a rest pose, the arms are spread with the palms down, or hang with the palms inwards: the thumb is in front.
_KNUCKLE_M = 0.03
_THUMB_M = 0.05
_HAND_M = 0.09  # wrist to knuckles, if the skeleton ends at the wrist
_NOSE_M = (0.08, 0.1)  # up and forwards from the base of the head


@dataclass(frozen=True, eq=False)
class Skeleton:
    """Joints of a person in the rest pose; parents come before their children.

    Args:
        names: Names of the J joints, as in the file.
        parents: Index of the parent of each joint; -1 for the root.
        offsets: Position relative to the parent in the rest pose, in units of the file, [J, 3].
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: Floats

    def place(self, rotations: Floats) -> tuple[Floats, Floats]:
        """Return positions relative to the root [N, J, 3] and orientations [N, J, 3, 3], by forward kinematics.

        Args:
            rotations: Rotation of each joint relative to its parent, [N, J, 3, 3].
        """
        points = np.zeros(rotations.shape[:-1])
        turns = rotations.copy()
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                points[:, joint] = points[:, parent] + turns[:, parent] @ self.offsets[joint]
                turns[:, joint] = turns[:, parent] @ rotations[:, joint]

        return points, turns

    def find(self, names: Sequence[str]) -> int | None:
        """Return the joint with the first of some names that the skeleton has, without regard to case and prefixes."""
        known = [_simplify(name) for name in self.names]
        return next((known.index(name) for name in names if name in known), None)


def rotate_about(axis: int, radians: Floats) -> Floats:
    """Return rotation matrices [..., 3, 3] about the x, y or z axis (0, 1, 2) by angles [...]."""
    cos = np.cos(radians)
    sin = np.sin(radians)
    after = (axis + 1) % 3
    last = (axis + 2) % 3

    matrices = np.zeros((*radians.shape, 3, 3))
    matrices[..., axis, axis] = 1
    matrices[..., after, after] = cos
    matrices[..., last, last] = cos
    matrices[..., after, last] = -sin
    matrices[..., last, after] = sin
    return matrices


def to_track(path: Path, skeleton: Skeleton, rotations: Floats, rate_hz: float) -> Track:
    """Convert the pictures of a motion-capture file to a track.

    The unit of length is chosen so that the arms are most like the arms of an adult. In the rest pose, the person
    is upright, with the arms spread or hanging. The nose, the thumb, the index and the little finger are approximate.

    Args:
        path: File, for messages.
        skeleton: J joints.
        rotations: Rotation of each joint relative to its parent, [N, J, 3, 3].
        rate_hz: Pictures per second.

    Raises:
        FormatError: If the skeleton lacks a joint of an arm, a hip or the head, or is not upright in the rest pose.
    """
    joints = {
        f"{side}_{part}": _find_joint(path, skeleton, f"{side} {part}", list(_spell(side, aliases)))
        for side, (part, aliases) in itertools.product(_SIDES, _ALIASES.items())
    }
    head = _find_joint(path, skeleton, "head", _HEAD_ALIASES)

    # Scale to metres, then turn the vertical axis to y and the person to the front.
    points, turns = skeleton.place(rotations)
    rest = skeleton.place(np.broadcast_to(np.eye(3), (1, len(skeleton.names), 3, 3)))[0][0]
    scale = _find_scale(path, rest, joints)
    upright = _find_upright(path, rest, joints)
    points = scale * points @ upright.T
    turns = upright @ turns @ upright.T
    rest = rest @ upright.T

    across = rest[joints["left_shoulder"]] - rest[joints["right_shoulder"]]
    front = np.array([-across[Z], 0, across[X]]) / np.hypot(across[X], across[Z])

    placed = np.zeros((len(points), len(JOINTS), 3))
    for name, joint in joints.items():
        placed[:, JOINTS.index(name)] = points[:, joint]
    rise_m, reach_m = _NOSE_M
    placed[:, JOINTS.index("nose")] = points[:, head] + turns[:, head] @ (reach_m * front + (0, rise_m, 0))

    for side in _SIDES:
        wrist = joints[f"{side}_wrist"]
        knuckles = points[:, wrist] + _find_hand(skeleton, side, points, joints)
        thumbwards = turns[:, wrist] @ front
        placed[:, JOINTS.index(f"{side}_index")] = knuckles + _KNUCKLE_M * thumbwards
        placed[:, JOINTS.index(f"{side}_pinky")] = knuckles - _KNUCKLE_M * thumbwards
        placed[:, JOINTS.index(f"{side}_thumb")] = (points[:, wrist] + knuckles) / 2 + _THUMB_M * thumbwards

    try:
        return make_track(np.round(np.arange(len(points)) * 1e6 / rate_hz).astype(np.int64), placed)
    except DataError as error:
        raise FormatError(f"{path}: {error.message}") from error


def _simplify(name: str) -> str:
    """Return a name in lower case without a prefix such as `mixamorig:` and without punctuation."""
    return "".join(letter for letter in name.rpartition(":")[2].lower() if letter.isalnum())


def _spell(side: str, aliases: Sequence[str]) -> Iterator[str]:
    """Yield the spellings of a joint of a side, simplified."""
    for alias, word in itertools.product(aliases, _SIDES[side]):
        yield f"{word}{alias}"
        yield f"{alias}{word}"


def _find_joint(path: Path, skeleton: Skeleton, title: str, names: Sequence[str]) -> int:
    joint = skeleton.find(names)
    if joint is None:
        found = ", ".join(skeleton.names)[:100]
        raise FormatError(f"{path}: no {title} (found joints {found}, expected a name such as {names[0]})")
    return joint


def _find_scale(path: Path, rest: Floats, joints: dict[str, int]) -> float:
    """Return the unit of the file in metres, from the length of the arms in the rest pose [J, 3]."""
    length = np.mean(
        [
            np.linalg.norm(rest[joints[f"{side}_elbow"]] - rest[joints[f"{side}_{part}"]])
            for side, part in itertools.product(_SIDES, ("shoulder", "wrist"))
        ]
    )
    if not length > 0:
        raise FormatError(f"{path}: wrong arms (found a length of {length:g}, expected more than 0)")
    return min(_UNITS_M, key=lambda unit: abs(np.log(2 * unit * length / _ARM_M)))


def _find_upright(path: Path, rest: Floats, joints: dict[str, int]) -> Floats:
    """Return the rotation [3, 3] that makes y the vertical axis: it points from hips to shoulders in the rest pose.

    The movement does not tell the vertical axis: a person can lie down.
    """
    left, right = (rest[joints[f"{side}_shoulder"]] - rest[joints[f"{side}_hip"]] for side in _SIDES)
    torso = (left + right) / 2
    axis = int(np.argmax(torso))
    if axis == X or torso[axis] < _MIN_UPRIGHT * np.linalg.norm(torso):
        found = ", ".join(f"{number:.3g}" for number in torso)
        raise FormatError(f"{path}: wrong rest pose (found hips to shoulders {found}, expected upwards, along y or z)")
    return np.eye(3) if axis == Y else rotate_about(X, np.array(-np.pi / 2))


def _find_hand(skeleton: Skeleton, side: str, points: Floats, joints: dict[str, int]) -> Floats:
    """Return the vector from the wrist to the knuckles in metres, [N, 3]; default: in line with the forearm."""
    wrist = joints[f"{side}_wrist"]
    knuckles = skeleton.find(list(_spell(side, _HAND_ALIASES)))
    if knuckles is not None:
        return np.asarray(points[:, knuckles] - points[:, wrist])

    forearm = points[:, wrist] - points[:, joints[f"{side}_elbow"]]
    return np.asarray(_HAND_M * forearm / np.linalg.norm(forearm, axis=-1, keepdims=True))
