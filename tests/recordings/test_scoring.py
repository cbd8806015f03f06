"""Scores of noise filters: a plain loop, scikit-learn, and recordings whose best filter is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from conftest import random_events
from facts import raises
from sklearn.metrics import roc_auc_score

from dvspipe.base.errors import ConfigError, EventError
from dvspipe.events import Events, SensorSize
from dvspipe.events.filter_config import FilterConfig
from dvspipe.events.filters import find_hot_pixels
from dvspipe.formats import open_recording, write
from dvspipe.recordings import scoring
from dvspipe.recordings.editing import RecordingPart, select_part
from dvspipe.recordings.scoring import FilterSetup, LabelledEvents, label_events, score_filters, tune_filters
from dvspipe.report.charts import draw_filter_curves
from dvspipe.results import EventCounts, FilterName, FilterScore, FilterScores

SENSOR = SensorSize(width=30, height=20)
SPAN_US, SIGNAL = 1_000_000, 1800


def moving_edge(noise: int, hot: int = 0) -> tuple[Events, np.ndarray]:
    """Return a vertical edge that crosses the sensor in a second, with random noise and one hot pixel; and labels."""
    rng = np.random.default_rng(0)
    column, row = np.repeat(np.arange(30), 60), np.tile(np.arange(20), 90)  # three events per pixel
    edge = np.stack([(column + 0.5) * SPAN_US / 30 + rng.normal(0, 1500, SIGNAL), column, row])
    background = rng.integers(0, [[SPAN_US], [30], [20]], (3, noise))
    pixel = np.stack([rng.integers(0, SPAN_US, hot), np.full(hot, 7), np.full(hot, 3)])
    t, x, y = np.concatenate([edge, background, pixel], axis=1).astype(np.int64)
    order = np.argsort(t, kind="stable")
    events = Events(t[order], x[order], y[order], np.ones(len(t), bool), SENSOR)
    return events, (np.arange(len(t)) >= SIGNAL)[order]


def written(folder: Path, events: Events, noise: np.ndarray | None = None) -> RecordingPart:
    labels = None if noise is None else [Events(events.t, events.x, events.y, noise, events.sensor)]
    write(folder / "a.h5", events, noise=labels)
    return select_part(open_recording(folder / "a.h5"))


def ages(events: Events) -> np.ndarray:
    """Return the time since the last event of the 8 neighbours of each event; infinite if there is none."""
    last = np.full((events.sensor.height + 2, events.sensor.width + 2), -np.inf)
    found = np.empty(len(events))
    for number, (t, x, y) in enumerate(zip(events.t, events.x + 1, events.y + 1, strict=True)):
        around = last[y - 1 : y + 2, x - 1 : x + 2].copy()
        around[1, 1] = -np.inf
        found[number] = t - around.max()
        last[y, x] = t
    return found


def score_of(scores: FilterScores, name: FilterName) -> FilterScore:
    return next(score for score in scores.filters if score.filter == name)


def test_counts_and_auroc_equal_a_plain_loop_and_scikit_learn(tmp_path: Path) -> None:
    events, noise = moving_edge(noise=900)
    labelled = label_events(written(tmp_path, events, noise))
    assert labelled.total == EventCounts(signal=SIGNAL, noise=900)
    score = score_of(score_filters(labelled, FilterSetup(FilterConfig(activity_us=4321))), "activity")
    kept = ages(events) <= 4321
    assert score.kept == EventCounts(signal=int((kept & ~noise).sum()), noise=int((kept & noise).sum()))
    assert score.precision == pytest.approx((kept & ~noise).sum() / kept.sum())
    assert score.recall == pytest.approx((kept & ~noise).sum() / SIGNAL)
    for point in score.curve:
        assert point.kept.signal + point.kept.noise == (ages(events) <= point.setting).sum()
    exact = roc_auc_score(~noise, -np.minimum(ages(events), 1e9))
    assert score.auroc == pytest.approx(exact, abs=0.01)  # straight lines between 24 settings
    assert exact > 0.85


def test_hot_pixels_are_scored_by_their_factor(tmp_path: Path) -> None:
    events, noise = moving_edge(noise=600, hot=300)
    labelled = label_events(written(tmp_path, events, noise))
    score = score_of(score_filters(labelled, FilterSetup(hot_pixels=True)), "hot_pixels")
    mask = find_hot_pixels(labelled.counts.sum(axis=0))
    assert mask.sum() == mask[3, 7] == 1
    assert score.kept.noise == 900 - np.count_nonzero((events.x == 7) & (events.y == 3) & noise)


def test_tuning_adds_the_filters_that_help(tmp_path: Path) -> None:
    labelled = label_events(written(tmp_path, *moving_edge(noise=900, hot=600)))
    setup = tune_filters(labelled)
    assert setup.hot_pixels
    assert setup.config.refractory_us is None
    assert 500 < (setup.config.activity_us or 0) < 50_000
    scores = score_filters(labelled, setup)
    alone = [score.recall - score.noise_kept for score in scores.filters]
    assert scores.together.recall - scores.together.noise_kept > max(alone)
    assert scores.together.recall > 0.8
    assert scores.together.noise_kept < 0.2


def test_random_labels_have_the_score_of_chance(tmp_path: Path) -> None:
    events = random_events(1, 4000, SENSOR, SPAN_US)
    labelled = label_events(written(tmp_path, events, np.random.default_rng(2).random(4000) < 0.5))
    scores = score_filters(labelled, FilterSetup())
    assert scores.together.kept == scores.together.total
    assert score_of(scores, "activity").auroc == pytest.approx(0.5, abs=0.03)  # standard deviation 0.01


def test_setups_measured_in_several_passes_give_the_same_scores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part = written(tmp_path, *moving_edge(noise=100))
    setup = FilterSetup(FilterConfig(activity_us=2000), hot_pixels=True)
    expected = score_filters(label_events(part), setup)
    monkeypatch.setattr(scoring, "STATE_BYTES", 1)
    assert score_filters(label_events(part), setup) == expected


def test_noise_of_a_rate_is_mixed_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "NOISE_EVENTS", 100)
    events, _ = moving_edge(noise=0)
    part = written(tmp_path, events)
    labelled = label_events(part, noise_hz=2.0, seed=3)
    assert labelled.total.signal == len(events)
    assert abs(labelled.total.noise - 1200) < 5 * np.sqrt(1200)  # 600 pixels, 1 s
    read = list(labelled.read(None))
    t, noise = (np.concatenate([getattr(chunk, name) for chunk in read]) for name in "tp")
    assert (np.diff(t) >= 0).all()
    assert t[noise].min() >= events.t[0]
    assert t[noise].max() <= events.t[-1]
    again, other = (label_events(part, noise_hz=2.0, seed=seed).counts for seed in (3, 4))
    assert np.array_equal(labelled.counts, again)
    assert not np.array_equal(labelled.counts, other)


def test_recordings_that_cannot_be_scored_are_rejected(tmp_path: Path) -> None:
    events, noise = moving_edge(noise=50)
    labelled, plain = written(tmp_path / "a", events, noise), written(tmp_path / "b", events)
    with raises(ConfigError, "a.h5", "labels", "noise"):
        label_events(plain)
    with raises(ConfigError, "a.h5", "3 Hz"):
        label_events(labelled, noise_hz=3.0)
    with raises(ConfigError, "2000 Hz", "1000"):
        label_events(plain, noise_hz=2000.0)
    with raises(EventError, "a.h5", "1,850", "0"):
        label_events(written(tmp_path / "c", events, np.zeros(SIGNAL + 50, bool)))


def test_curves_are_drawn(tmp_path: Path) -> None:
    labelled: LabelledEvents = label_events(written(tmp_path, *moving_edge(noise=300, hot=300)))
    scores = score_filters(labelled, FilterSetup(FilterConfig(activity_us=2000), hot_pixels=True))
    draw_filter_curves(scores, tmp_path / "curve.png")
    assert (tmp_path / "curve.png").read_bytes().startswith(b"\x89PNG")
