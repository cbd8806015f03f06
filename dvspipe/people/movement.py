"""Find the part of a film that shows a gesture: a repeated movement, a single movement, or a pose that is held."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ..base.errors import DataError, count_noun
from .body import OUTWARDS, Side
from .cycles import Cycles, find_cycles
from .hands import MIN_EXTENT, MIN_SEEN, PATH_STEP_S, SEEN_WINDOW_S, HandPath, share_seen, trace_hands
from .network import Floats
from .track import Track, find_runs

MIN_MOVEMENT_S = 0.4
MIN_SPREAD = 0.015  # standard deviation of a moving hand in arm lengths
SPREAD_SHARE = 0.2  # threshold of movement: share of the 90 % quantile, at most MAX_SPREAD arm lengths
MAX_SPREAD = 0.08
MAX_PAUSE_S = 0.6  # a longer rest separates movements
REST_RADIUS = 0.1  # a hand starts to move when it leaves its place by this share of its range
MIN_HOLD_S = 0.4
MAX_OPEN_HOLD_S = 2.0  # included of a hold at an end of the film; a longer one shows nothing more
HELD_UP = -0.35  # height of a raised hand relative to the shoulder in arm lengths; lower in the lap or on a desk
EDGE_S = 0.2  # a movement this close to a cut may continue outside the film
MIN_COVERAGE = 0.4  # repetitions cover this share of the movement, or are SURE_COUNT or more
SURE_COUNT = 3
MAX_MISSING = 0.05  # limits of warnings
WELL_SEEN = 0.8
SMALL_EXTENT = 0.2
MAX_LISTED = 5  # other movements in a warning
MIN_CYCLE_PICTURES = 6  # fewer pictures per repetition do not show its shape


@dataclass(frozen=True)
class GesturePart:
    """Part of a film that shows a gesture.

    Args:
        start_us: Start in the film in microseconds.
        stop_us: End in the film in microseconds.
        period_us: Mean length of a repetition in microseconds; None: not repeated.
        repetitions: Number of repetitions, 1 or more.
        sides: Hands that move, by the person's own side: `right`, `left` or both.
        hold_us: Longest time a raised hand is still, in microseconds; 0: a hand is never held up.
        warnings: Facts to check before the part is used, one sentence each.
    """

    start_us: int
    stop_us: int
    period_us: int | None
    repetitions: int
    sides: tuple[Side, ...]
    hold_us: int
    warnings: tuple[str, ...]

    @property
    def duration_us(self) -> int:
        """Length in microseconds."""
        return self.stop_us - self.start_us


@dataclass(frozen=True)
class _Run:
    """Movement between two samples of a path; `hold` is the longest pause with a raised hand, in samples."""

    path: HandPath
    first: int
    last: int
    hold: int = 0
    cycles: Cycles | None = None

    @property
    def duration_s(self) -> float:
        return (self.last - self.first) * PATH_STEP_S

    @property
    def extent(self) -> float:
        """Range of the hand that moves more, in arm lengths."""
        return float(self.path.extents(self.first, self.last).max())

    @property
    def rank(self) -> tuple[bool, float]:
        """Repeated movements first, then by amount of movement; a movement cut by the ends of the film counts half."""
        margin = EDGE_S / PATH_STEP_S
        complete = self.first > margin and self.last < len(self.path.hands) - 1 - margin
        amount = self.path.spread[self.first : self.last + 1].sum()

        return self.cycles is not None, float(amount * (1 if complete else 0.5))


def find_movement(
    track: Track, *, name: str = "the film", start_us: int | None = None, stop_us: int | None = None
) -> GesturePart:
    """Find the part of a film that shows a gesture.

    The part has no rest at its ends. A repeated movement is cut to complete repetitions. A pose that is held still
    starts when the hand is raised and ends when it is lowered, because an event camera sees only this movement. If
    there are several movements with rest between them, one of them is the part: a repeated movement rather than a
    single one, then the one with the most movement; movements cut by the ends of the film count half, as they often
    start or stop the camera.

    Args:
        track: Tracked person.
        name: Name of the film in messages.
        start_us: Start of the part in microseconds; None: found in the film.
        stop_us: End of the part in microseconds; None: found in the film. A later time than the end means the end.

    Raises:
        DataError: If the film shows no person, no hands, no movement of the hands or less than 0.4 s of it, or if start
            and end are not in the film in this order.
    """
    inside = _select(track, name, start_us, stop_us)
    paths = trace_hands(track, inside)
    if not paths:
        raise DataError(
            f"{name}: shows no person (found 0 of {inside.sum()} pictures with a person, expected 1 or more)"
        )

    if not any(path.seen.any() for path in paths):
        share = max(share_seen(track, inside, [side], "wrist") for side in OUTWARDS)
        raise DataError(
            f"{name}: shows no hands (found a wrist inside the picture and not hidden in {100 * share:.0f} % of the "
            f"pictures, expected {100 * MIN_SEEN:.0f} % or more during {SEEN_WINDOW_S} s)"
        )

    found_runs = [_find_runs(path, paths) for path in paths]
    moving: list[_Run] = []
    for path_runs in found_runs:
        moving += _extend_ends([_tighten(run) for run in path_runs if run.extent >= MIN_EXTENT])
    if not moving:
        raise _explain_rest(paths, max((run.extent for runs in found_runs for run in runs), default=0.0), name)

    runs = [replace(run, cycles=_find_repetitions(run)) for run in moving if run.duration_s >= MIN_MOVEMENT_S]
    if not runs:
        missing = 100 * (1 - track.present[inside].mean())
        raise DataError(
            f"{name}: too short a movement (found {max(run.duration_s for run in moving):.2f} s, and no person in "
            f"{missing:.0f} % of the pictures; expected {MIN_MOVEMENT_S} s or more)"
        )

    best = max(runs, key=lambda run: run.rank)
    part = _describe_part(best, start_us, stop_us, int(track.times_us[-1]))
    others = [run for run in runs if run is not best]
    return replace(part, warnings=(*_warn_of_film(track, others), *_warn_of_part(track, part, best)))


def _select(track: Track, name: str, start_us: int | None, stop_us: int | None) -> NDArray[np.bool_]:
    """Return whether each picture is in the range, bool [N]."""
    end_us = int(track.times_us[-1])
    first_us = start_us or 0
    last_us = end_us if stop_us is None else stop_us

    if not 0 <= first_us < last_us or first_us >= end_us:
        raise DataError(
            f"{name}: wrong part (found {first_us / 1e6:g} to {last_us / 1e6:g} s, expected a start before the end, "
            f"both within 0 to {end_us / 1e6:g} s)"
        )
    return np.asarray((track.times_us >= first_us) & (track.times_us <= last_us))


def _find_runs(path: HandPath, paths: Sequence[HandPath]) -> list[_Run]:
    """Return the movements in a path; a pause with a raised hand belongs to the movement."""
    highest = np.quantile(np.concatenate([other.spread.max(axis=1) for other in paths]), 0.9)

    # Relative to the busiest hand of the film, so that a small gesture is found, but within fixed bounds.
    moving = path.spread.max(axis=1) >= max(MIN_SPREAD, min(SPREAD_SHARE * highest, MAX_SPREAD))

    runs: list[_Run] = []
    for first, stop in find_runs(moving):
        run = _Run(path, first, stop - 1)
        if runs:
            raised = path.is_raised(runs[-1].last + 1, first)
            length = first - runs[-1].last - 1
            if raised or length * PATH_STEP_S <= MAX_PAUSE_S:
                before = runs.pop()
                run = replace(run, first=before.first, hold=max(before.hold, length if raised else 0))

        runs.append(run)

    return runs


def _extend_ends(runs: list[_Run]) -> list[_Run]:
    """Extend the first and last movement in a path if a hand is raised before or after it, up to 2 s."""
    if not runs:
        return runs
    longest = round(MAX_OPEN_HOLD_S / PATH_STEP_S)
    T = len(runs[0].path.hands)
    extended = list(runs)

    first = runs[0]
    if first.path.is_raised(0, first.first):
        length = min(longest, first.first)
        extended[0] = replace(first, first=first.first - length, hold=max(first.hold, length))

    last = extended[-1]
    if last.path.is_raised(last.last + 1, T):
        length = min(longest, T - 1 - last.last)
        extended[-1] = replace(last, last=last.last + length, hold=max(last.hold, length))

    return extended


def _tighten(run: _Run) -> _Run:
    """Cut the rest at both ends of a movement: windows of the spread reach into it."""
    hands = run.path.hands[run.first : run.last + 1] * run.path.moving_sides(run.first, run.last)[:, None]
    radius = REST_RADIUS * run.extent

    def count_rest(ordered: Floats) -> int:
        away = np.linalg.norm(ordered - ordered[0], axis=-1).max(axis=1) > radius
        return max(0, int(np.argmax(away)) - 1)

    return replace(run, first=run.first + count_rest(hands), last=run.last - count_rest(hands[::-1]))


def _find_repetitions(run: _Run) -> Cycles | None:
    hands = run.path.hands[run.first : run.last + 1, run.path.moving_sides(run.first, run.last)]
    cycles = find_cycles(hands.reshape(len(hands), -1), PATH_STEP_S, MIN_SPREAD)

    if cycles is None:
        return None

    # A short repeated stretch may be a coincidence, unless it has several cycles.
    covered = (cycles.stop - cycles.start) / len(hands)
    return cycles if covered >= MIN_COVERAGE or cycles.count >= SURE_COUNT else None


def _explain_rest(paths: Sequence[HandPath], extent: float, name: str) -> DataError:
    """Return the error for a film without movement; a hand that is held up is mentioned."""
    longest = max(paths, key=lambda path: len(path.hands))
    measured = f"found {100 * extent:.1f} % of the arm length, expected {100 * MIN_EXTENT:.0f} % or more"
    height = np.where(longest.seen.any(axis=0), np.median(longest.hands[..., 1], axis=0), -1)

    if height.max() < HELD_UP:
        return DataError(f"{name}: shows no movement of the hands ({measured})")
    side = tuple(OUTWARDS)[int(np.argmax(height))]
    return DataError(
        f"{name}: the {side} hand is up from start to end and does not move ({measured}): an event camera sees only "
        "movement, so film the raising and lowering too"
    )


def _describe_part(run: _Run, start_us: int | None, stop_us: int | None, end_us: int) -> GesturePart:
    path = run.path
    cycles = run.cycles
    first = run.first
    last = run.last
    if cycles is not None:
        first = run.first + cycles.start
        last = run.first + cycles.stop

    # The caller may have chosen start and stop; the period always comes from the movement that was found.
    span_us = (path.time_us(first), path.time_us(last))
    part_us = (span_us[0] if start_us is None else start_us, span_us[1] if stop_us is None else min(stop_us, end_us))
    period_us = None if cycles is None else round((span_us[1] - span_us[0]) / cycles.count)
    moves = path.moving_sides(first, last)

    return GesturePart(
        *part_us,
        period_us=period_us,
        repetitions=1 if period_us is None else max(1, round((part_us[1] - part_us[0]) / period_us)),
        sides=tuple(side for side, moved in zip(OUTWARDS, moves, strict=True) if moved),
        hold_us=0 if cycles is not None or run.hold * PATH_STEP_S < MIN_HOLD_S else round(run.hold * PATH_STEP_S * 1e6),
        warnings=(),
    )


def _warn_of_film(track: Track, others: Sequence[_Run]) -> Iterator[str]:
    """Yield warnings of the complete film; `others` are movements outside the part."""
    if track.people.max() > 1:
        yield f"{track.people.max()} people are in the film; the largest one is tracked"

    missing = 1 - float(track.present.mean())
    if missing > MAX_MISSING:
        yield f"the person is missing in {100 * missing:.0f} % of the pictures"

    if others:
        times = [
            f"{run.path.time_us(run.first) / 1e6:.1f} to {run.path.time_us(run.last) / 1e6:.1f} s" for run in others
        ]
        more = ", ..." if len(times) > MAX_LISTED else ""
        yield f"{count_noun(len(others), 'other movement')} not used ({', '.join(times[:MAX_LISTED])}{more})"


def _warn_of_part(track: Track, part: GesturePart, run: _Run) -> Iterator[str]:
    """Yield warnings of the part: joints that are not seen, and what an event camera or the network does not see."""
    rows = (track.times_us >= part.start_us) & (track.times_us <= part.stop_us)
    seen = {
        joint: share_seen(track, rows, part.sides, joint) for joint in ("elbow", "wrist", "index", "pinky", "thumb")
    }

    for joint in ("elbow", "wrist"):
        if seen[joint] < WELL_SEEN:
            hidden = 100 * (1 - seen[joint])
            yield f"the {joint} is hidden or outside the picture in {hidden:.0f} % of the part, so its place is a guess"

    if part.period_us is None:
        yield "no repetition is found, so the movement counts as performed once"
    elif part.period_us * track.rate_hz < MIN_CYCLE_PICTURES * 1e6:
        per_cycle = part.period_us * track.rate_hz / 1e6
        yield (
            f"the movement is fast for {track.rate_hz:.0f} pictures per second ({per_cycle:.1f} pictures per "
            "repetition)"
        )

    if part.hold_us:
        held_s = f"{part.hold_us / 1e6:.1f} s"
        yield f"the raised hand hardly moves for {held_s}; an event camera sees only its raising and lowering"
    if run.extent < SMALL_EXTENT:
        yield f"the hands move only {100 * run.extent:.0f} % of the arm length, so an event camera sees few events"
    if part.hold_us or run.extent < SMALL_EXTENT or min(seen["index"], seen["pinky"], seen["thumb"]) < WELL_SEEN:
        yield (
            "fingers are not fully tracked: the pose network finds the tips of thumb, index and little finger, but not "
            "how far each finger bends"
        )
