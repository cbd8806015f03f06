"""Corruptions: laws of each, and closed forms of their strength."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
from conftest import SENSOR, random_events
from facts import raises

from dvspipe.base.errors import ConfigError
from dvspipe.events import Events, SensorSize
from dvspipe.events.corruption import (
    BURST_US,
    CORRUPTION_KINDS,
    Bursts,
    Corruption,
    Drops,
    Flips,
    HotPixels,
    Jitter,
    Noise,
    find_corruption,
)

EVENTS = random_events(1, 2000, span_us=2_000_000)
WIDE = SensorSize(width=120, height=70)


def corrupted(corruption: Corruption, events: Events = EVENTS, seed: int = 0) -> Events:
    return corruption(events, np.random.default_rng(seed))


@pytest.mark.parametrize("name", CORRUPTION_KINDS)
def test_corruption_depends_only_on_events_strength_and_seed(name: str) -> None:
    kind = CORRUPTION_KINDS[name]  # type: ignore[index]
    for strength in kind.levels:
        corruption = find_corruption(name)(strength)
        assert pickle.loads(pickle.dumps(corruption)) == corruption
        found = corrupted(corruption)
        assert found == corrupted(corruption)
        assert found.sensor == SENSOR
        assert EVENTS.t[0] <= found.t[0] <= found.t[-1] <= EVENTS.t[-1]
    assert corrupted(find_corruption(name)(kind.levels[-1])) != corrupted(
        find_corruption(name)(kind.levels[-1]), seed=1
    )


@pytest.mark.parametrize("name", CORRUPTION_KINDS)
def test_strength_zero_changes_nothing(name: str) -> None:
    assert corrupted(find_corruption(name)(0)) == EVENTS
    assert corrupted(find_corruption(name)(1), Events.empty(SENSOR)) == Events.empty(SENSOR)


def test_drops_and_flips_have_their_share() -> None:
    for share in (0.2, 0.7):
        kept = len(corrupted(Drops(share))) / len(EVENTS)
        flipped = np.mean(corrupted(Flips(share)).p != EVENTS.p)
        assert kept == pytest.approx(1 - share, abs=0.05)  # 5 standard deviations
        assert flipped == pytest.approx(share, abs=0.05)
    assert len(corrupted(Drops(1.0))) == 0
    assert np.array_equal(corrupted(Flips(1.0)).p, ~EVENTS.p)


def test_jitter_moves_times_and_keeps_pixels() -> None:
    events = Events(
        np.arange(2000) * 10_000, np.arange(2000) % 12, np.arange(2000) // 12 % 7, np.ones(2000, bool), SENSOR
    )
    found = corrupted(Jitter(300), events)  # much less than half of the interval
    assert np.std(found.t - events.t) == pytest.approx(300, rel=0.1)
    assert np.array_equal(found.x, events.x)
    assert sorted(zip(found.x, found.y, found.p, strict=True)) == sorted(zip(events.x, events.y, events.p, strict=True))


def added(found: Events, events: Events) -> Events:
    """Return the events that a corruption added."""
    known = set(zip(events.t.tolist(), events.x.tolist(), events.y.tolist(), events.p.tolist(), strict=True))
    rows = zip(found.t.tolist(), found.x.tolist(), found.y.tolist(), found.p.tolist(), strict=True)
    new = np.array([row not in known for row in rows])
    return Events(found.t[new], found.x[new], found.y[new], found.p[new], found.sensor)


def test_noise_has_its_rate_at_all_pixels() -> None:
    events = random_events(1, 100, WIDE, 2_000_000)
    new = added(corrupted(Noise(3.0), events), events)
    expected = 3.0 * 120 * 70 * events.duration_us * 1e-6
    assert abs(len(new) - expected) < 5 * np.sqrt(expected)
    assert new.p.mean() == pytest.approx(0.5, abs=0.03)
    assert np.bincount(new.y.astype(int) * 120 + new.x, minlength=8400).max() < 25


def test_hot_pixels_are_a_share_of_the_pixels_with_one_polarity_each() -> None:
    events = random_events(1, 100, WIDE, 2_000_000)
    new = added(corrupted(HotPixels(0.01, rate_hz=50), events), events)
    pixels = new.y.astype(int) * 120 + new.x
    hot, counts = np.unique(pixels, return_counts=True)
    assert len(hot) == 84
    assert abs(len(new) - 84 * 50 * events.duration_us * 1e-6) < 5 * np.sqrt(8400)
    assert counts.min() > 50
    assert all(len(set(new.p[pixels == pixel].tolist())) == 1 for pixel in hot)


def test_bursts_are_short_and_of_one_polarity() -> None:
    events = Events([0, 10_000_000], [0, 1], [0, 1], [0, 1], WIDE)
    new = added(corrupted(Bursts(1.0), events), events)
    starts = np.flatnonzero(np.diff(new.t, prepend=-(10**6)) > BURST_US)
    assert 3 <= len(starts) <= 20
    for first, stop in zip(starts, [*starts[1:], len(new)], strict=True):
        burst = new.slice_events(int(first), int(stop))
        if burst.duration_us <= BURST_US:  # not two at once
            assert len(burst) == pytest.approx(4200, abs=250)
            assert len(set(burst.p.tolist())) == 1


@pytest.mark.parametrize(
    ("name", "strength", "facts"),
    [
        ("hot_pixels", 1.5, ("hot_pixels", "1.5", "1")),
        ("drops", -0.1, ("drops", "-0.1")),
        ("flips", float("nan"), ("flips", "nan")),
        ("noise", 2000, ("noise", "2000", "1000")),
        ("jitter", float("inf"), ("jitter", "inf")),
        ("blur", 1, ("blur", *CORRUPTION_KINDS)),
    ],
)
def test_wrong_strength_or_name_is_rejected(name: str, strength: float, facts: tuple[str, ...]) -> None:
    with raises(ConfigError, *facts):
        find_corruption(name)(strength)
