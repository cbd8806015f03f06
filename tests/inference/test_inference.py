"""Classification of recordings over time."""

from __future__ import annotations

import csv
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import commands
import numpy as np
import pytest
import torch
from conftest import BAR_CLASSES, BAR_SENSOR, SENSOR, divide, moving_bar, random_events
from facts import mentions, raises
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from records import make_timeline
from untrained import untrained_classifier as untrained

import dvspipe.checkpoints.checkpoint
import dvspipe.inference.classifier
from dvspipe.base.errors import ConfigError, DataError, FileError, PartialError
from dvspipe.base.progress import CurrentStep
from dvspipe.base.texts import TextTable
from dvspipe.encoding import BinConfig, encode
from dvspipe.events import Events, SensorSize, concatenate
from dvspipe.formats import write
from dvspipe.framing import FramingConfig
from dvspipe.hooks import hookimpl, plugins
from dvspipe.inference import (
    Classifier,
    InferConfig,
    Predictions,
    SegmentConfig,
    Timeline,
    find_segments,
    plan_tasks,
    score,
)
from dvspipe.inference.reading import EventCounts
from dvspipe.inference.segments import is_certain
from dvspipe.inference.windows import Window, encode_steps, slide
from dvspipe.networks import run_network
from dvspipe.recordings.config import ConvertConfig
from dvspipe.recordings.conversion import convert_many, plan_conversions
from dvspipe.results import (
    InferenceRun,
    LabelRow,
    OutputFolder,
    Prediction,
    RecordingResult,
    SegmentRow,
    TimeScores,
    TrainingRun,
    WindowRow,
    add_scores,
    read_rows,
)
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video


@pytest.fixture(scope="module")
def checkpoint(train_bars: Callable[..., TrainingRun]) -> Path:
    """Network trained to classify the direction of moving bars."""
    return train_bars(epochs=6, shift_px=0).checkpoint


@pytest.fixture(scope="module")
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


# Windows


@given(
    seed=st.integers(0, 10**6),
    places=st.lists(st.integers(0, 10**6), max_size=5),
    form=st.sampled_from(["count", "binary"]),
    hop_us=st.sampled_from([1000, 1500, 2000, 3000, 7000, 20_000]),
    gap_us=st.integers(0, 60_000),
)
def test_sliding_windows_equal_separately_encoded_windows(
    seed: int, places: list[int], form: str, hop_us: int, gap_us: int
) -> None:
    """Windows without events are skipped."""
    bins = BinConfig.model_validate({"steps": 4, "step_us": 1000, "form": form})
    rng = np.random.default_rng(seed)
    early, late = (random_events(seed + n, int(rng.integers(1, 40)), span_us=8000) for n in (0, 1))
    events = concatenate([early, late.shift_time(8000 + gap_us)], SENSOR)
    begin_us, last_us = int(events.t[0]), int(events.t[-1])
    expected = []
    for start_us in range(begin_us, last_us + 1, hop_us):
        inside = events.between(start_us, start_us + bins.tensor_us)
        if len(inside):
            expected.append((start_us, len(inside), encode(inside, bins, start_us=start_us)))
    found: list[Window] = list(slide(iter(divide(events, places)), bins, hop_us))
    assert [(window.start_us, window.events) for window in found] == [each[:2] for each in expected]
    for window, (_, _, spikes) in zip(found, expected, strict=True):
        np.testing.assert_array_equal(window.spikes, spikes)


@given(
    seed=st.integers(0, 10**6),
    places=st.lists(st.integers(0, 10**6), max_size=4),
    span_us=st.sampled_from([10, 50_000, 10**7, 10**12]),
)
def test_counts_do_not_depend_on_chunks_and_fit_into_bins(seed: int, places: list[int], span_us: int) -> None:
    events = random_events(seed, 200, span_us=span_us)
    counts = EventCounts(1000)
    limited = EventCounts(1000, 64)
    for part in divide(events, places):
        counts.add(part)
        limited.add(part)
    steps = np.random.default_rng(seed).integers(0, 50, (20, 2))
    begin, end = events.t[0] + 1000 * np.stack([steps.min(axis=1), steps.max(axis=1) + 1])
    expected = [len(events.between(a, b)) for a, b in zip(begin.tolist(), end.tolist(), strict=True)]
    assert counts.between(begin, end).tolist() == expected

    rates = limited.summarize()
    edges_us = int(events.t[0]) + np.arange(len(rates.counts) + 1) * rates.bin_us
    assert len(rates.counts) <= 64
    assert rates.counts == tuple(np.histogram(events.t, edges_us)[0].tolist())
    assert sum(rates.counts) == limited.total == 200
    assert rates.bin_us == 1000 or len(rates.counts) > 32


# Predictions: complete, windowed, stateful


def predict_once(classifier: Classifier, events: Events, bins: BinConfig, start_us: int) -> NDArray[np.float64]:
    """Return the probabilities of a recording as one tensor."""
    spikes = encode(events, bins, start_us=start_us)
    with torch.no_grad():
        outputs, _ = run_network(classifier.network, torch.from_numpy(spikes)[:, None])
    return np.asarray(outputs.double().mean(dim=0)[0].softmax(dim=0))


def test_windowed_and_stateful_agree_for_one_window() -> None:
    classifier = untrained()
    events = moving_bar(0, 3, windows=4)
    steps = int(events.duration_us // 20_000) + 1
    whole = InferConfig(window_us=steps * 20_000)
    expected = predict_once(classifier, events, classifier.window_bins(whole), int(events.t[0]))
    windowed = classifier.predict(events, whole)
    stateful = classifier.predict(events, whole.model_copy(update={"stateful": True}))
    assert (windowed.windows, stateful.windows) == (1, steps)
    np.testing.assert_allclose(windowed.timeline.probabilities[0], expected, atol=1e-5)
    np.testing.assert_allclose(stateful.timeline.probabilities[-1], expected, atol=1e-5)


@pytest.mark.parametrize("hop_us", [20_000, 60_000, 35_000])
def test_window_prediction_equals_separate_prediction(hop_us: int) -> None:
    classifier = untrained()
    events = moving_bar(1, 3, windows=5)
    timeline = classifier.predict(events, InferConfig(hop_us=hop_us)).timeline
    first_us, last_us = int(events.t[0]), int(events.t[-1])
    starts = range(first_us, last_us, hop_us)
    added_us = {start_us: 100_000 if start_us == first_us else hop_us for start_us in starts}
    assert timeline.t_start_us.tolist() == [each for each in starts if last_us - each >= 100_000 - added_us[each] / 2]
    for start_us, row in zip(timeline.t_start_us.tolist(), timeline.probabilities, strict=True):
        part = events.between(start_us, start_us + 100_000)
        np.testing.assert_allclose(row, predict_once(classifier, part, classifier.config.bins, start_us), atol=1e-5)


@pytest.mark.parametrize(("empty", "steps"), [(2, 4), (3, 5), (4, 2)])
def test_more_empty_steps_than_a_pause_has_are_left_out(empty: int, steps: int) -> None:
    events = Events([500, 1500 + 1000 * empty], [0, 0], [0, 0], [True, True], SENSOR)
    bins = BinConfig(steps=3, step_us=1000)
    assert len(list(encode_steps([events], bins, start_us=0, pause_steps=3))) == steps


@pytest.mark.parametrize("stateful", [False, True])
def test_state_is_reset_after_a_pause_of_one_hour(stateful: bool) -> None:
    classifier = untrained()
    early = moving_bar(0, 1, windows=3)
    late = moving_bar(1, 2, windows=3)
    late = late.shift_time(-int(late.t[0]))
    both = concatenate([early.shift_time(-int(early.t[0])), late.shift_time(3_600_000_000)], BAR_SENSOR)
    config = InferConfig(stateful=stateful, hop_us=60_000)
    prediction, alone = classifier.predict(both, config), classifier.predict(late, config)
    assert prediction.windows < 100
    np.testing.assert_allclose(
        prediction.timeline.probabilities[-alone.windows :], alone.timeline.probabilities, atol=1e-6
    )
    (pause,) = [s for s in prediction.segments if s.t_end_us - s.t_start_us > 3_500_000_000]
    assert pause.label is None
    if stateful:  # predictions cover the time until the pause, and the time after it
        cells_us = prediction.timeline.intervals_us(prediction.t_first_us, prediction.t_last_us + 1)
        last = int(np.argmax(np.diff(prediction.timeline.t_end_us)))
        assert cells_us[last, 1] == prediction.timeline.t_end_us[last]
        assert cells_us[last + 1, 0] == prediction.timeline.t_start_us[last + 1]


@pytest.mark.parametrize("stateful", [False, True])
def test_file_and_events_in_memory_have_equal_predictions(tmp_path: Path, stateful: bool) -> None:
    classifier, events = untrained(), moving_bar(1, 7, windows=9)
    write(tmp_path / "a.h5", events)
    config = InferConfig(stateful=stateful, hop_us=40_000)
    calls: list[tuple[float, float]] = []
    file = classifier.predict(tmp_path / "a.h5", config, progress=lambda *now: calls.append(now))
    np.testing.assert_array_equal(
        file.timeline.probabilities, classifier.predict(events, config).timeline.probabilities
    )
    assert calls[-1][0] == calls[-1][1] > 0
    assert calls == sorted(calls)
    ends_us = file.timeline.t_end_us - file.t_first_us
    assert not (ends_us[:-1] % 40_000 if stateful else (ends_us - 100_000) % 40_000).any()


def test_busy_windows_count_and_short_last_window_does_not() -> None:
    """11 windows with events in their first 40 % only, the last after one hour, then 30 ms."""
    t = np.concatenate([100_000 * k + np.arange(0, 40_000, 400) for k in [*range(10), 36_000]])
    t = np.append(t, 3_600_100_000 + np.arange(0, 30_000, 300))
    zeros = np.zeros(t.size, int)
    assert untrained().predict(Events(t, zeros, zeros, zeros, BAR_SENSOR)).windows == 11


@pytest.mark.parametrize(("over", "windows"), [({"polarity": "merged"}, 3), ({"by": "recording"}, 1)])
def test_bins_determine_windows_and_channels(over: dict[str, Any], windows: int) -> None:
    prediction = untrained(**over).predict(moving_bar(0, 0, windows=3))
    assert (prediction.windows, prediction.events, sum(prediction.rates.counts)) == (windows, 1200, 1200)


@pytest.mark.parametrize(
    ("bins", "over", "message"),
    [
        ({}, {"window_us": 30_000}, ("window_us", 30000, 20000)),
        ({}, {"hop_us": 10_000}, ("hop_us", 10000, 20000)),
        ({}, {"hop_us": 30_000, "stateful": True}, ("hop_us", 30000, 20000)),
        ({"by": "recording"}, {"window_us": 30_000}, "window_us"),
        ({"by": "recording"}, {"stateful": True}, "stateful"),
    ],
)
def test_windows_that_do_not_fit_the_network_are_errors(
    bins: dict[str, Any], over: dict[str, Any], message: object
) -> None:
    with raises(ConfigError, message):
        untrained(**bins).predict(moving_bar(0, 0), InferConfig(**over))


def test_video_in_a_folder_has_the_noise_of_its_conversion(tmp_path: Path) -> None:
    network = untrained()
    framing = FramingConfig(roi="full", shot_noise_rate_hz=50)
    classifier = Classifier(network.config.model_copy(update={"framing": framing}), network.network)
    size = classifier.config.sensor
    (tmp_path / "films" / "a").mkdir(parents=True)
    still = [Frame(33_333 * k, np.full((size.height, size.width), 40, np.uint8)) for k in range(12)]
    write_video(tmp_path / "films" / "a" / "b.webm", still)
    [conversion] = plan_conversions(tmp_path / "films", tmp_path / "events")
    [converted] = convert_many([conversion], ConvertConfig(shot_noise_rate_hz=50))

    [film] = dvspipe.infer(classifier, [tmp_path / "films"])
    recording = classifier.predict(conversion.target)
    assert converted.result().events == film.events > 100
    assert np.array_equal(film.timeline.probabilities, recording.timeline.probabilities)


# Segments


timeline_of = partial(make_timeline, window_us=200, hop_us=100)
A, B, FLAT, WEAK = [0.9, 0.05, 0.05], [0.05, 0.9, 0.05], [0.34, 0.33, 0.33], [0.45, 0.3, 0.25]


def segments_of(timeline: Timeline, **settings: Any) -> list[tuple[int, int, str]]:
    config = SegmentConfig(**{"least_us": 0, **settings})
    found = find_segments(timeline, BAR_CLASSES, config, t_first_us=0, t_end_us=int(timeline.t_end_us[-1]))
    return [(each.t_start_us, each.t_end_us, each.class_name) for each in found]


def test_unfamiliar_windows_are_uncertain() -> None:
    timeline = timeline_of([A] * 9)
    strange = replace(timeline, familiar=np.arange(9) < 4)
    assert segments_of(timeline) == [(0, 1000, "right")]
    assert [name for *_, name in segments_of(strange)] == ["right", "uncertain"]
    assert is_certain(strange, SegmentConfig()).tolist() == [True] * 4 + [False] * 5


def test_recording_of_unfamiliar_windows_is_not_certain() -> None:
    classifier = untrained()
    events = random_events(0, 4000, classifier.config.sensor, span_us=400_000)
    config = InferConfig(enter=0.0, leave=0.0)
    assert classifier.predict(events, config).certain
    strict = Classifier(classifier.config.model_copy(update={"least_energy": 1e6}), classifier.network)
    prediction = strict.predict(events, config)
    assert not prediction.certain
    assert not prediction.timeline.familiar.any()
    assert {segment.class_name for segment in prediction.segments} == {"uncertain"}


@pytest.mark.parametrize(
    ("rows", "settings", "segments"),
    [
        # Prediction k covers (k + 1) * 100 us, plus and minus half a hop.
        ([A, A, FLAT, B, B], {}, [(0, 250, "right"), (250, 350, "uncertain"), (350, 600, "left")]),
        ([A, WEAK, WEAK, A], {}, [(0, 500, "right")]),
        ([WEAK, A], {}, [(0, 150, "uncertain"), (150, 300, "right")]),
        ([A, WEAK, A], {"leave": 0.5}, [(0, 150, "right"), (150, 250, "uncertain"), (250, 400, "right")]),
        ([A, A, B, A, A], {"least_us": 150}, [(0, 600, "right")]),
        ([A, A, FLAT, B, FLAT, FLAT], {"least_us": 150}, [(0, 250, "right"), (250, 700, "uncertain")]),
    ],
    ids=["flat", "hysteresis", "enter", "leave", "merged", "short"],
)
def test_segments_follow_the_predictions(
    rows: list[list[float]], settings: dict[str, Any], segments: list[tuple[int, int, str]]
) -> None:
    assert segments_of(timeline_of(rows), **settings) == segments


def test_noise_is_uncertain_unless_shorter_than_half_a_window() -> None:
    events = [10, 12, 10, *[100] * 6, 14, 100, 14, 14, 14, *[100] * 5]
    timeline = timeline_of([A] * len(events), events, hop_us=40)  # windows of 200 us
    found = segments_of(timeline)
    assert [name for _, _, name in found] == ["uncertain", "right", "uncertain", "right"]
    assert found[2][1] - found[2][0] == 3 * 40


@given(seed=st.integers(0, 10**6), length_us=st.integers(0, 1000))
def test_smoothed_probabilities_are_means_of_nearby_predictions(seed: int, length_us: int) -> None:
    rng = np.random.default_rng(seed)
    timeline = timeline_of(rng.dirichlet([1, 1, 1], 12).tolist())
    for at_us, row in zip(timeline.center_us, timeline.smooth(length_us), strict=True):
        near = np.abs(timeline.center_us - at_us) <= length_us / 2
        np.testing.assert_allclose(row, timeline.probabilities[near].mean(axis=0), atol=1e-6)


def test_segment_probability_is_the_mean_of_its_predictions_unless_uncertain() -> None:
    timeline = timeline_of([[0.9, 0.1, 0], [0.7, 0.1, 0.2], FLAT])
    first, second = find_segments(timeline, BAR_CLASSES, SegmentConfig(least_us=0), t_first_us=0, t_end_us=400)
    assert (first.probability, second.probability) == (pytest.approx(0.8), None)


@given(
    rows=st.lists(st.lists(st.floats(0.01, 1), min_size=3, max_size=3), min_size=1, max_size=30),
    counts=st.lists(st.integers(1, 100), min_size=30, max_size=30),
    least_us=st.integers(0, 500),
)
def test_segments_tile_the_recording_and_neighbours_differ(
    rows: list[list[float]], counts: list[int], least_us: int
) -> None:
    shares = [(np.array(row) / sum(row)).tolist() for row in rows]
    found = segments_of(timeline_of(shares, counts[: len(rows)]), least_us=least_us)
    assert (found[0][0], found[-1][1]) == (0, 100 * (len(rows) - 1) + 200)
    for before, after in pairwise(found):
        assert before[1] == after[0]
        assert before[2] != after[2] or "uncertain" not in (before[2], after[2])
    for start_us, end_us, name in found:
        assert end_us > start_us
        assert name == "uncertain" or end_us - start_us >= least_us or len(found) == 1


def test_entropy_is_zero_if_certain_and_log2_k_if_uniform() -> None:
    timeline = timeline_of([[1, 0, 0], [1 / 3] * 3, [0.5, 0.5, 0]])
    np.testing.assert_allclose(timeline.entropies, [0, np.log2(3), 1], atol=1e-6)


# Sensors that differ from the network's


def test_region_of_larger_sensor_gives_the_prediction_of_its_events(classifier: Classifier) -> None:
    bar, large = moving_bar(1, 5, windows=3), SensorSize(width=64, height=48)
    inside = Events(bar.t, bar.x + 20, bar.y + 9, bar.p, large)
    by_region = classifier.predict(inside, InferConfig(roi="16x12+20+9"))
    np.testing.assert_array_equal(by_region.timeline.probabilities, classifier.predict(bar).timeline.probabilities)
    assert [str(look) for look in by_region.looked_at] == ["16x12+20+9"]
    with raises(DataError, "1,200 events"):
        classifier.predict(inside, InferConfig(roi="16x12+48+36"))


def test_larger_sensor_is_searched_by_default_and_smaller_sensor_is_an_error() -> None:
    classifier, bar = untrained(), moving_bar(1, 5, windows=3)
    inside = Events(bar.t, bar.x + 40, bar.y + 30, bar.p, SensorSize(width=100, height=80))
    found = classifier.predict(inside)
    (look,) = found.looked_at
    assert look.left + look.width / 2 == pytest.approx(48, abs=4)
    assert found.picture == str(inside.sensor)
    for over in ({"roi": "full"}, {"fit": "scale"}):
        complete = classifier.open(inside, InferConfig(**over))
        assert [(look.t_us, str(look)) for look in complete.looked_at] == [(None, "100x80+0+0")]
    large = untrained(SensorSize(width=64, height=48))
    for over in ({}, {"roi": "full"}):
        with raises(DataError, "16x12", "64x48", "fit=scale", "fit=crop"):
            large.predict(bar, InferConfig(**over))
    assert large.predict(bar, InferConfig(fit="scale")).events > len(bar)


# Scores


def label_of(start_us: int, end_us: int, name: str) -> LabelRow:
    return LabelRow(t_start_us=start_us, t_end_us=end_us, class_name=name)


def test_correct_predictions_score_1_with_a_delay_of_one_window() -> None:
    timeline = timeline_of([A] * 5 + [B] * 5)
    labels = [label_of(0, 550, "right"), label_of(550, 1100, "left")]
    config = SegmentConfig(least_us=0)
    segments = find_segments(timeline, BAR_CLASSES, config, t_first_us=0, t_end_us=1100)
    found = score(timeline, segments, labels, BAR_CLASSES, config)
    assert (found.accuracy, found.segment_f1, found.segments_found) == (1, 1, 2)
    assert found.confusion == ((5, 0, 0), (0, 5, 0), (0, 0, 0))
    assert found.delays_us == (200, 150)  # one window; then 700 - 550, the first end of a correct prediction


@pytest.mark.parametrize(
    ("segments", "f1"),
    [
        ([(0, 100, 0)], 1),
        ([(0, 51, 0)], 1),
        ([(0, 49, 0)], 0),
        ([(0, 100, 1)], 0),
        ([(0, 60, 0), (60, 100, 0)], 2 / 3),  # split in two
        ([(0, 100, 0), (200, 300, 0)], 2 / 3),  # an extra segment
        ([(0, 201, 0)], 0),
        ([], 0),
    ],
)
def test_segment_matches_label_with_overlap_of_half(segments: list[tuple[int, int, int]], f1: float) -> None:
    uncertain = SegmentRow(t_start_us=300, t_end_us=400, label=None, class_name="uncertain", probability=0.5)
    shown = [
        SegmentRow(t_start_us=start, t_end_us=end, label=label, class_name=BAR_CLASSES[label], probability=0.5)
        for start, end, label in segments
    ]
    found = score(timeline_of([A]), [*shown, uncertain], [label_of(0, 100, "right")], BAR_CLASSES, SegmentConfig())
    assert found.segment_f1 == pytest.approx(f1)


# Operations


def test_operations_count_events_per_window_and_neuron() -> None:
    prediction = untrained().predict(moving_bar(0, 1, windows=4), InferConfig(hop_us=50_000))
    first, readout = prediction.layers
    reached = 4 * 3 * 3  # channels * kernel size
    assert first.operations == prediction.timeline.events.sum() * reached
    assert first.dense_operations == 35 * 2 * 16 * 12 * reached  # steps * polarities * pixels
    assert (readout.rate, first.multiplies) == (None, False)


# Files and folders


def test_predictions_mirror_folders_and_output_folders_are_not_searched(tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "data" / "out"
    for name in ("a.h5", "deep/b.h5", "deep/er/b.h5"):
        write(data / name, random_events(0, 5))
    write(out / "c.h5", random_events(0, 5))
    (data / "a_labels.csv").write_text("class,start_us,end_us\n")
    for name in ("run.json", "answer.json"):  # files of another program
        (data / "deep" / name).write_text("{}")
    tasks = plan_tasks([data], out)
    assert [str(task.name) for task in tasks] == ["a.h5", "deep/b.h5", "deep/er/b.h5"]
    with raises(FileError, "b.h5", "deep/b.h5", "er/b.h5"):
        plan_tasks([data / "deep" / "b.h5", data / "deep" / "er" / "b.h5"], out)


def infer(*arguments: object) -> tuple[int, str, str]:
    """Run `dvspipe infer` in this process; return exit code, stdout and stderr."""
    done = commands.dvspipe("infer", *arguments, code=None)
    return done.returncode, done.stdout, done.stderr


def write_stream(path: Path, labels: tuple[int, ...]) -> None:
    """Write a recording with 0.5 s of each label, separated by pauses, and its label file."""
    begins_us = [700_000 * number for number in range(len(labels))]
    parts = [
        moving_bar(label, label + 50, windows=5).shift_time(begin_us)
        for label, begin_us in zip(labels, begins_us, strict=True)
    ]
    write(path, concatenate(parts, BAR_SENSOR))
    rows = [f"{BAR_CLASSES[label]},{t},{t + 500_000}" for label, t in zip(labels, begins_us, strict=True)]
    path.with_name(f"{path.stem}_labels.csv").write_text("\n".join(["class,start_us,end_us", *rows]))


def test_folder_is_classified_scored_and_drawn(tmp_path: Path, checkpoint: Path) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for name, labels in (("a", (0, 1, 2)), ("deep/b", (2, 0, 1))):
        write_stream(data / f"{name}.h5", labels)
    code, output, errors = infer(checkpoint, data, "--out", out, "--labels", data)
    assert (code, errors) == (0, "")
    assert mentions(output, "answer", "right, 0.0 to 0.5 s", "F1", 0.5)
    written = [path for path in out.rglob("*") if path.is_file()]
    assert {path.name for path in written} == {
        *("predictions.csv", "predictions.jsonl", "report.html", "run.json", "scores.json"),
        *("answer.json", "overlay.webm", "playback.json"),
        *("segments.csv", "segments.jsonl", "windows.csv", "windows.jsonl"),
    }
    assert len(written) == 5 + 2 * 7
    scores = TimeScores.read(out / "scores.json")
    assert scores.labels == 6
    assert (scores.segment_f1 or 0) >= 0.9
    assert (scores.accuracy or 0) >= 0.85
    assert 0 < (scores.median_delay_us or 0) <= 101_000  # one window since the first event
    shown = [segment.class_name for segment in read_rows(out / "deep/b.h5/segments.jsonl", SegmentRow)]
    assert shown == ["down", "uncertain", "right", "uncertain", "left"]


def test_recording_is_classified_again_if_a_dependency_changed(
    tmp_path: Path, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, label in (("a/1.h5", 0), ("a/2.h5", 1), ("b/1.h5", 2)):
        write(tmp_path / name, moving_bar(label, label))
    labels = tmp_path / "a" / "1_labels.csv"
    labels.write_text(f"class,start_us,end_us\n{BAR_CLASSES[0]},0,100000\n")

    def classes() -> dict[str, str]:
        rows = csv.DictReader((tmp_path / "out" / "predictions.csv").read_text().splitlines())
        return {row["file"]: row["class"] for row in rows}

    first = [checkpoint, "a/1.h5", "--out", "out", "--pictures=false"]
    assert infer(*first, "--labels", "a")[0] == 0
    assert "already" in infer(*first, "--labels", "a")[2]
    labels.write_text(f"class,start_us,end_us\n{BAR_CLASSES[1]},0,100000\n")
    assert "0.0% of 1 " in infer(*first, "--labels", "a")[1]
    assert (tmp_path / "out" / "scores.json").is_file()
    assert "already" not in infer(*first)[2]
    assert not (tmp_path / "out" / "scores.json").exists()  # classified without labels

    assert infer(checkpoint, "a/2.h5", "--out", "out", "--pictures=false")[0] == 0
    assert classes() == {"a/1.h5": BAR_CLASSES[0], "a/2.h5": BAR_CLASSES[1]}
    code, _, errors = infer(checkpoint, "b/1.h5", "--out", "out")
    assert (code, len(errors.splitlines())) == (2, 1)
    assert "out/1.h5: " in errors
    write(tmp_path / "a/1.h5", moving_bar(2, 5), overwrite=True)
    assert infer(*first)[0] == 0
    assert classes() == {"a/1.h5": BAR_CLASSES[2], "a/2.h5": BAR_CLASSES[1]}
    window = (*first, "--window-us", "60000", "--overwrite")
    (line,) = infer(*window, "--json")[1].splitlines()
    result = RecordingResult.model_validate_json(line)
    assert (result.answer.folder, result.segments[0].class_name) == ("1.h5", BAR_CLASSES[2])
    assert infer(*window[:-1], "--json")[1].splitlines() == [line]  # also if it exists
    assert classes() == {"a/1.h5": BAR_CLASSES[2]}  # the other prediction is for another window


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("empty.h5", "empty.h5"),
        ("other.h5", ("other.h5", "12x7", "16x12", "--fit scale")),
        ("short.h5", ("short.h5", "0.0297", "0.1", "--window-us")),
        ("there.h5 --window-us 123456789000", (123456789000, 20000)),
        ("cut.h5", "cut.h5"),
        ("nothing", "nothing"),
        ("there.h5 --out file", "file"),
        ("deep --out deep", ("deep", "--out OTHER_FOLDER")),
        ("there.h5 --labels endless.csv", ("endless.csv", "line 2", "left,0,1e999")),
        ("there.h5 --roi 16x12+16+0", ("there.h5", "roi", "16x12+16+0", "16x12")),
        ("there.h5 --labels none.csv", "none.csv"),
        ("there.h5 --labels boats.csv", ("boat", "down, left, right")),
        ("there.h5 --labels nothing", ("there_labels.csv", "nothing")),
        ("none.h5", ("none.h5", "no such file")),
    ],
)
def test_bad_input_is_reported_in_one_line_and_writes_nothing(
    words: str,
    message: object,
    tmp_path: Path,
    checkpoint: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "there.h5", moving_bar(0, 0))
    write(tmp_path / "short.h5", moving_bar(0, 0).between(0, 30_000))
    write(tmp_path / "empty.h5", Events.empty(BAR_SENSOR))
    write(tmp_path / "other.h5", random_events(0, 50))
    (tmp_path / "cut.h5").write_bytes((tmp_path / "there.h5").read_bytes()[:3000])
    (tmp_path / "file").touch()
    (tmp_path / "nothing").mkdir()
    write(tmp_path / "deep" / "a.h5", moving_bar(0, 0))
    (tmp_path / "deep" / "run.json").write_text("{}")
    (tmp_path / "endless.csv").write_text("class,start_us,end_us\nleft,0,1e999\n")
    (tmp_path / "boats.csv").write_text("class,start_us,end_us\nboat,0,100\n")
    before = sorted(tmp_path.rglob("*"))
    code, output, errors = infer(checkpoint, *words.split())
    assert code == 2, output
    assert len(errors.strip().splitlines()) == 1
    assert mentions(errors, message)
    assert sorted(tmp_path.rglob("*")) == before


# Many recordings in Python


def test_progress_advances_and_names_files_and_stages(tmp_path: Path, checkpoint: Path) -> None:
    write(tmp_path / "data" / "a.h5", moving_bar(0, 0, windows=20))
    bars = [np.roll(np.tile(np.uint8([255, 0, 0, 0]), (12, 4)), shift, axis=1) for shift in range(30)]
    write_video(tmp_path / "data" / "b.webm", [Frame(20_000 * k, bar) for k, bar in enumerate(bars)])
    calls: list[float] = []
    stages: set[tuple[str, str]] = set()

    class Steps:
        def __call__(self, *_: float) -> None: ...

        def show_step(self, _done: float, _total: float, step: CurrentStep) -> None:
            stages.add((Path(step.names[0]).name, step.names[-1]))

    dvspipe.infer(checkpoint, [tmp_path / "data"], config=InferConfig(roi="auto"), progress=Steps())
    dvspipe.infer(checkpoint, [tmp_path / "data"], progress=lambda done, _: calls.append(done))
    assert calls == sorted(calls)
    assert len({now for now in calls if 1 < now < 2}) > 5  # progress within the video
    assert stages >= {("a.h5", "motion"), ("a.h5", "events"), ("b.webm", "person"), ("b.webm", "events")}


def test_unknown_sensor_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text("".join(f"{t} {t % 12} 2 1\n" for t in range(0, 100_000, 500)))
    classifier = untrained(SensorSize(width=128, height=128))
    classifier.predict(tmp_path / "a.txt")
    assert mentions(caplog.text, "a.txt", "128x128", "34x34")
    caplog.clear()
    classifier.predict(tmp_path / "a.txt", InferConfig(fit="scale", sensor="34x34"))
    assert not caplog.text


def test_many_recordings_are_classified_stored_and_resumed(
    tmp_path: Path, checkpoint: Path, caplog: pytest.LogCaptureFixture
) -> None:
    data, out = tmp_path / "data", tmp_path / "out"
    for number in (0, 2):
        write_stream(data / f"{number}.h5", (number, 0))
    (data / "1.h5").write_text("nonsense")
    (data / "1_labels.csv").write_text("class,start_us,end_us\n")
    config = InferConfig(hop_us=40_000)
    with raises(DataError, "1_labels.csv", "3 recordings"):
        dvspipe.infer(checkpoint, [data], labels=data / "1_labels.csv")
    infer_all = partial(dvspipe.infer, checkpoint, [data], out, labels=data, pictures=False)
    finished: list[float] = []

    def note(done: float, _total: float) -> None:
        if "1.h5: " in caplog.text:  # the error is logged before the next recording is classified
            finished.append(done)

    with raises(PartialError, "1 of 3") as caught:
        infer_all(config, progress=note)
    assert finished[0] == 2
    assert finished[-1] == 3

    folder = OutputFolder(out)
    stored = folder.find_predictions(InferenceRun.read(folder.run))
    assert isinstance(caught.value.results, Predictions)
    assert [each.as_stored() for each in caught.value.results] == stored
    assert folder.predictions.read_text() == "".join(f"{each.model_dump_json()}\n" for each in stored)
    assert TimeScores.read(folder.scores) == add_scores(each.scores for each in stored)
    prediction = Classifier.load(checkpoint).predict(data / "0.h5", config)
    rows = read_rows(folder.of("0.h5").windows, WindowRow)
    np.testing.assert_array_equal([row.probabilities for row in rows], prediction.timeline.probabilities)
    assert stored[0].segments == prediction.segments

    times_ns = [path.stat().st_mtime_ns for path in sorted(out.glob("*/answer.json"))]
    (data / "1.h5").unlink()
    write_stream(data / "1.h5", (1,))
    first, added, last = infer_all(config)
    assert ([first, last], added.class_name) == (stored, BAR_CLASSES[1])
    assert [(out / each.folder / "answer.json").stat().st_mtime_ns for each in (first, last)] == times_ns
    with raises(FileError, "hop_us", 40000, None, "overwrite"):
        infer_all()


def test_interrupted_classification_is_summarized(tmp_path: Path, checkpoint: Path) -> None:
    for number in range(3):
        write(tmp_path / "data" / f"{number}.h5", moving_bar(number, number))

    def stop(done: float, _total: float) -> None:
        if done > 2:  # during the third recording
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        dvspipe.infer(checkpoint, [tmp_path / "data"], tmp_path / "out", pictures=False, progress=stop)
    answers = read_rows(OutputFolder(tmp_path / "out").predictions, Prediction)
    assert [answer.folder for answer in answers] == ["0.h5", "1.h5"]


def test_pictures_are_drawn_before_the_prediction_is_stored(tmp_path: Path, checkpoint: Path) -> None:
    events = moving_bar(0, 0, windows=3)
    write(tmp_path / "a.h5", events)
    drawn: list[tuple[Any, ...]] = []

    class Drawing:
        @hookimpl
        def draw(self, folder: Any, prediction: Any, windows: Any, view: Any) -> bool:
            assert not folder.answer.exists()
            shown = sum(map(len, view.parts))
            drawn.append((folder.path, prediction.windows, len(windows), shown, view.sensor))
            return True

    plugins().register(Drawing(), "drawing")
    try:
        depends_on = dvspipe.infer(checkpoint, tmp_path / "a.h5", tmp_path / "out")[0].depends_on
    finally:
        plugins().unregister(name="drawing")
    assert drawn == [(tmp_path / "out" / "a.h5", 3, 3, len(events), BAR_SENSOR)]
    assert depends_on is not None
    assert depends_on.pictures


def test_worker_processes_need_a_checkpoint(tmp_path: Path) -> None:
    for name in ("a.h5", "b.h5"):
        write(tmp_path / name, moving_bar(0, 0))
    with raises(ConfigError, "jobs = 2", "jobs=1"):
        dvspipe.infer(untrained(), [tmp_path], jobs=2)


def test_answer_is_printed_with_its_basis_and_what_the_network_was_trained_on() -> None:
    trained = {"basis": "events", "trained_on": "digits"}
    answer = Prediction.model_construct(file="a.h5", class_name="up", probability=0.6, **trained)
    table, line = Predictions([answer]).describe()
    assert isinstance(table, TextTable)
    assert mentions(str(table.rows), "a.h5", "up", "60.0%")
    assert mentions(str(line), "events", "digits")
