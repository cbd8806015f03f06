"""Events to spike tensors, compared with exact fractions in plain Python, with Tonic, and with encoding in parts."""

from __future__ import annotations

import math
import pickle
import warnings
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from conftest import SENSOR, as_tuples, divide, random_events, rows_of
from facts import mentions, raises
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dvspipe.base.errors import ConfigError, EventError
from dvspipe.encoding import (
    BinConfig,
    BinCounts,
    ToSpikes,
    encode,
    encode_part,
    encode_stream,
    finish_encoding,
    start_encoding,
)
from dvspipe.encoding.kernels import Places
from dvspipe.events import Events, SensorSize

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from tonic import transforms

TONIC_SIZE = (SENSOR.width, SENSOR.height, 2)
configs = st.builds(
    BinConfig,
    steps=st.integers(1, 9),
    by=st.sampled_from(["time", "recording"]),
    step_us=st.sampled_from([7, 800, 3_333, 30_000]),
    downsample=st.integers(1, 5),
    form=st.sampled_from(["count", "binary"]),
    polarity=st.sampled_from(["separate", "merged"]),
)
long_steps = configs.filter(lambda config: config.step_us >= 800)  # limits the number of steps in a stream
recordings = st.builds(
    lambda seed, count, span_us, origin_us: random_events(seed, count, span_us=span_us).shift_time(origin_us),
    seed=st.integers(0, 1000),
    count=st.sampled_from([0, 1, 2, 30, 300]),
    span_us=st.sampled_from([1, 40, 100_000]),
    origin_us=st.sampled_from([0, -50_000, -(2**60), 2**60]),
)


def encode_plainly(events: Events, config: BinConfig, start_us: int) -> tuple[NDArray[np.int64], BinCounts]:
    """Encode event by event, following the definition."""
    tensor = np.zeros((config.steps, *config.shape(events.sensor)), int)
    before = beyond = saturated = 0
    last_us = int(events.t[-1]) if len(events) else 0
    for t, x, y, p in as_tuples(events):
        position = Fraction(t - start_us, config.step_us)
        if config.by == "recording":
            position = Fraction(config.steps * (t - start_us), max(1, last_us + 1 - start_us))
        before += position < 0
        beyond += position >= config.steps
        if 0 <= position < config.steps:
            channel = int(p) if config.polarity == "separate" else 0
            place = math.floor(position), channel, y // config.downsample, x // config.downsample
            is_full = tensor[place] == config.max_count
            saturated += bool(is_full)
            tensor[place] += not is_full
    return tensor, BinCounts(len(events), before, beyond, saturated)


@settings(max_examples=60)
@given(events=recordings, config=configs, earlier_us=st.sampled_from([None, 0, 77, -20_000]))
def test_each_form_equals_a_plain_loop(events: Events, config: BinConfig, earlier_us: int | None) -> None:
    first_us = int(events.t[0]) if len(events) else 0
    start_us = None if earlier_us is None else first_us - earlier_us
    counts_seen: list[BinCounts] = []
    tensor = encode(events, config, start_us=start_us, callback=counts_seen.append)
    expected, counts = encode_plainly(events, config, first_us if start_us is None else start_us)
    assert tensor.dtype == np.uint8
    assert tensor.shape == (config.steps, *config.shape(SENSOR))
    assert counts_seen == [counts]
    assert np.array_equal(tensor, expected)
    assert tensor.sum() == counts.kept


@settings(max_examples=60)
@given(events=recordings, config=long_steps, cuts=st.lists(st.integers(0, 300), max_size=6), given_start=st.booleans())
def test_stream_in_any_parts_equals_the_tensor_of_the_recording(
    events: Events, config: BinConfig, cuts: list[int], given_start: bool
) -> None:
    parts = divide(events, cuts)
    first_us, last_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
    start_us = first_us if given_start or config.by == "recording" else None
    counts_seen: list[BinCounts] = []
    stream = encode_stream(parts, config, start_us=start_us, last_us=last_us, callback=counts_seen.append)
    steps = np.array(list(stream), np.uint8).reshape(-1, *config.shape(SENSOR))
    longer = config if config.by == "recording" else config.model_copy(update={"steps": max(config.steps, len(steps))})
    counts_of_all: list[BinCounts] = []
    complete = encode(events, longer, callback=counts_of_all.append)
    assert np.array_equal(steps, complete[: len(steps)])
    assert not complete[len(steps) :].any()
    assert counts_seen[-1:] == (counts_of_all if parts else [])


@given(seed=st.integers(0, 100), config=long_steps, cut=st.integers(0, 300))
def test_encoder_keeps_its_input_state(seed: int, config: BinConfig, cut: int) -> None:
    events = random_events(seed, 300)
    span: dict[str, Any] = {"start_us": int(events.t[0]), "last_us": int(events.t[-1])}
    state = start_encoding(SENSOR, config, **span)
    _, after = encode_part(events[:cut], state)
    expected = list(encode_stream([events], config, **span))
    for _ in range(2):  # twice from the same states
        first, same = encode_part(events[:cut], state)
        assert same.counts == after.counts
        rest, end = encode_part(events[cut:], after)
        assert np.array_equal([*first, *rest, *finish_encoding(end)], expected)


def test_stream_yields_the_steps_of_a_long_gap_lazily() -> None:
    events = Events([0, 10**9], [0, 1], [0, 0], [1, 1], SENSOR)
    stream = encode_stream([events], BinConfig(step_us=10))
    assert [int(next(stream).sum()) for _ in range(5)] == [1, 0, 0, 0, 0]  # the first of 10^8 steps


def test_stream_rejects_missing_span_and_other_sensor() -> None:
    events = random_events(0, 5)
    with raises(ConfigError, "start_us", "last_us"):
        next(encode_stream([events], BinConfig(by="recording")))
    state = start_encoding(SensorSize(width=7, height=12), BinConfig())
    with raises(EventError, "12x7", "7x12"):
        encode_part(events, state)


def test_events_after_the_given_end_are_counted_as_beyond() -> None:
    events = Events([0, 9, 10, 30], [0] * 4, [0] * 4, [1] * 4, SENSOR)
    counts_seen: list[BinCounts] = []
    config = BinConfig(steps=2, by="recording")
    steps = list(encode_stream([events], config, start_us=0, last_us=9, callback=counts_seen.append))
    assert [step.sum() for step in steps] == [1, 1]
    assert counts_seen == [BinCounts(events=4, beyond=2)]


def test_first_loss_of_many_events_is_reported(caplog: pytest.LogCaptureFixture) -> None:
    events = random_events(3, 1000)
    config = BinConfig(steps=3, step_us=int(events.duration_us) // 12)  # no other test has these steps
    for _ in range(2):
        encode(events, config)
    encode(events, config, start_us=0)
    counts: list[BinCounts] = []
    encode(events, config.model_copy(update={"steps": 4}), callback=counts.append)
    assert counts[0].outside > 0.5
    [record] = caplog.records
    assert mentions(record.message, "3 steps", "by = recording")


@pytest.mark.parametrize(("form", "largest"), [("count", 255), ("binary", 1)])
def test_counts_saturate_and_never_wrap(form: str, largest: int) -> None:
    ones = np.ones(100_000, int)
    counts_seen: list[BinCounts] = []
    config = BinConfig.model_validate({"steps": 1, "form": form})
    tensor = encode(Events(ones, ones, ones, ones, SENSOR), config, callback=counts_seen.append)
    assert tensor[0, 1, 1, 1] == largest == tensor.sum()
    assert counts_seen == [BinCounts(events=100_000, saturated=100_000 - largest)]


def test_division_by_multiplication_is_exact() -> None:
    x = np.arange(32768, dtype=np.uint32)
    for downsample in range(1, 1025):
        places = Places.of(SENSOR, BinConfig(downsample=downsample))
        assert np.array_equal((x * places.multiplier) >> places.shift, x // downsample), downsample


@pytest.mark.parametrize(
    "dtypes", [{"x": "i2", "y": "i2", "t": "i8", "p": "?"}, {"t": "f8", "x": "f4", "y": "i2", "p": "i1"}]
)
def test_tonic_transform_encodes_structured_arrays(dtypes: dict[str, str]) -> None:
    events = random_events(1, 400)
    rows = rows_of(events, **dtypes)
    if dtypes["t"] == "f8":
        rows["t"] *= 1e-6
    config = BinConfig(steps=3, by="recording", form="binary", downsample=5, polarity="merged")
    spikes = transforms.Compose([transforms.TimeAlignment(), ToSpikes(config, TONIC_SIZE)])(rows)
    assert np.array_equal(spikes, encode(events, config))


def test_tonic_transform_has_a_fixed_shape_and_rejects_wrong_rows() -> None:
    to_spikes, rows = ToSpikes(BinConfig(steps=3), "12x7"), random_events(1, 9).structured()
    assert to_spikes(rows[:0]).shape == to_spikes(rows).shape == (3, 2, 7, 12)
    assert np.array_equal(pickle.loads(pickle.dumps(to_spikes))(rows), to_spikes(rows))
    with raises(EventError, 1):
        to_spikes(rows[::-1])
    late = random_events(1, 700).structured()
    late["t"][-2:] = late["t"][-1:-3:-1] + np.array([2, 1])
    with raises(EventError, "699"):
        ToSpikes(sensor="12x7")(late)
    for name, value in (("x", 12), ("y", -1)):
        wrong = rows.copy()
        wrong[name][4] = value
        with raises(EventError, "event 4", f"{name} = {value}"):
            to_spikes(wrong)
    with raises(EventError, "x", "y", "t", "p"):
        to_spikes(np.zeros((5, 4)))  # type: ignore[arg-type]


def test_structured_array_is_encoded_like_events() -> None:
    events, config = random_events(1, 90), BinConfig(steps=3, step_us=200)
    spikes = encode(events, config)
    assert spikes.any()
    assert np.array_equal(encode(events.structured(), config, sensor="12x7"), spikes)
    guessed = encode(events.structured(), config)
    assert guessed.shape == (3, 2, 34, 34)  # the smallest known sensor
    assert np.array_equal(guessed[..., :7, :12], spikes)
    with raises(EventError, "34x34", "12x7"):
        encode(events, config, sensor="34x34")
