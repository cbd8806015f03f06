"""Ten checks of an event camera, from what it sends in a trial.

No camera was at hand, so the limits are wide: a camera that works stays far from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from ..base.errors import count_noun
from ..results.cameras import CameraPhase, CameraTrial
from ..streaming.camera_trial import try_camera
from ..streaming.chunks import SystemClock
from ..streaming.devices import ConnectedCamera
from ..streaming.disturbances import MIN_DEPTH
from .diagnosis import Check, CheckState, Diagnosis

FAST = ("USB 3", "Ethernet")  # beginnings of connections
MAX_DRIFT = 0.01  # relative; clocks of quartz differ by 0.0001
MAX_DELAY_S = 0.1  # packets arrive with different delays
MIN_POLARITY = 0.1  # share of the rarer polarity
MAX_HOT_PIXELS = 0.001  # share of the pixels
MIN_MOTION = 3.0  # events per second with a hand, relative to rest
MIN_INSIDE = 0.99  # share of the events in the region of interest
SEND = "send this report with an issue"


class Problem(NamedTuple):
    """What may be wrong with a camera.

    Args:
        applies: Whether it is.
        state: State of the check then.
        meaning: What follows from it.
        remedy: What to do.
    """

    applies: bool
    state: CheckState
    meaning: str
    remedy: str


def diagnose_camera(
    cameras: Sequence[ConnectedCamera], serial: str, progress: Callable[[str, float, float], object] | None
) -> Diagnosis:
    """Try an event camera.

    Args:
        cameras: Event cameras that this machine lists.
        serial: Serial number of the camera; empty: the first one.
        progress: Callback of `try_camera`; None: none.

    Raises:
        ConfigError: If the library is missing.
        VideoError: If the camera cannot be opened, or fails.
    """
    listed = [camera for camera in cameras if not serial or camera.source.endswith(f":{serial}")]
    # Without permission, the driver's own error would say less.
    permission = _check_permission(listed)
    if permission.state == "broken":
        return Diagnosis.of([permission], listed)

    trial = try_camera(serial, SystemClock(), progress or (lambda *_: None))
    return Diagnosis.of([permission, *_check_trial(trial)], listed, trial)


def _choose(name: str, found: str, meaning: str, *problems: Problem) -> Check:
    """Return a check with the first problem that applies; without one, it is ok, with this meaning."""
    for problem in problems:
        if problem.applies:
            _, state, meaning, remedy = problem
            return Check(name=name, state=state, found=found, meaning=meaning, remedy=remedy)

    return Check(name=name, state="ok", found=found, meaning=meaning)


def _check_permission(cameras: Sequence[ConnectedCamera]) -> Check:
    if not cameras:
        return _choose("permission", "not listed on USB", "only the driver knows this camera")

    shown = next((camera for camera in cameras if camera.is_open), cameras[0])
    closed = Problem(not shown.is_open, "broken", "this user may not open it", "see the udev rule below")
    return _choose("permission", f"{shown.name} at {shown.node}", "this user may open it", closed)


def _check_trial(trial: CameraTrial) -> Iterator[Check]:
    phases = (trial.rest, trial.hand)
    slow = Problem(
        not trial.connection.startswith(FAST),
        "doubtful",
        "busy scenes lose events",
        "use a USB 3 port, and the cable of the camera",
    )
    yield _choose("speed", trial.connection, "enough for busy scenes", slow)

    outside = sum(phase.outside for phase in phases)
    found = f"{trial.camera}, serial {trial.serial}, {trial.width}x{trial.height}"
    misread = Problem(outside > 0, "broken", f"{count_noun(outside, 'event')} outside", SEND)
    yield _choose("sensor", found, "all events are inside", misread)

    yield _check_events(phases)
    if any(phase.events for phase in phases):
        yield _check_times(phases)
        yield _check_polarities(phases)
        yield _check_hot_pixels(trial)
        yield _check_motion(trial)
    else:
        yield from map(_report_nothing, ("times", "polarities", "hot pixels", "motion"))

    yield _check_settings(trial)
    stuck = Problem(
        trial.reopened is None, "broken", "the next program cannot use it", f"unplug it, and plug it in again; {SEND}"
    )
    yield _choose("reopening", trial.error or "closed and opened again", "the next program can use it", stuck)


def _report_nothing(name: str) -> Check:
    return Check(name=name, state="missing", found="no events", meaning="this was not measured")


def _check_events(phases: Sequence[CameraPhase]) -> Check:
    events = sum(phase.events for phase in phases)
    packets = sum(phase.packets for phase in phases)
    lost = sum(phase.lost for phase in phases)

    silent = Problem(
        not events,
        "broken",
        "there is nothing to classify",
        "take off the cap of the lens, open its aperture, make light; try another cable",
    )
    slow = Problem(
        lost > 0,
        "doubtful",
        f"data were lost {count_noun(lost, 'time')}: this machine was too slow",
        "end other programs, or set a region of interest or a rate limiter",
    )
    found = f"{count_noun(events, 'event')} in {count_noun(packets, 'packet')}"
    return _choose("events", found, "data arrive without loss", silent, slow)


def _check_times(phases: Sequence[CameraPhase]) -> Check:
    camera_s = sum(phase.camera_s for phase in phases)
    arrival_s = sum(phase.arrival_s for phase in phases)
    backwards = sum(phase.backwards for phase in phases)

    # A clock that started again while it was tried does not agree either.
    agrees = abs(camera_s - arrival_s) <= MAX_DRIFT * arrival_s + MAX_DELAY_S
    remedy = f"unplug it, plug it in and try again; if it stays, {SEND}"
    return _choose(
        "times",
        f"{camera_s:.2f} s on its clock in {arrival_s:.2f} s, {count_noun(backwards, 'step')} back",
        "motion has its real speed",
        Problem(not agrees, "broken", "motion would be too fast or too slow", remedy),
        Problem(backwards > 0, "doubtful", "live streams use the latest time instead", remedy),
    )


def _check_polarities(phases: Sequence[CameraPhase]) -> Check:
    on = sum(phase.on for phase in phases) / sum(phase.events for phase in phases)
    rarer = min(on, 1 - on)
    remedy = "change the biases of the thresholds, such as diff_on and diff_off"
    return _choose(
        "polarities",
        f"{on:.1%} ON, {1 - on:.1%} OFF",
        "both occur",
        Problem(rarer == 0, "broken", "one never occurs, unlike in the data of the included classifiers", remedy),
        Problem(rarer < MIN_POLARITY, "doubtful", "one is rare, unlike in these data", remedy),
    )


def _check_hot_pixels(trial: CameraTrial) -> Check:
    share = trial.rest.hot_pixels / (trial.width * trial.height)
    of_events = trial.rest.hot_events / max(1, trial.rest.events)
    return _choose(
        "hot pixels",
        f"{count_noun(trial.rest.hot_pixels, 'pixel')} ({share:.3%}), {of_events:.0%} of the events at rest",
        "few enough",
        Problem(
            share > MAX_HOT_PIXELS,
            "doubtful",
            "noise that networks were not trained on",
            "let it cool, or choose less sensitive biases; the command filter removes them from recordings",
        ),
    )


def _check_motion(trial: CameraTrial) -> Check:
    # A hand is not before the lens all the time, so its busiest second counts.
    rest_hz = trial.rest.events / trial.rest.seconds
    hand_hz = trial.hand.peak_hz
    return _choose(
        "motion",
        f"{rest_hz:,.0f} events/s at rest, {hand_hz:,.0f} with a hand",
        "motion stands out",
        Problem(
            trial.rest.flicker >= MIN_DEPTH,
            "doubtful",
            "the light flickers at 100 or 120 Hz",
            "use daylight or another lamp",
        ),
        Problem(
            hand_hz < MIN_MOTION * rest_hz,
            "doubtful",
            "the hand hardly stands out",
            "focus the lens, make light, wave within 1 m; against noise at rest, choose less sensitive biases",
        ),
    )


def _check_settings(trial: CameraTrial) -> Check:
    reopened = trial.reopened
    if reopened is None or not reopened.events:
        return _report_nothing("settings")
    if trial.region is None:
        reason = "the driver neither reads them back, nor has a region of interest here to test them by"
        return _choose("settings", "written", reason)

    # Noise has events everywhere, so this works without a hand, too.
    inside = 1 - reopened.outside / reopened.events
    ignored = Problem(inside < MIN_INSIDE, "broken", "the camera does not apply this setting as it should", SEND)
    found = f"region of interest {trial.region}: {inside:.1%} of {count_noun(reopened.events, 'event')} inside"
    return _choose("settings", found, "the camera applies settings", ignored)
