from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import cv2
import numpy as np
import pytest
from facts import raises
from numpy.typing import NDArray

from dvspipe.base.errors import ConfigError
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.simulator import EventSimulator, Factor, SimulatorConfig, simulate
from dvspipe.simulator.levels import code_levels, float_levels
from dvspipe.simulator.upsampling import MAX_STEPS, find_motion
from dvspipe.video.frames import Frame

SENSOR = SensorSize(width=80, height=56)
CONFIG = SimulatorConfig()
INTERVAL_US = 33_333


def plane(seed: int = 0) -> NDArray[np.float32]:
    """Textured plane with boxes, 60 pixels larger than the sensor in both directions.

    It is blurred by a pixel, like by a lens, to look the same after bilinear shifts by integer and fractional pixels.
    """
    rng = np.random.default_rng(seed)
    height, width = SENSOR.height + 60, SENSOR.width + 60
    image = np.zeros((height, width), np.float32)
    for scale in (4, 8, 16):
        coarse = rng.standard_normal((height // scale + 2, width // scale + 2)).astype(np.float32)
        image += (
            scale**0.5 * cv2.resize(coarse, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)[:height, :width]
        )
    image = 90 * np.exp(0.3 * image / image.std())
    for _ in range(12):
        x, y = int(rng.integers(0, width - 20)), int(rng.integers(0, height - 20))
        image[y : y + int(rng.integers(6, 20)), x : x + int(rng.integers(6, 20))] = rng.uniform(20, 230)
    return np.asarray(cv2.GaussianBlur(np.clip(image, 0, 255), (0, 0), 1), np.float32)


def seen(canvas: NDArray[np.float32], moved_px: float, size: SensorSize = SENSOR) -> NDArray[np.float32]:
    """Return the sensor's view of the plane, moved to the right and half as far down."""
    shift = np.array([[1, 0, moved_px - 30], [0, 1, moved_px / 2 - 30]])
    return np.asarray(cv2.warpAffine(canvas, shift, tuple(size)), np.float32)


def video(px_per_frame: float, count: int = 4, seed: int = 0) -> list[Frame]:
    canvas = plane(seed)
    images = (np.rint(seen(canvas, px_per_frame * n)).astype(np.uint8) for n in range(count))
    return [Frame(n * INTERVAL_US, image, "linear") for n, image in enumerate(images)]


def events_of(frames: Iterable[Frame], upsample: Factor = "off", config: SimulatorConfig = CONFIG) -> Events:
    return concatenate(simulate(frames, config, upsample=upsample), SENSOR)


def levels_of(frame: Frame) -> NDArray[np.float32]:
    if frame.image.dtype.kind == "f":
        return float_levels(frame, CONFIG).astype(np.float32)
    return code_levels(frame.image.dtype, frame.transfer, CONFIG).astype(np.float32)[frame.image]


def steps_of(frames: list[Frame], upsample: Any = "auto", interval_us: int = INTERVAL_US) -> NDArray[np.int64]:
    """Return the steps of each pixel between two frames; 1 on straight lines."""
    before, after = map(levels_of, frames)
    steps = np.ones(before.shape, np.int64)
    for motion in find_motion(before, after, upsample, interval_us):
        steps.ravel()[motion.pixels] = motion.steps
    return steps


def nearest_us(events: Events, others: Events) -> NDArray[np.int64]:
    """Return the time from each event to the nearest of `others` at its pixel and polarity; huge if there is none."""
    far = 100_000_000
    keys = [
        np.sort(((e.y.astype(np.int64) * SENSOR.width + e.x) * 2 + e.p) * far + e.t + far // 4)
        for e in (events, others)
    ]
    after = np.searchsorted(keys[1], keys[0])
    before = np.abs(keys[0] - keys[1][np.maximum(after - 1, 0)])
    return np.minimum(before, np.abs(keys[1][np.minimum(after, keys[1].size - 1)] - keys[0]))


def test_steps_are_at_most_one_per_microsecond() -> None:
    assert steps_of(video(5, count=2), 32, interval_us=5).max() == 5
    assert steps_of(video(5, count=2), 32, interval_us=1).max() == 1
    events = events_of([Frame(n * 5, frame.image, "linear") for n, frame in enumerate(video(5))], 32)
    assert set(range(1, 16)) <= set(events.t.tolist()) <= set(range(16))


def test_steps_increase_with_motion_up_to_max_steps() -> None:
    assert steps_of([video(0, count=1)[0]] * 2, 10).max() == 1
    assert steps_of(video(0.5, count=2)).max() == 1
    slow, fast = (steps_of(video(speed, count=2)).max() for speed in (2, 8))
    assert 2 <= slow < 8 * np.hypot(1, 0.5) <= fast <= MAX_STEPS


def box(n: float) -> NDArray[np.float32]:
    """Textured box moving over a still plane."""
    picture, left = seen(plane(), 0), 20 + 6 * n
    shift = np.array([[1.0, 0, left - 20], [0, 1, 0]])
    inside, texture = (
        cv2.warpAffine(image, shift, (SENSOR.width, SENSOR.height))
        for image in (np.pad(np.ones((16, 12), np.float32), ((20, 20), (20, 48))), plane(3)[: SENSOR.height, :80] * 1.3)
    )
    return np.asarray(picture + inside * (texture - picture), np.float32)


def test_still_tiles_beside_motion_have_linear_events() -> None:
    frames = coarse_frames(box, 2)
    frames[1].image[4::8, 76] = 255 - frames[1].image[4::8, 76]  # single pixels far from the box
    steps = steps_of(frames)
    assert steps[24, 40] > 1  # the box is here
    found = events_of(frames, "auto"), events_of(frames)
    ours, linear = (events[steps[events.y, events.x] == 1] for events in found)
    assert (linear.x == 76).any()
    assert ours == linear


def test_light_switched_on_beside_motion_has_linear_events() -> None:
    frames = video(2, count=2)
    for frame, grey in zip(frames, (20, 240), strict=True):
        frame.image[14:42, 26:54] = grey
    assert steps_of(frames, 10).max() == 10  # not a scene cut
    ours, linear = (events_of(frames, factor).crop(36, 24, "8x8") for factor in (10, "off"))
    assert ours == linear


@pytest.mark.parametrize("factor", ["auto", 7])
@pytest.mark.parametrize("cutoff_hz", [0, 50])
def test_final_state_is_within_thresholds_with_upsampling(factor: Factor, cutoff_hz: float) -> None:
    simulator, state = EventSimulator(SimulatorConfig(neg_thres=0.19, cutoff_hz=cutoff_hz), upsample=factor), None
    for frame in video(6):
        _, state = simulator.step(frame, state)
    assert state is not None
    reached = state.pixels.output if cutoff_hz else levels_of(video(6)[-1]).ravel()
    assert ((state.pixels.low < reached) & (reached < state.pixels.high)).all()


def test_factor_1_equals_no_upsampling() -> None:
    assert events_of(video(6), 1) == events_of(video(6))


def test_fast_low_pass_hardly_changes_upsampled_times() -> None:
    frames = video(6)
    plain, filtered = (events_of(frames, 10, config) for config in (CONFIG, SimulatorConfig(cutoff_hz=1e5)))
    assert abs(len(plain) - len(filtered)) < 0.01 * len(plain)
    assert rates(filtered, plain)[0] < 30  # us; the delay in the dark is 17 us


def rates(events: Events, truth: Events) -> tuple[float, float, float, float]:
    """Return median and 90th percentile of the timing error in us, and the shares of missed and false events."""
    distance = nearest_us(truth, events)
    found = distance[distance <= INTERVAL_US]
    median, p90 = np.percentile(found, (50, 90))
    false = np.mean(nearest_us(events, truth) > INTERVAL_US)
    return float(median), float(p90), 1 - found.size / distance.size, float(false)


def fine_events(picture: Callable[[float], NDArray[np.float32]], count: int, steps: int = 60) -> Events:
    """Return the events of a scene with a known picture at every time, over `count` frames."""
    return events_of(
        Frame(round(n * INTERVAL_US / steps), picture(n / steps) / 255, "linear")
        for n in range((count - 1) * steps + 1)
    )


def coarse_frames(picture: Callable[[float], NDArray[np.float32]], count: int) -> list[Frame]:
    return [Frame(n * INTERVAL_US, np.rint(picture(n)).astype(np.uint8), "linear") for n in range(count)]


@pytest.mark.parametrize("factor", ["auto", 10])
def test_upsampling_reduces_timing_errors_of_moving_edges_threefold(factor: int) -> None:
    canvas = plane()
    truth = fine_events(lambda n: seen(canvas, 8 * n), 4)
    linear = rates(events_of(video(8)), truth)
    ours = rates(events_of(video(8), factor), truth)
    assert ours[0] * 3 < linear[0]
    assert ours[2] * 3 < linear[2]
    assert ours[3] < linear[3]


@pytest.mark.parametrize("left", [0, SENSOR.width - 8], ids=["entering", "leaving"])
def test_upsampling_reduces_missed_events_at_the_edges(left: int) -> None:
    canvas, frames = plane(), video(8)
    strip = SensorSize(width=8, height=SENSOR.height)
    truth, linear, ours = (
        events.crop(left, 0, strip)
        for events in (fine_events(lambda n: seen(canvas, 8 * n), 4), events_of(frames), events_of(frames, 10))
    )
    assert rates(ours, truth)[2] * 3 < rates(linear, truth)[2]


def behind_and_before(n: float) -> NDArray[np.float32]:
    """Return the picture at frame n: one textured box passes in front of another, over a slowly moving plane."""
    picture = seen(plane(), 1.5 * n)
    for seed, x, y, speed in ((3, 10, 12, 4.0), (4, 44, 20, -5.0)):
        shift = np.array([[1, 0, x + speed * n - 20], [0, 1, y - 20]])
        cover = np.zeros((68, 68), np.float32)
        cover[20:44, 20:46] = 1
        share, texture = (
            cv2.warpAffine(image, shift, (SENSOR.width, SENSOR.height))
            for image in (cover, plane(seed)[:68, :68] * 1.3)
        )
        picture = picture + share * (np.clip(texture, 0, 255) - picture)
    return picture


def test_upsampling_halves_timing_errors_at_occlusions() -> None:
    truth = fine_events(behind_and_before, 5)
    frames = coarse_frames(behind_and_before, 5)
    linear, ours = rates(events_of(frames), truth), rates(events_of(frames, 10), truth)
    assert ours[0] * 2 < linear[0]
    assert ours[1] * 1.8 < linear[1]
    assert ours[2] + ours[3] < linear[2] + linear[3]
    assert ours[3] < 0.01  # where the frames differ, the events of straight lines


def test_scene_cut_has_linear_events() -> None:
    frames = [video(0, count=1, seed=1)[0], Frame(INTERVAL_US, video(0, count=1, seed=2)[0].image, "linear")]
    assert events_of(frames, 10) == events_of(frames)


def test_one_simulator_interleaves_two_videos() -> None:
    videos = video(6), video(9, seed=1)
    expected = [[*simulate(frames, CONFIG, upsample="auto")] for frames in videos]
    simulator, states = EventSimulator(CONFIG, upsample="auto"), [None, None]
    for number in range(len(videos[0])):
        for which, frames in enumerate(videos):
            events, states[which] = simulator.step(frames[number], states[which])  # type: ignore[call-overload]
            assert events == expected[which][number - 1] if number else not len(events)


@pytest.mark.parametrize("size", ["80x56", "81x57", "95x80", "140x16", "601x37"])  # one or more scales of the flow
def test_levels_at_half_time_match_the_moving_picture(size: str) -> None:
    canvas = np.tile(plane() / np.float32(255), (1, 6))
    pictures = [seen(canvas, moved_px, SensorSize.parse(size)) for moved_px in (0, 3, 6)]
    before, truth, after = (levels_of(Frame(0, picture, "linear")) for picture in pictures)
    linear = (before + after) / 2
    halfway = linear.copy()
    for motion in find_motion(before, after, 2, INTERVAL_US):
        ((_, levels),) = motion.levels(INTERVAL_US)
        halfway.ravel()[motion.pixels] = levels
    inner = slice(6, -6), slice(8, -8)
    assert np.abs(halfway - truth)[inner].mean() * 20 < np.abs(linear - truth)[inner].mean()


@pytest.mark.parametrize("dtype", [np.uint16, np.float32])
def test_16_bit_and_float_frames_match_8_bit_frames(dtype: type) -> None:
    white = 1.0 if dtype is np.float32 else 65535.0
    frames = video(6, count=2)
    deep = [Frame(frame.t_us, (frame.image / 255 * white).astype(dtype), frame.transfer) for frame in frames]
    median_us, _, missed, false = rates(events_of(deep, 6), events_of(frames, 6))
    assert median_us <= 1
    assert missed + false < 0.005  # last bits of levels may change a grey value of the flow


def test_frames_too_small_for_flow_have_linear_events() -> None:
    frames = [Frame(n * 100, np.full((7, 12), 40 * n, np.uint8), "linear") for n in range(3)]
    ours, linear = (concatenate(simulate(frames, CONFIG, upsample=factor), frames[0].size) for factor in (10, "off"))
    assert ours == linear


@pytest.mark.parametrize("factor", [0, -1, "fast", 2.5, 257])
def test_invalid_factor_is_an_error(factor: Any) -> None:
    with raises(ConfigError, "upsample", factor):
        EventSimulator(CONFIG, upsample=factor)
