"""Region of interest of a film: locate the person with the pose network, moving or still.

The region is a square of side VIEW_M at the person's distance, with the shoulders at half its height, as in training
clips. Its side is constant over the film, and its centre follows the person slowly. Hands of a person close to the
camera enlarge it, up to MAX_GROWTH times. Around complete bodies it stays, because training clips cut stretched arms,
too: with larger regions, 12 of 13 such films got a lower probability, and none a better class.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import VideoError
from ..events import SensorSize
from ..parallel import Progress, ignore_progress
from ..pose import JOINTS, OUTWARDS, Track, track
from ..pose.track import shows_shoulders
from ..video.config import VideoSettings
from .framing import DEAD_BAND, MAX_ZOOM, Framing, follow_centers, smooth_centers

VIEW_M = 1.45  # side of the square: geometric mean of the views of the training cameras
POSE_HZ = 4.0  # rate of pose estimation, in pictures per second
SMOOTHING_HZ = 10.0  # steps per second of `smooth_centers`; its standard deviation is then 0.4 s
MIN_PRESENT = 0.3  # fraction of pictures that must show a person
MIN_SIDE_PX = 32.0  # side of the square around the smallest person whose gestures can be seen
HAND_M = 0.19  # from the wrist to the finger tips
MIN_WRIST = 0.5  # minimum confidence of a wrist
MAX_GROWTH = 1.4  # side of the square around arms stretched to both sides, or up, relative to VIEW_M: 1.15 to 1.3


def find_person(
    path: Path, video: VideoSettings, original: SensorSize, target: SensorSize, progress: Progress = ignore_progress
) -> Framing | None:
    """Frame the largest person in a film; return None if nobody is found, or the person fills the picture.

    Crop and resize of `video` are ignored; `original` is the size of the film's pictures.
    """
    complete = video.model_copy(update={"crop": None, "resize": None})
    try:
        tracked = track(path, {"max_fps": POSE_HZ, "smooth": False}, video=complete, progress=progress)
    except VideoError:
        return None  # the simulation reports problems of the film

    seen = tracked.present & shows_shoulders(tracked.confidence)
    if seen.mean() < MIN_PRESENT:
        return None

    center, scale = measure_person(tracked)
    side = VIEW_M * float(np.median(scale[seen]))
    shorter = min(target.width, target.height)
    zoom = min(MAX_ZOOM, shorter / side)
    fills_picture = zoom * original.width <= target.width and zoom * original.height <= target.height
    if side < MIN_SIDE_PX or fills_picture:
        return None

    t_us = tracked.times_us[seen]
    smooth = smooth_centers(np.round(t_us * (SMOOTHING_HZ * 1e-6)).astype(np.int64), center[seen])
    followed = follow_centers(smooth, DEAD_BAND * shorter / zoom)

    # The hips are below the picture: the person is close to the camera, so stretched hands enlarge the region.
    if np.median(tracked.pixel("left_hip")[seen, 1]) > tracked.size.height:
        away = np.abs(find_hands(tracked, side / VIEW_M)[seen] - followed[:, None])
        largest = min(MAX_GROWTH * side, max(original.width, original.height))
        zoom = min(zoom, shorter / min(largest, max(side, 2 * np.nanmax(away, initial=0))))

    return Framing(original, target, float(zoom), t_us, followed)


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
        wrist = track.pixel(f"{side}_wrist")
        along = track.pixel(f"{side}_index") - wrist
        is_seen = track.confidence[:, JOINTS.index(f"{side}_wrist")] >= MIN_WRIST

        tip = wrist + HAND_M * scale * along / np.maximum(np.linalg.norm(along, axis=-1, keepdims=True), 1)
        tips.append(np.where(is_seen[:, None], tip, np.nan))

    return np.asarray(np.clip(np.stack(tips, axis=1), 0, (track.size.width, track.size.height)))
