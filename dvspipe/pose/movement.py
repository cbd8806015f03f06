"""Find the part of a film that shows a gesture: the repeated movement, the single one, or the held pose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError
from .body import OUTWARDS, Side, from_shoulder, measure_arms
from .cycles import Cycles, find_cycles
from .network import JOINTS, Floats
from .track import Track

STEP_S = 1 / 30  # interval of the resampled paths
MIN_MOVEMENT_S = 0.4
MIN_EXTENT = 0.08  # range of the hand in arm lengths; hand waves in films have 0.1 or more
MIN_SPREAD = 0.02  # standard deviation of a moving hand in arm lengths
HALF_WINDOW_S = 0.2  # a hand moves where its spread in this window is large
SPREAD_SHARE, MAX_SPREAD = 0.25, 0.05  # threshold of movement: share of the 90 % quantile, at most 0.05 arm lengths
MAX_PAUSE_S = 0.6  # a longer rest separates performances
MAX_GAP_US = 500_000  # a longer time without a person separates performances
RAISED = 0.3  # height of a held hand above its resting place, in arm lengths
DEPTH_WEIGHT = 0.5  # the network measures depth with about twice the noise
VISIBLE = 0.5  # minimum confidence of a visible joint
PADDING_S = 0.1  # before and after a movement that is not repeated
SIDE_SHARE = 0.35  # a hand moves with the other if its extent is at least this share
MIN_COVERAGE, SURE_COUNT = 0.4, 3  # repetitions: share of the movement, or number of cycles


@dataclass(frozen=True)
class GesturePart:
    """Part of a film that shows a gesture.

    Args:
        start_us: Start in the film in microseconds.
        stop_us: End in the film in microseconds.
        period_us: Mean length of a repetition in microseconds; None if the movement is not repeated.
        repetitions: Number of repetitions, 1 or more.
        sides: Hands that move, by the person's own side.
        hold_us: Longest time the raised hand is still, in microseconds; 0: the hand is never held up.
        warnings: Facts to check before the part is used, one sentence each.
    """

    start_us: int
    stop_us: int
    period_us: int | None
    repetitions: int
    sides: Literal["right", "left", "both"]
    hold_us: int = 0
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class _Path:
    """Hands at equal intervals while the person is present.

    Args:
        start_s: Time of the first sample.
        hands: Hands relative to the shoulders in arm lengths, [T, 2, 3].
        visible: Whether wrist and elbow of each arm are visible, bool [T, 2].
    """

    start_s: float
    hands: Floats
    visible: NDArray[np.bool_]

    def time_us(self, sample: float) -> int:
        return round((self.start_s + sample * STEP_S) * 1e6)

    @property
    def spread(self) -> Floats:
        """Standard deviation of each hand in the 0.4 s around each sample, [T, 2]."""
        half = round(HALF_WINDOW_S / STEP_S)
        padded = np.pad(self.hands, ((half, half), (0, 0), (0, 0)), mode="edge")
        windows = np.lib.stride_tricks.sliding_window_view(padded, 2 * half + 1, axis=0)
        return np.asarray(np.sqrt(windows.var(axis=-1).sum(axis=-1)))


@dataclass(frozen=True)
class _Run:
    """Movement in a path: samples, and the longest time a raised hand is still."""

    path: _Path
    first: int
    last: int
    hold: int
    cycles: Cycles | None

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Repeated movements first, then complete ones, then the longest."""
        complete = self.first > 0 and self.last < len(self.path.hands) - 1
        return self.cycles is not None, complete, self.last - self.first


def find_movement(
    track: Track, *, name: str = "the film", start_us: int | None = None, stop_us: int | None = None
) -> GesturePart:
    """Find the part of a film that shows a gesture.

    Rest at both ends is not part of it. A repeated movement is cut to complete repetitions. A pose that is held still
    starts when the hand is raised and ends when it is lowered again. If the film shows several movements with rest
    between them, the part is the best of them: repeated movements first, then movements that neither start nor end
    outside the film, then the longest.

    Args:
        track: Tracked person.
        name: Name of the film in messages.
        start_us: Start of the part in microseconds; None: found.
        stop_us: End of the part in microseconds; None: found.

    Raises:
        DataError: If the film shows no person, no arms, no movement, or less than 0.4 s of movement.
    """
    inside = _select(track, start_us, stop_us)
    if not inside.any():
        raise DataError(
            f"{name}: shows no person{_describe_range(start_us, stop_us)} (found 0 of {len(track.times_us)} pictures "
            "with a person, expected 1 or more)"
        )
    reach_m = measure_arms(track).arm_m
    paths = [_resample(track, rows, reach_m) for rows in _split_rows(track, inside)]
    _check_arms(paths, name)
    runs = [run for path in paths for run in _find_runs(path, paths)]
    if not runs:
        raise _explain_rest(paths, name)
    best = max(runs, key=lambda run: run.rank)
    seconds = (best.last - best.first) * STEP_S
    if seconds < MIN_MOVEMENT_S:
        raise DataError(f"{name}: too short a movement (found {seconds:.2f} s, expected {MIN_MOVEMENT_S} s or more)")
    return _describe_part(best, start_us, stop_us)


def _describe_range(start_us: int | None, stop_us: int | None) -> str:
    if start_us is None and stop_us is None:
        return ""
    start = "the start" if start_us is None else f"{start_us / 1e6:g} s"
    return f" from {start} to {'the end' if stop_us is None else f'{stop_us / 1e6:g} s'}"


def _select(track: Track, start_us: int | None, stop_us: int | None) -> NDArray[np.bool_]:
    """Return whether each picture is inside the range and shows a person, bool [N]."""
    first_us = track.times_us[0] if start_us is None else start_us
    last_us = track.times_us[-1] if stop_us is None else stop_us
    return np.asarray(track.present & (track.times_us >= first_us) & (track.times_us <= last_us))


def _split_rows(track: Track, inside: NDArray[np.bool_]) -> Sequence[NDArray[np.int64]]:
    rows = np.flatnonzero(inside)
    return np.split(rows, np.flatnonzero(np.diff(track.times_us[rows]) > MAX_GAP_US) + 1)


def _resample(track: Track, rows: NDArray[np.int64], reach_m: float) -> _Path:
    times_s = track.times_us[rows] / 1e6
    grid_s = times_s[0] + STEP_S * np.arange(int((times_s[-1] - times_s[0]) / STEP_S) + 1)
    hands = np.stack([from_shoulder(track, side, ("index", "pinky")).mean(axis=0)[rows] for side in OUTWARDS], axis=1)
    hands *= np.array([1, 1, DEPTH_WEIGHT]) / reach_m
    flat = hands.reshape(len(rows), -1)
    hands = np.stack([np.interp(grid_s, times_s, column) for column in flat.T], axis=-1).reshape(-1, 2, 3)
    nearest = np.abs(grid_s[:, None] - times_s).argmin(axis=1) if len(rows) > 1 else np.zeros(len(grid_s), int)
    visible = np.stack([_see_hand(track, side)[rows] for side in OUTWARDS], axis=1)[nearest]
    return _Path(float(times_s[0]), hands, visible)


def _see_hand(track: Track, side: Side) -> NDArray[np.bool_]:
    """Return whether the wrist is inside the picture and not hidden, bool [N]."""
    wrist_px, corner = track.pixel(f"{side}_wrist"), (track.size.width, track.size.height)
    inside = ((wrist_px >= 0) & (wrist_px < corner)).all(axis=1)
    return np.asarray(inside & (track.confidence[:, JOINTS.index(f"{side}_wrist")] >= VISIBLE))


def _check_arms(paths: Sequence[_Path], name: str) -> None:
    shares = np.concatenate([path.visible for path in paths]).mean(axis=0)
    if shares.max() < 0.2:
        raise DataError(
            f"{name}: shows no hands (found a wrist inside the picture and not hidden in {100 * shares.max():.0f} % "
            "of the pictures of the person, expected 20 % or more)"
        )


def _find_runs(path: _Path, paths: Sequence[_Path]) -> list[_Run]:
    """Return the movements in a path; pauses with a raised hand are part of a movement."""
    spread = path.spread * path.visible
    highest = np.quantile(np.concatenate([each.spread * each.visible for each in paths]).max(axis=1), 0.9)
    moving = spread.max(axis=1) >= max(MIN_SPREAD, min(SPREAD_SHARE * highest, MAX_SPREAD))
    edges = np.flatnonzero(np.diff(np.concatenate([[0], moving, [0]])))
    pieces = [(int(first), int(stop) - 1, 0) for first, stop in zip(edges[::2], edges[1::2], strict=True)]
    still = [path.hands[~moving, side, 1] for side in (0, 1)]
    merged: list[tuple[int, int, int]] = []
    for first, last, _ in pieces:
        if merged:
            pause = slice(merged[-1][1] + 1, first)
            raised = any(path.hands[pause, side, 1].mean() - still[side].min() > RAISED for side in (0, 1))
            length = pause.stop - pause.start
            if raised or length * STEP_S <= MAX_PAUSE_S:
                hold = max(merged[-1][2], length if raised else 0)
                merged[-1] = (merged[-1][0], last, hold)
                continue
        merged.append((first, last, 0))
    runs = []
    for first, last, hold in merged:
        part = path.hands[first : last + 1]
        if _extents(part).max() >= MIN_EXTENT:
            runs.append(_Run(path, first, last, hold, _find_repetitions(part)))
    return runs


def _find_repetitions(hands: Floats) -> Cycles | None:
    moves = _moving_sides(hands)
    cycles = find_cycles(hands[:, moves].reshape(len(hands), -1), STEP_S, MIN_SPREAD)
    if cycles is None:
        return None
    covered = (cycles.stop - cycles.start) / len(hands)
    return cycles if covered >= MIN_COVERAGE or cycles.count >= SURE_COUNT else None


def _extents(hands: Floats) -> Floats:
    """Return the extent of the path of each hand, [2]: the largest range of a coordinate, without outliers."""
    low, high = np.quantile(hands, [0.02, 0.98], axis=0)
    return np.asarray((high - low).max(axis=1))


def _moving_sides(hands: Floats) -> NDArray[np.bool_]:
    extents = _extents(hands)
    return np.asarray(extents >= SIDE_SHARE * extents.max())


def _explain_rest(paths: Sequence[_Path], name: str) -> DataError:
    hands = np.concatenate([path.hands for path in paths])
    extent = _extents(hands).max()
    return DataError(
        f"{name}: shows no movement of the hands (found {100 * extent:.0f} % of the arm length, expected "
        f"{100 * MIN_EXTENT:.0f} % or more)"
    )


def _describe_part(run: _Run, start_us: int | None, stop_us: int | None) -> GesturePart:
    path, cycles = run.path, run.cycles
    last = len(path.hands) - 1
    pad = round(PADDING_S / STEP_S)
    first, stop = max(0, run.first - pad), min(last, run.last + pad)
    if cycles is not None:
        first, stop = run.first + cycles.start, run.first + cycles.stop
    found_us = (path.time_us(first), path.time_us(stop))
    part_us = (found_us[0] if start_us is None else start_us, found_us[1] if stop_us is None else stop_us)
    period_us = None if cycles is None else round((found_us[1] - found_us[0]) / cycles.count)
    moves = _moving_sides(path.hands[first : stop + 1])
    return GesturePart(
        *part_us,
        period_us=period_us,
        repetitions=1 if period_us is None else max(1, round((part_us[1] - part_us[0]) / period_us)),
        sides="both" if moves.all() else ("right" if moves[0] else "left"),
        hold_us=round(run.hold * STEP_S * 1e6) if cycles is None else 0,
    )
