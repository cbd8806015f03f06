"""Ten checks of an event camera, from what it sends in a trial.

No camera was at hand, so the limits are wide: a camera that works stays far from them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

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


def _check_permission(cameras: Sequence[ConnectedCamera]) -> Check:
    if not cameras:
        return Check(
            name="permission", state="ok", found="not listed on USB", meaning="only the driver knows this camera"
        )

    closed = [camera for camera in cameras if not camera.is_open]
    is_closed = len(closed) == len(cameras)
    shown = closed[0] if is_closed else next(camera for camera in cameras if camera.is_open)
    return Check(
        name="permission",
        state="broken" if is_closed else "ok",
        found=f"{shown.name} at {shown.node}",
        meaning="this user may not open it" if is_closed else "this user may open it",
        remedy="see the udev rule below" if is_closed else "",
    )


def _check_trial(trial: CameraTrial) -> Iterator[Check]:
    phases = (trial.rest, trial.hand)
    is_fast = trial.connection.startswith(FAST)
    yield Check(
        name="speed",
        state="ok" if is_fast else "doubtful",
        found=trial.connection,
        meaning="enough for busy scenes" if is_fast else "busy scenes lose events",
        remedy="" if is_fast else "use a USB 3 port, and the cable of the camera",
    )

    outside = sum(phase.outside for phase in phases)
    yield Check(
        name="sensor",
        state="broken" if outside else "ok",
        found=f"{trial.camera}, serial {trial.serial}, {trial.width}x{trial.height}",
        meaning=f"{count_noun(outside, 'event')} outside" if outside else "all events are inside",
        remedy=SEND if outside else "",
    )

    yield _check_events(phases)
    if any(phase.events for phase in phases):
        yield _check_times(phases)
        yield _check_polarities(phases)
        yield _check_hot_pixels(trial)
        yield _check_motion(trial)
    else:
        yield from map(_report_nothing, ("times", "polarities", "hot pixels", "motion"))

    yield _check_settings(trial)
    yield Check(
        name="reopening",
        state="broken" if trial.error else "ok",
        found=trial.error or "closed and opened again",
        meaning="the next program cannot use it" if trial.error else "the next program can use it",
        remedy="unplug it, and plug it in again; " + SEND if trial.error else "",
    )


def _report_nothing(name: str) -> Check:
    return Check(name=name, state="missing", found="no events", meaning="this was not measured")


def _check_events(phases: Sequence[CameraPhase]) -> Check:
    events = sum(phase.events for phase in phases)
    packets = sum(phase.packets for phase in phases)
    lost = sum(phase.lost for phase in phases)
    state: CheckState = "ok"
    meaning = "data arrive without loss"
    remedy = ""
    if not events:
        state = "broken"
        meaning = "there is nothing to classify"
        remedy = "take off the cap of the lens, open its aperture, make light; try another cable"
    elif lost:
        state = "doubtful"
        meaning = f"data were lost {count_noun(lost, 'time')}: this machine was too slow"
        remedy = "end other programs, or set a region of interest or a rate limiter"

    found = f"{count_noun(events, 'event')} in {count_noun(packets, 'packet')}"
    return Check(name="events", state=state, found=found, meaning=meaning, remedy=remedy)


def _check_times(phases: Sequence[CameraPhase]) -> Check:
    camera_s = sum(phase.camera_s for phase in phases)
    arrival_s = sum(phase.arrival_s for phase in phases)
    backwards = sum(phase.backwards for phase in phases)
    # A clock that started again while it was tried does not agree either.
    agrees = abs(camera_s - arrival_s) <= MAX_DRIFT * arrival_s + MAX_DELAY_S
    state: CheckState = "ok"
    meaning = "motion has its real speed"
    if not agrees:
        state = "broken"
        meaning = "motion would be too fast or too slow"
    elif backwards:
        state = "doubtful"
        meaning = "live streams use the latest time instead"

    return Check(
        name="times",
        state=state,
        found=f"{camera_s:.2f} s on its clock in {arrival_s:.2f} s, {count_noun(backwards, 'step')} back",
        meaning=meaning,
        remedy="" if state == "ok" else f"unplug it, plug it in and try again; if it stays, {SEND}",
    )


def _check_polarities(phases: Sequence[CameraPhase]) -> Check:
    on = sum(phase.on for phase in phases) / sum(phase.events for phase in phases)
    rarer = min(on, 1 - on)
    state: CheckState = "ok"
    meaning = "both occur"
    if not rarer:
        state = "broken"
        meaning = "one never occurs, unlike in the data of the included classifiers"
    elif rarer < MIN_POLARITY:
        state = "doubtful"
        meaning = "one is rare, unlike in the data of the included classifiers"

    return Check(
        name="polarities",
        state=state,
        found=f"{on:.1%} ON, {1 - on:.1%} OFF",
        meaning=meaning,
        remedy="" if state == "ok" else "change the biases of the thresholds, such as diff_on and diff_off",
    )


def _check_hot_pixels(trial: CameraTrial) -> Check:
    rest = trial.rest
    share = rest.hot_pixels / (trial.width * trial.height)
    of_events = rest.hot_events / max(1, rest.events)
    is_many = share > MAX_HOT_PIXELS
    return Check(
        name="hot pixels",
        state="doubtful" if is_many else "ok",
        found=f"{count_noun(rest.hot_pixels, 'pixel')} ({share:.3%}), {of_events:.0%} of the events at rest",
        meaning="noise that networks were not trained on" if is_many else "few enough",
        remedy="let it cool, or choose less sensitive biases; the command filter removes them from recordings"
        if is_many
        else "",
    )


def _check_motion(trial: CameraTrial) -> Check:
    # A hand is not before the lens all the time, so its busiest second counts.
    rest_hz = trial.rest.events / trial.rest.seconds
    hand_hz = trial.hand.peak_hz
    state: CheckState = "ok"
    meaning = "motion stands out"
    remedy = ""
    if trial.rest.flicker >= MIN_DEPTH:
        state = "doubtful"
        meaning = "the light flickers at 100 or 120 Hz"
        remedy = "use daylight or another lamp"
    elif hand_hz < MIN_MOTION * rest_hz:
        state = "doubtful"
        meaning = "the hand hardly stands out"
        remedy = "focus the lens, make light, wave within 1 m; against noise at rest, choose less sensitive biases"

    found = f"{rest_hz:,.0f} events/s at rest, {hand_hz:,.0f} with a hand"
    return Check(name="motion", state=state, found=found, meaning=meaning, remedy=remedy)


def _check_settings(trial: CameraTrial) -> Check:
    reopened = trial.reopened
    if reopened is None or not reopened.events:
        return _report_nothing("settings")
    if trial.region is None:
        return Check(
            name="settings",
            state="ok",
            found="written",
            meaning="the driver neither reads them back, nor has a region of interest here to test them by",
        )

    # Noise has events everywhere, so this works without a hand, too.
    inside = 1 - reopened.outside / reopened.events
    is_applied = inside >= MIN_INSIDE
    return Check(
        name="settings",
        state="ok" if is_applied else "broken",
        found=f"region of interest {trial.region}: {inside:.1%} of {count_noun(reopened.events, 'event')} inside",
        meaning="the camera applies settings" if is_applied else "the camera does not apply this setting as it should",
        remedy="" if is_applied else SEND,
    )
