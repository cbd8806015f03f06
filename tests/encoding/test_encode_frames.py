"""Frames of events: equal to spike tensors of their windows, for any division into parts."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from conftest import SENSOR, divide, random_events
from facts import raises
from hypothesis import given
from hypothesis import strategies as st

from dvspipe.base.errors import ConfigError
from dvspipe.encoding import FrameConfig, encode_frames
from dvspipe.events import Events

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic import transforms

EVENTS = random_events(1, 500, span_us=100_000)
CONFIGS = [
    FrameConfig(form=form, **window)
    for window in ({"every_us": 7000}, {"every_events": 64})
    for form in ("count", "surface", "voxel")
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
@given(cuts=st.lists(st.integers(0, 500), max_size=4))
def test_frames_do_not_depend_on_the_division_into_parts(config: FrameConfig, cuts: list[int]) -> None:
    expected, found = list(encode_frames([EVENTS], config)), list(encode_frames(divide(EVENTS, cuts), config))
    assert [frame[:3] for frame in found] == [frame[:3] for frame in expected]
    assert all(np.array_equal(one.values, other.values) for one, other in zip(found, expected, strict=True))


def test_time_windows_begin_at_the_first_event_and_empty_ones_give_no_frame() -> None:
    events = Events([105, 109, 131], [1, 1, 2], [0, 0, 3], [1, 0, 1], SENSOR)
    frames = list(encode_frames([events], FrameConfig(every_us=10)))
    assert [frame[:3] for frame in frames] == [(105, 115, 2), (125, 135, 1)]
    assert [np.argwhere(frame.values).tolist() for frame in frames] == [[[0, 0, 1], [1, 0, 1]], [[1, 3, 2]]]


def test_frames_of_a_number_of_events_have_all_events() -> None:
    frames = list(encode_frames([EVENTS], FrameConfig(every_events=64)))
    assert [frame.events for frame in frames] == [64] * 7 + [52]
    assert [int(frame.values.sum()) for frame in frames] == [64] * 7 + [52]
    assert frames[1].start_us == EVENTS.t[64]
    assert frames[1].end_us == EVENTS.t[127] + 1


def test_surfaces_equal_tonic() -> None:
    theirs = transforms.ToTimesurface(sensor_size=(12, 7, 2), dt=10_000, tau=20_000)(EVENTS.structured())
    frames = encode_frames([EVENTS], FrameConfig(every_us=10_000, form="surface", tau_us=20_000))
    np.testing.assert_allclose([frame.values for frame in frames][: len(theirs)], theirs, rtol=1e-6)


@given(
    seed=st.integers(0, 1000), count=st.integers(1, 60), bins=st.integers(2, 9), span_us=st.sampled_from([1, 50_000])
)
def test_voxels_divide_each_event_between_the_two_nearest_steps(seed: int, count: int, bins: int, span_us: int) -> None:
    events = random_events(seed, count, span_us=span_us)
    expected = np.zeros((bins, 7, 12))
    for t, x, y, p in zip(events.t.tolist(), events.x, events.y, events.p, strict=True):
        position = (bins - 1) * (t - int(events.t[0])) / max(1, events.duration_us)
        expected[:, y, x] += (1 if p else -1) * np.maximum(0, 1 - np.abs(np.arange(bins) - position))
    (frame,) = encode_frames([events], FrameConfig(every_events=count + 1, form="voxel", bins=bins))
    np.testing.assert_allclose(frame.values, expected, atol=1e-5)  # float32


def test_recording_without_events_has_no_frames() -> None:
    assert list(encode_frames([Events.empty(SENSOR)], FrameConfig(every_us=10, form="surface"))) == []


@pytest.mark.parametrize(
    ("settings", "facts"),
    [
        ({}, ("every_us", "every_events", "none")),
        ({"every_us": 1, "every_events": 1}, ("both",)),
        ({"every_us": 0}, ("every_us", "1")),
        ({"every_us": 5, "bins": 1}, ("bins", "2")),
    ],
)
def test_wrong_settings_are_rejected(settings: dict[str, int], facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts):
        FrameConfig.model_validate(settings)
