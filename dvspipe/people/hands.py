"""Paths of the hands of a tracked person at equal intervals, and their movement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from .body import OUTWARDS, Side, from_shoulder, measure_arms
from .network import JOINTS, Floats
from .track import Track, cumulate

PATH_STEP_S = 1 / 30
MAX_GAP_US = 500_000  # a longer time without a person separates paths
DEPTH_WEIGHT = 0.5  # depth is noisier than the other directions
HALF_WINDOW_S = 0.2  # short compared with a gesture, long compared with a picture
SEEN_WINDOW_S = 1.5  # a hand that leaves the picture for less than a second still counts
MIN_SEEN = 0.4
VISIBLE = 0.5  # minimum confidence of a visible joint
MIN_EXTENT = 0.08  # range of a moving hand in arm lengths; hand waves in films have 0.1 or more
RAISED = 0.3  # a raised hand is this much above its lowest place, in arm lengths
SIDE_SHARE = 0.5  # a hand that moves less than this share of the other hand is at rest


@dataclass(frozen=True, eq=False)
class HandPath:
    """Both hands at T equal intervals while the person is present.

    Args:
        start_s: Time of the first sample in the film in seconds.
        hands: Hands relative to the shoulders in arm lengths, [T, 2, 3]: side (right, left); outwards, up, forwards.
            Depth has half its size, because its noise is larger.
        visible: Whether the wrist is inside the picture and not hidden, bool [T, 2].
    """

    start_s: float
    hands: Floats
    visible: NDArray[np.bool_]

    def time_us(self, sample: int) -> int:
        """Return the time of a sample in the film in microseconds."""
        return round((self.start_s + sample * PATH_STEP_S) * 1e6)

    @cached_property
    def seen(self) -> NDArray[np.bool_]:
        """Whether each hand is visible in 40 % or more of the 1.5 s around each sample, bool [T, 2]."""
        return np.asarray(_average(self.visible.astype(float), SEEN_WINDOW_S / 2) >= MIN_SEEN)

    @cached_property
    def spread(self) -> Floats:
        """Standard deviation of each hand in the 0.4 s around each sample in arm lengths, [T, 2]; 0 while not seen."""
        mean = _average(self.hands, HALF_WINDOW_S)
        square = _average(self.hands**2, HALF_WINDOW_S)
        return np.asarray(np.sqrt(np.maximum(square - mean**2, 0).sum(axis=-1)) * self.seen)

    def extents(self, first: int, last: int) -> Floats:
        """Return the largest range of a coordinate of each hand between two samples, without outliers, [2].

        A hand that is visible in less than 40 % of the time has no extent, unless the other one is visible even less.
        """
        low, high = np.quantile(self.hands[first : last + 1], [0.02, 0.98], axis=0)
        visible = self.visible[first : last + 1].mean(axis=0)
        return np.asarray((high - low).max(axis=1) * (visible >= min(MIN_SEEN, visible.max())))

    def moving_sides(self, first: int, last: int) -> NDArray[np.bool_]:
        """Return whether each hand moves between two samples, bool [2]; the hand that moves more always does."""
        extents = self.extents(first, last)
        return np.asarray((extents >= max(SIDE_SHARE * extents.max(), MIN_EXTENT)) | (extents == extents.max()))

    def is_raised(self, first: int, stop: int) -> bool:
        """Return whether a seen hand is raised on average in samples `first` to `stop` (exclusive)."""
        if first >= stop:
            return False
        heights = self.hands[first:stop, :, 1] - np.quantile(self.hands[..., 1], 0.02, axis=0)
        return bool(np.where(self.seen[first:stop], heights, 0).mean(axis=0).max() >= RAISED)


def _average(values: Floats, half_s: float) -> Floats:
    """Average values over time, [T, ...], within a half width in seconds; windows are shorter at the ends."""
    half = round(half_s / PATH_STEP_S)
    T = len(values)

    sums = cumulate(values)
    firsts = np.maximum(np.arange(T) - half, 0)
    stops = np.minimum(np.arange(T) + half + 1, T)
    counts = (stops - firsts).reshape(-1, *[1] * (values.ndim - 1))
    return np.asarray((sums[stops] - sums[firsts]) / counts)


def trace_hands(track: Track, inside: NDArray[np.bool_]) -> list[HandPath]:
    """Return the paths of the hands in pictures with the person `inside`, bool [N]; gaps above 0.5 s separate them."""
    rows = np.flatnonzero(inside & track.present)
    if len(rows) == 0:
        return []

    reach_m = measure_arms(track).arm_m
    pieces = np.split(rows, np.flatnonzero(np.diff(track.times_us[rows]) > MAX_GAP_US) + 1)
    hands = np.stack([from_shoulder(track, side, ("index", "pinky")).mean(axis=0) for side in OUTWARDS], axis=1)

    hands = hands * np.array([1, 1, DEPTH_WEIGHT]) / reach_m
    visible = np.stack([see_joint(track, side, "wrist") for side in OUTWARDS], axis=1)
    return [_resample(track.times_us[piece] / 1e6, hands[piece], visible[piece]) for piece in pieces]


def _resample(times_s: Floats, hands: Floats, visible: NDArray[np.bool_]) -> HandPath:
    grid_s = times_s[0] + PATH_STEP_S * np.arange(int((times_s[-1] - times_s[0]) / PATH_STEP_S + 1e-6) + 1)
    columns = [np.interp(grid_s, times_s, column) for column in hands.reshape(len(hands), -1).T]
    after = np.minimum(np.searchsorted(times_s, grid_s), len(times_s) - 1)
    return HandPath(float(times_s[0]), np.stack(columns, axis=-1).reshape(-1, 2, 3), visible[after])


def see_joint(track: Track, side: Side, joint: str) -> NDArray[np.bool_]:
    """Return whether a joint is inside the picture and not hidden, bool [N]; `joint` has no side, such as `wrist`."""
    places = track.pixel(f"{side}_{joint}")
    corner = (track.size.width, track.size.height)
    inside = ((places >= 0) & (places < corner)).all(axis=1)
    return np.asarray(inside & (track.confidence[:, JOINTS.index(f"{side}_{joint}")] >= VISIBLE))


def share_seen(track: Track, rows: NDArray[np.bool_], sides: Sequence[Side], joint: str) -> float:
    """Return the share of pictures with the person that show a joint, 0 to 1: the minimum over the sides."""
    here = rows & track.present
    return min(float(see_joint(track, side, joint)[here].sum()) for side in sides) / max(1, int(here.sum()))
