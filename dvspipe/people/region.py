"""Region of interest of a film: locate the person with the pose network, moving or still.

The region is the smallest square that contains a square of side VIEW_M around the shoulders, at the person's distance,
and both hands during all of the film, up to MAX_GROWTH times as large. It is not larger than the complete picture. Its
side is constant over the film, and its centre follows the person slowly. The clips of rendered people that networks are
trained on are cut by the same rule.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..framing.framing import DEAD_BAND, Square, follow_centers, smooth_centers
from ..hooks import SquarePath
from .body import OUTWARDS
from .network import JOINTS
from .track import Track, shows_shoulders

VIEW_M = 1.45  # side of the square: geometric mean of the views of the training cameras
SMOOTHING_HZ = 10.0  # steps per second of `smooth_centers`; its standard deviation is then 0.4 s
MIN_PRESENT = 0.3  # fraction of pictures that must show a person
MIN_SIDE_PX = 32.0  # side of the square around the smallest person whose gestures can be seen
HAND_M = 0.19  # from the wrist to the finger tips
MIN_WRIST = 0.5  # minimum confidence of a wrist
HAND_QUANTILES = (0.01, 0.99)  # places of both hands over time; the rest are hands misplaced in single pictures
MAX_GROWTH = 1.4  # arms stretched to both sides need 1.15 to 1.3, measured on films; more if a hand is misplaced


def frame_person(tracked: Track) -> SquarePath | None:
    """Return the square around the person in a film; None if a person is seldom seen, or far away."""
    original = tracked.size
    seen = tracked.present & shows_shoulders(tracked.confidence)
    if seen.mean() < MIN_PRESENT:
        return None

    center, scale = measure_person(tracked)
    side = VIEW_M * float(np.median(scale[seen]))
    if side < MIN_SIDE_PX:
        return None

    t_us = tracked.times_us[seen]
    smooth = smooth_centers(np.round(t_us * (SMOOTHING_HZ * 1e-6)).astype(np.int64), center[seen])
    followed = follow_centers(smooth, DEAD_BAND * side)

    # The square is placed relative to the shoulders, and moves with them.
    offset = enclose_hands(find_hands(tracked, side / VIEW_M)[seen] - followed[:, None], side)
    squares = [limit_square(offset.moved(x, y), original) for x, y in followed]

    return SquarePath(t_us, np.array([(square.x, square.y) for square in squares]), squares[0].side)


def measure_person(track: Track) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the midpoint of the shoulders in pixels, [N, 2], and the scale there in pixels per metre, [N]."""
    center, torso_px, shoulders_px = _measure_trunk(track.pixel)
    _, torso_m, shoulders_m = _measure_trunk(track.point)

    # Shoulders of a turned person are closer in the picture, by the cosine of the angle; the torso is not.
    return center, (torso_px + shoulders_px) / (torso_m + shoulders_m * np.abs(np.cos(track.yaw)))


def _measure_trunk(
    place: Callable[[str], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the midpoint of the shoulders, [N, D], and the lengths of the torso and between the shoulders, [N]."""
    left = place("left_shoulder")
    right = place("right_shoulder")
    center = (left + right) / 2
    hips = (place("left_hip") + place("right_hip")) / 2
    return center, np.linalg.norm(hips - center, axis=-1), np.linalg.norm(left - right, axis=-1)


def find_hands(track: Track, scale: float) -> NDArray[np.float64]:
    """Return the finger tips of both hands in pixels, inside the picture, [N, 2, 2]; NaN if a hand is unseen.

    `scale` is in pixels per metre.
    """
    tips = []
    for side in OUTWARDS:
        tip = extend_hand(track.pixel(f"{side}_wrist"), track.pixel(f"{side}_index"), scale)
        is_seen = track.confidence[:, JOINTS.index(f"{side}_wrist")] >= MIN_WRIST
        tips.append(np.where(is_seen[:, None], tip, np.nan))

    return np.asarray(np.clip(np.stack(tips, axis=1), 0, (track.size.width, track.size.height)))


def extend_hand(wrist: NDArray[np.float64], knuckles: NDArray[np.float64], scale: float) -> NDArray[np.float64]:
    """Return the finger tips of a hand, [..., 2], from wrist and knuckles in pixels; `scale` is in pixels per metre."""
    along = knuckles - wrist
    return np.asarray(wrist + HAND_M * scale * along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1))


def enclose_hands(hands: NDArray[np.float64], side: float) -> Square:
    """Return the smallest square that contains the square of a side around the shoulders and the hands, within limits.

    Args:
        hands: Finger tips relative to the midpoint of the shoulders, [..., 2]; NaN if unseen.
        side: Side of the square around the shoulders, VIEW_M at the person's distance.

    Returns:
        Square relative to the midpoint of the shoulders; its side is at most MAX_GROWTH times `side`.
    """
    seen = hands.reshape(-1, 2)
    seen = seen[np.isfinite(seen).all(axis=1)]
    if not len(seen):
        return Square(0.0, 0.0, side)

    first, last = np.quantile(seen, HAND_QUANTILES, axis=0)
    low = np.minimum(first, -side / 2)
    high = np.maximum(last, side / 2)
    grown = min(MAX_GROWTH * side, float((high - low).max()))

    # Along an axis that needs less than the side, the shoulders stay as near to the middle as possible.
    slack = np.maximum(0, grown - (high - low)) / 2
    x, y = np.clip(0, (low + high) / 2 - slack, (low + high) / 2 + slack)
    return Square(float(x), float(y), grown)


def limit_square(square: Square, picture: SensorSize) -> Square:
    """Return the square around the complete picture if the square is larger, otherwise the square."""
    longer = float(max(picture.width, picture.height))
    return square if square.side < longer else Square(picture.width / 2, picture.height / 2, longer)
