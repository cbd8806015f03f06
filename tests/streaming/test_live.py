"""Live streams: sources, queue, session and command."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from commands import dvspipe
from conftest import BAR_SENSOR, moving_bar
from facts import mentions, raises
from untrained import untrained_classifier

from dvspipe.base.errors import CheckpointError, ConfigError, DataError, FileError, VideoError
from dvspipe.base.interrupts import end_on_interrupt
from dvspipe.checkpoints.checkpoint import save_checkpoint
from dvspipe.events import Events, SensorSize, concatenate, merge_streams
from dvspipe.formats import WriteOptions, Writer, create_writer, read, write
from dvspipe.framing import FramingConfig
from dvspipe.inference import Classifier, ClassifyConfig, InferConfig
from dvspipe.inference.stateful import StatefulRun, group_steps
from dvspipe.inference.windows import encode_steps
from dvspipe.results import Timeline
from dvspipe.streaming import Chunk, LiveSession, LiveSource, PushedSource, open_live
from dvspipe.streaming.answers import LiveAnswer
from dvspipe.streaming.framing import LiveFinder, frame_live
from dvspipe.streaming.session import live
from dvspipe.video.config import VideoSettings
from dvspipe.video.opening import open_video

STEP_US = 20_000
FAST = 1e6  # speed of a replay that does not wait


@pytest.fixture(scope="module")
def classifier() -> Classifier:
    """Network with random weights."""
    return untrained_classifier()


@pytest.fixture(scope="module")
def checkpoint(classifier: Classifier, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """File of a classifier for commands."""
    path = tmp_path_factory.mktemp("live") / "bars.safetensors"
    save_checkpoint(path, classifier.config, classifier.network)
    return path


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recording of 0.7 s with a pause of 0.3 s, longer than a window."""
    bar = moving_bar(1, 3, windows=4)
    after = moving_bar(2, 4, windows=3)
    later = Events(after.t + 700_000, after.x, after.y, after.p, after.sensor)
    path = tmp_path_factory.mktemp("live") / "bars.h5"
    write(path, concatenate([bar, later], bar.sensor))
    return path


def answers_of(
    source: LiveSource,
    classifier: Classifier,
    config: ClassifyConfig = ClassifyConfig(),
    *,
    writer: Writer | None = None,
    capacity: int = 100_000,
) -> list[LiveAnswer]:
    """Answers with a label, of a session that drops nothing unless told otherwise."""
    session = LiveSession(source, classifier, config, writer=writer, capacity=capacity)
    return [answer for answer in session if answer.label is not None]


def assert_equal(answers: list[LiveAnswer], timeline: Timeline | None) -> None:
    """Check that times and probabilities are equal to the last bit."""
    assert timeline is not None
    assert [answer.t_us for answer in answers] == timeline.t_end_us.tolist()
    found = np.array([answer.probabilities for answer in answers], np.float32)
    np.testing.assert_array_equal(found, timeline.probabilities)


# Answers


@pytest.mark.parametrize("hop_us", [None, 60_000])
def test_answers_equal_stateful_inference_to_the_last_bit(
    classifier: Classifier, recording: Path, hop_us: int | None
) -> None:
    answers = answers_of(open_live(recording, speed=FAST), classifier, ClassifyConfig(hop_us=hop_us))
    expected = classifier.predict(recording, InferConfig(hop_us=hop_us, stateful=True))
    assert_equal(answers, expected.timeline)
    assert {answer.dropped for answer in answers} == {0}


def test_films_and_pushed_pictures_have_the_answers_of_inference(classifier: Classifier, tmp_path: Path) -> None:
    pushed, film = PushedSource("webcam", SensorSize(width=32, height=24)), tmp_path / "film"
    film.mkdir()
    for number, picture in enumerate(np.random.default_rng(1).integers(0, 256, (15, 24, 32, 3), np.uint8)):
        pushed.push(40_000 * number, picture)
        cv2.imwrite(str(film / f"{number:02}.png"), picture)
    pushed.end()
    expected = classifier.predict(film, InferConfig(roi="full", stateful=True, fps=25)).timeline
    for source in (open_live(film, VideoSettings(fps=25), speed=FAST), pushed):
        assert_equal(answers_of(source, classifier, ClassifyConfig(roi="full")), expected)


@pytest.mark.parametrize("capacity", [1, 100_000])
def test_recorded_events_have_the_answers_that_were_shown(
    classifier: Classifier, recording: Path, tmp_path: Path, capacity: int
) -> None:
    """Chunks may be dropped or not: the recording contains what the network saw."""
    path = tmp_path / "seen.h5"
    writer = create_writer(path, BAR_SENSOR, WriteOptions())
    answers = answers_of(open_live(recording, speed=FAST), classifier, writer=writer, capacity=capacity)
    assert_equal(answers, classifier.predict(path, InferConfig(stateful=True)).timeline)
    if not answers[-1].dropped:
        np.testing.assert_array_equal(read(path).t, read(recording).t)


def test_outputs_do_not_depend_on_groups_of_at_least_two_steps(classifier: Classifier) -> None:
    events, bins = moving_bar(0, 1, windows=3), classifier.config.bins
    steps = list(encode_steps([events], bins, start_us=int(events.t[0]), pause_steps=bins.steps))
    outputs = []
    for groups in ([[step] for step in steps], group_steps(steps, 2), group_steps(steps, 4)):
        run = StatefulRun(classifier.runner, bins, start_us=0, hop=1, copies=1 if outputs else 2)
        outputs.append(np.array([found.logits for group in groups for found in run.add(group)]))
    assert len(outputs[0]) == len(steps)
    np.testing.assert_array_equal(outputs[0], outputs[1])
    np.testing.assert_array_equal(outputs[0], outputs[2])
    for count in range(2, len(steps) + 1):
        sizes = [len(group) for group in group_steps(steps[:count], 3)]
        assert (sum(sizes), set(sizes) <= {2, 3, 4}) == (count, True)


# Queue


class PausedSource(LiveSource):
    """Source of events that waits for `go` after its first chunk."""

    def __init__(self, parts: list[Events], go: threading.Event) -> None:
        super().__init__("camera 7", BAR_SENSOR, lambda: iter(parts))
        self._go = go

    def read(self, stop: threading.Event) -> Iterator[Chunk]:
        """Yield a chunk, wait, and yield the other ones."""
        for number, chunk in enumerate(super().read(stop)):
            yield chunk
            if number == 0:
                self._go.wait()


def test_full_queue_drops_the_oldest_chunks_and_latency_counts(classifier: Classifier) -> None:
    go = threading.Event()
    starts_us = [*range(0, 500_000, 20_000), *range(5_500_000, 6_000_000, 20_000)]  # 5 s without events are no loss
    parts = [Events([t_us, t_us + 9_000], [0, 0], [0, 0], [0, 0], BAR_SENSOR) for t_us in starts_us]
    session = LiveSession(PausedSource(parts, go), classifier, capacity=2)

    # While the first event is seen, all other chunks arrive, and two of them fit in the queue.
    class Viewer:
        def add(self, *_: object) -> None:
            if not go.is_set():
                go.set()
                while session.is_reading:
                    time.sleep(0.01)

    session.viewer = Viewer()
    answers = [answer for answer in session if answer.label is not None]
    assert session.dropped == len(parts) - 3
    assert session.skipped_us == 9_000 * session.dropped
    assert {answer.dropped for answer in answers} == {session.dropped}
    assert answers[1].t_us > parts[-3].t[-1]  # after the chunk that was seen
    assert answers[1].latency_us > 0


def test_skipped_time_of_dropped_frames_is_the_time_since_the_frames_before_them() -> None:
    video = open_video(np.zeros((4, 7, 12), np.uint8), VideoSettings(fps=50))
    chunks = LiveSource("film", video, video.frames, speed=FAST).read(threading.Event())
    assert [chunk.t_us - chunk.start_us for chunk in chunks] == [0, 20_000, 20_000, 20_000]


def test_frame_before_time_zero_is_an_error() -> None:
    source = PushedSource("webcam", SensorSize(width=12, height=7))
    source.push(-40_000, np.zeros((7, 12, 3), np.uint8))
    source.end()
    with raises(VideoError, "webcam", "-40000"):
        list(source.read(threading.Event()))


# Sources


def chunks_of(source: LiveSource) -> list[Chunk]:
    return list(source.read(threading.Event()))


@pytest.mark.parametrize("speed", [4.0, 20.0])
def test_recordings_and_films_are_replayed_at_their_own_pace(recording: Path, speed: float) -> None:
    chunks, events = chunks_of(open_live(recording, speed=speed)), read(recording)
    parts = [chunk.content for chunk in chunks if isinstance(chunk.content, Events)]
    np.testing.assert_array_equal(concatenate(parts, BAR_SENSOR).t, events.t)
    assert max(int(part.t[-1] - part.t[0]) for part in parts) < 10_000

    video = open_video(np.zeros((3, 7, 12), np.uint8), VideoSettings(fps=50))
    frames = chunks_of(LiveSource("film", video, video.frames, speed=speed))
    assert [frame.t_us for frame in frames] == [0, 20_000, 40_000]
    for replayed in (chunks, frames):
        waits_s, times_us = np.array([(chunk.due_s, chunk.t_us) for chunk in replayed]).T
        assert np.diff(waits_s) == pytest.approx(np.diff(times_us) * 1e-6 / speed)


def test_frames_of_a_webcam_are_classified_until_it_is_unplugged(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Camera:
        """Replacement for cv2.VideoCapture: a brighter picture every 2 ms, 200 times."""

        def __init__(self, _index: int) -> None:
            self.number = 0

        def grab(self) -> bool:
            time.sleep(0.002)
            self.number += 1
            return self.number <= 200

        def retrieve(self) -> tuple[bool, np.ndarray]:
            return True, np.full((BAR_SENSOR.height, BAR_SENSOR.width, 3), self.number, np.uint8)

        def release(self) -> None: ...

    monkeypatch.setattr("dvspipe.video.opencv.cv2.VideoCapture", Camera)
    answers = list[LiveAnswer]()
    with raises(VideoError, "camera 0"):
        for answer in LiveSession(open_live("0"), classifier, ClassifyConfig(roi="full"), capacity=1000):
            answers.append(answer)
    assert len(answers) > 1
    assert {answer.dropped for answer in answers} == {0}


class NoCamera:
    """Replacement for cv2.VideoCapture on a machine without cameras."""

    def __init__(self, _index: int) -> None: ...

    def grab(self) -> bool:
        return False

    def release(self) -> None: ...


def test_sources_and_settings_are_checked_before_the_start(classifier: Classifier, tmp_path: Path) -> None:
    with raises(FileError, "missing.h5"):
        open_live("missing.h5")
    with raises(ConfigError, 2):
        open_live("0", speed=2.0)
    with raises(ConfigError, "speed"):
        open_live("missing.h5", speed=0.0)
    write(tmp_path / "small.h5", Events([0, 1], [0, 1], [0, 1], [0, 1], SensorSize(width=8, height=6)))
    source = open_live(tmp_path / "small.h5")
    with raises(DataError, "8x6", BAR_SENSOR):
        LiveSession(source, classifier)
    with raises(ConfigError, "hop_us", 30000):
        LiveSession(source, classifier, ClassifyConfig(fit="scale", hop_us=30_000))
    with raises(ConfigError, "joints"):
        LiveSession(source, classifier, ClassifyConfig(fit="scale", joints=True))


# End


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_sigterm_end_a_stream_with_a_complete_recording(
    classifier: Classifier, recording: Path, tmp_path: Path, number: signal.Signals
) -> None:
    writer = create_writer(tmp_path / "seen.h5", BAR_SENSOR, WriteOptions())
    session = LiveSession(open_live(recording), classifier, writer=writer)
    answers = []
    signal.signal(number, signal.default_int_handler)
    with end_on_interrupt(session.stop):
        for answer in session:
            answers.append(answer)
            if len(answers) == 3:
                signal.raise_signal(number)
    assert signal.getsignal(number) is signal.default_int_handler
    assert not session.is_reading
    seen = read(tmp_path / "seen.h5")
    assert len(seen) == writer.count > 0
    assert answers[-1].t_us - STEP_US <= int(seen.t[-1]) < answers[-1].t_us


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_second_ctrl_c_is_handled_as_before(number: signal.Signals) -> None:
    ended = []
    signal.signal(number, signal.default_int_handler)
    with pytest.raises(KeyboardInterrupt), end_on_interrupt(lambda: ended.append(True)):
        signal.raise_signal(number)
        assert ended == [True]
        signal.raise_signal(number)


def test_failed_source_raises_its_error_after_a_complete_recording(classifier: Classifier, tmp_path: Path) -> None:
    events = moving_bar(0, 0)

    def read_parts() -> Iterator[Events]:
        yield events
        raise VideoError("camera 7: unplugged")

    writer = create_writer(tmp_path / "seen.h5", BAR_SENSOR, WriteOptions())
    with raises(VideoError, "camera 7"):
        answers_of(LiveSource("camera 7", BAR_SENSOR, read_parts), classifier, writer=writer)
    assert len(read(tmp_path / "seen.h5")) == len(events)


def test_silent_source_has_no_label_once_and_does_not_delay_the_end(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dvspipe.streaming.session.IDLE_S", 0.1)
    ended = threading.Event()

    def read_parts() -> Iterator[Events]:
        ended.wait()
        yield from ()

    session = LiveSession(LiveSource("camera 7", BAR_SENSOR, read_parts), classifier)
    threading.Timer(0.5, session.stop).start()
    (answer,) = session
    assert (answer.label, answer.class_name, answer.certain, sum(answer.probabilities)) == (None, None, False, 0)
    assert session.is_reading
    ended.set()


def test_viewer_sees_each_chunk_with_its_events(classifier: Classifier, recording: Path) -> None:
    class Viewer(list[tuple[Chunk, Events]]):
        def add(self, chunk: Chunk, events: Events) -> None:
            self.append((chunk, events))

    session = LiveSession(open_live(recording, speed=FAST), classifier, capacity=100_000)
    session.viewer = viewer = Viewer()
    assert list(session)
    np.testing.assert_array_equal(concatenate([events for _, events in viewer], BAR_SENSOR).t, read(recording).t)
    assert all(chunk.t_us == events.t[-1] for chunk, events in viewer)


# Framing


def blob(left: float, top: float, *, start_us: int, seconds: float, seed: int) -> Events:
    """Textured square of 30 pixels that shakes at a place of a sensor of 320 x 240."""
    rng = np.random.default_rng(seed)
    count = int(20_000 * seconds)
    t = np.sort(rng.integers(start_us, start_us + round(seconds * 1e6), count))
    x, y = left + rng.integers(0, 30, count), top + rng.integers(0, 30, count)
    return Events(t, x, y, rng.integers(0, 2, count), SensorSize(width=320, height=240))


def test_live_region_finds_and_follows_the_moving_object() -> None:
    size, target = SensorSize(width=320, height=240), SensorSize(width=32, height=24)
    finder = LiveFinder(size, size, target)
    for number in range(20):
        place = 60 if number < 8 else 200
        finder.add(blob(place, 100, start_us=500_000 * number, seconds=0.5, seed=number))
        if number == 2:
            assert finder.framing is None
        if number == 7:
            assert finder.framing is not None
            assert abs(finder.framing.center[0, 0] - 75) < 15
            zoom = finder.framing.zoom
    assert finder.framing is not None
    assert finder.framing.center[0, 0] > 150
    assert finder.framing.zoom == zoom


def test_live_region_stays_with_one_of_two_objects_that_are_larger_in_turn(caplog: pytest.LogCaptureFixture) -> None:
    size, target = SensorSize(width=320, height=240), SensorSize(width=32, height=24)
    finder = LiveFinder(size, size, target)
    for number in range(24):
        places = [(30, 100), (250, 100), (30 if number < 12 else 250, 118)]
        blobs = [[blob(*place, start_us=500_000 * number, seconds=0.5, seed=number)] for place in places]
        finder.add(concatenate(merge_streams(blobs), size))
        assert finder.framing is None or abs(finder.framing.center[0, 0] - 45) < 20
    assert [mentions(record.getMessage(), "several", "roi") for record in caplog.records] == [True]


def test_followed_events_stay_on_the_network_sensor_and_in_order() -> None:
    size, target = SensorSize(width=320, height=240), SensorSize(width=32, height=24)
    framer = frame_live("camera", size, target, FramingConfig())
    parts = [framer(blob(60, 100, start_us=500_000 * n, seconds=0.5, seed=n)) for n in range(8)]
    assert {part.sensor for part in parts} == {target}
    assert len(parts[-1]) > 2 * len(parts[0])  # enlarged, compared with the complete picture
    assert (np.diff(concatenate(parts, target).t) >= 0).all()


# Command


def test_command_prints_json_lines_and_records(checkpoint: Path, tmp_path: Path) -> None:
    write(tmp_path / "bar.h5", moving_bar(0, 0, windows=2))
    options = "--json", "--hop-us", 40_000, "--speed", 1000, "--record", "seen.h5"
    done = dvspipe("live", checkpoint, "bar.h5", *options, cwd=tmp_path)
    answers = [LiveAnswer.model_validate_json(line) for line in done.stdout.splitlines()]
    assert [answer.t_us for answer in answers] == [answers[0].t_us + 40_000 * n for n in range(5)]
    assert mentions(done.stderr.splitlines()[-1], "5 predictions", "0 certain", "5 by events")
    np.testing.assert_array_equal(read(tmp_path / "seen.h5").x, moving_bar(0, 0, windows=2).x)


def test_command_prints_plain_lines_with_actions_and_skipped_time(
    checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = LiveSession.__init__

    def start_late(session: LiveSession, *arguments: Any, **options: Any) -> None:
        start(session, *arguments, **options)
        session.dropped, session.skipped_us = 1, 400_000

    monkeypatch.setattr(LiveSession, "__init__", start_late)
    write(tmp_path / "bar.h5", moving_bar(0, 0))
    acts = ["--on", "any", f"{sys.executable} -c ''", "--hold-s", "0", "--enter", "0"]
    done = dvspipe("live", checkpoint, "bar.h5", "--speed", 1000, *acts, cwd=tmp_path)
    assert mentions(done.stdout, "%", "0.4 s skipped", "acts")
    assert "\r" not in done.stdout
    assert mentions(done.stderr, "bar.h5", "0.40 s skipped")


@pytest.mark.parametrize(
    ("words", "facts"),
    [
        ("0", ("0", "CHECKPOINT SOURCE", "gesture 0")),
        ("0 gesture", ("0", "CHECKPOINT SOURCE", "gesture 0")),
        ("bar.h5", ("bar.h5", "CHECKPOINT SOURCE", "gesture bar.h5")),
        ("bar.h5 bars.safetensors", ("bar.h5", "CHECKPOINT SOURCE", "gesture bar.h5")),
        ("film gesture", ("film", "no checkpoint")),
        ("missing", ("missing", "no such file")),
        ("gesture missing.h5", ("missing.h5", "not a webcam", "no such file")),
    ],
)
def test_wrong_and_swapped_arguments_are_one_line(
    checkpoint: Path, tmp_path: Path, words: str, facts: tuple[str, ...]
) -> None:
    write(tmp_path / "bar.h5", moving_bar(0, 0))
    shutil.copy(checkpoint, tmp_path / "bars.safetensors")
    (tmp_path / "film").mkdir()
    cv2.imwrite(str(tmp_path / "film" / "0.png"), np.zeros((24, 32), np.uint8))
    done = dvspipe("live", *words.split(), cwd=tmp_path, code=2)
    assert mentions(done.stderr, *facts)
    assert len(done.stderr.splitlines()) == 1
    with raises((ConfigError, FileError, CheckpointError), facts[0]), pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        first, second = [*words.split(), "0"][:2]
        live(first, second)


@pytest.mark.parametrize("words", [(), ("gesture",), ("gesture", 0)])
def test_first_webcam_and_included_classifier_are_the_defaults(
    words: tuple[Any, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The camera is the first thing that is opened: there is none."""
    monkeypatch.setattr("dvspipe.inference.classifier.Classifier.load", lambda _: untrained_classifier())
    monkeypatch.setattr("dvspipe.video.opencv.cv2.VideoCapture", NoCamera)
    with raises(VideoError, "camera 0"):
        live(*words)
    assert mentions(dvspipe("live", *words, code=2).stderr, "camera 0")


@pytest.mark.skipif(not hasattr(os, "killpg"), reason="POSIX only")
def test_sigterm_ends_the_command_and_the_programs_of_its_gestures(checkpoint: Path, tmp_path: Path) -> None:
    write(tmp_path / "bar.h5", moving_bar(0, 0, windows=3))
    child = "import os, pathlib, time; pathlib.Path('pid').write_text(str(os.getpid())); time.sleep(1000)"
    acts = ["--on", "any", shlex.join([sys.executable, "-c", child]), "--hold-s", "0", "--enter", "0"]
    command = [sys.executable, "-m", "dvspipe", "live", str(checkpoint), "bar.h5", "--speed", "0.01", *acts]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.DEVNULL)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None
        time.sleep(0.01)

    process.terminate()
    assert process.wait(30) == 0
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
