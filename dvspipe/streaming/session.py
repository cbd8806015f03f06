"""The classifying loop of a live stream.

A `LiveSession` connects the parts: a thread reads the source into a queue; the iteration over the session takes the
chunks, maps them to events on the network's sensor, and classifies the events in steps (`_Stages`), one prediction per
hop.
"""

from __future__ import annotations

import queue
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np

from ..base.errors import ConfigError
from ..base.files import claim_output
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..events import Events, SensorSize
from ..formats import WriteOptions, Writer, create_writer
from ..framing.framing import SLICE_US
from ..hooks import Watcher
from ..inference.classifier import Classifier, as_classifier, name_basis
from ..inference.config import ClassifyConfig, InferConfig
from ..inference.stateful import Output, StatefulRun, live_hop
from ..inference.windows import StepEncoder
from ..results import CHECKPOINT_SUFFIX
from ..video.frames import Frame
from ..video.names import camera_of
from ..video.video import Video
from .answers import LiveAnswer
from .framing import frame_live, live_settings
from .sources import Chunk, LiveSource, open_live

CAPACITY = 32  # waiting chunks: 0.3 s of a recording
VIDEO_CAPACITY = 8  # waiting frames: 0.3 s of a webcam
NOTICE_S = 0.05  # maximum time until a stop is noticed
IDLE_S = 1.0  # time without predictions after which the stream has no label
JOIN_S = 0.5  # time for the source to end; a camera without frames may take longer
WARM_UP_EVENTS = 100
RATE_US = 1_000_000  # time over which event rates are averaged


class LiveViewer(Protocol):
    """Viewer of a session."""

    def add(self, chunk: Chunk, events: Events) -> None:
        """See a chunk, and its events on the network's sensor, in the thread that iterates over the session."""


def with_hop(config: ClassifyConfig, classifier: Classifier) -> ClassifyConfig:
    """Return the settings with a time between predictions, in steps of the network; default: `live_hop`."""
    bins = classifier.config.bins
    if config.hop_us is not None or bins.by != "time":
        return config

    return config.model_copy(update={"hop_us": live_hop(bins) * bins.step_us})


class LiveSession:
    """Classification of a live stream with one continuous network state.

    Iterate over it for the predictions, once. A thread reads the source into a bounded queue; the iteration takes the
    chunks, frames, records and classifies them. If the machine is too slow, complete chunks are dropped and counted.
    Simulated pixels, region of interest and network keep their state throughout. The predictions by events are equal to
    the result of `Classifier.classify` with `stateful` for the events that the network saw, to the last bit. Videos of
    people are classified by events and joints, as by `Classifier.classify`; see `InferConfig.joints`.

    Args:
        source: Source of the stream.
        classifier: Classifier.
        config: Settings; `hop_us` is the time between predictions.
        writer: Writer of the events that the network sees; None: do not record them. The file appears at the end.
        capacity: Maximum number of waiting chunks; None: depends on the source.

    Attributes:
        source: Source of the stream.
        writer: Writer of the events.
        viewer: Sees the chunks; None: nobody. Set it before the iteration.
        dropped: Number of chunks dropped so far because the machine was too slow.
        skipped_us: Time of the stream skipped so far because the machine was too slow, in microseconds.

    Raises:
        ConfigError: If the configuration does not fit the network.
        DataError: If the source has another sensor than the network and needs `config.fit`.
    """

    def __init__(
        self,
        source: LiveSource,
        classifier: Classifier,
        config: ClassifyConfig = ClassifyConfig(),
        *,
        writer: Writer | None = None,
        capacity: int | None = None,
    ) -> None:
        self.source = source
        self.writer = writer
        self.viewer: LiveViewer | None = None
        self._classifier = classifier

        # A stream has no segments, so the probability that ends them must not limit `enter`.
        stateful = InferConfig(**config.given, stateful=True, leave=0.0)
        is_film = isinstance(source.content, Video)
        adviser = classifier.choose_adviser(stateful, source.name, is_film=is_film)
        self._watcher = None if adviser is None else adviser.watch()
        self._is_by_joints = adviser is not None and adviser.is_alone
        self._enter = classifier.choose_segments(stateful, is_film=is_film).threshold

        self._capacity = capacity or (VIDEO_CAPACITY if is_film else CAPACITY)
        self._queue = queue.SimpleQueue[Chunk | None]()  # None: the end of the stream
        self._error: Exception | None = None  # error that ended the stream
        self.dropped = 0
        self.skipped_us = 0
        self._is_stopped = False
        self._stop = threading.Event()  # for the thread
        self._thread = threading.Thread(target=self._read, name=f"read {source.name}", daemon=True)

        self._start_stages = partial(_Stages, source, classifier, stateful, self._watcher)
        self._stages = self._start_stages()

    def stop(self) -> None:
        """End the stream after the last predictions. A signal handler may call it: it takes no lock."""
        self._is_stopped = True

    @property
    def is_reading(self) -> bool:
        """Whether the thread of the source still runs, such as a camera that delivers no frames."""
        return self._thread.is_alive()

    def __iter__(self) -> Iterator[LiveAnswer]:
        """Yield predictions until the stream ends or `stop` is called. Consume it completely to keep the recording.

        Raises:
            FileError: If the recording cannot be written.
            DvspipeError: If the source fails; the recording is complete until then.
        """
        with ExitStack() as stack:
            if self.writer is not None:
                stack.enter_context(self.writer)
            stack.enter_context(self._classifier.runner.one_thread())

            # Before the thread starts, or chunks would be dropped meanwhile.
            self._start_stages().warm_up()
            if self._watcher is not None:
                self._watcher.warm_up()

            self._thread.start()
            stack.callback(self._thread.join, JOIN_S)
            stack.callback(self._stop.set)
            yield from self._classify()

        if self._error is not None:
            raise self._error

    def _read(self) -> None:
        """Put the chunks of the source into the queue, in a thread; a full queue loses its oldest chunk."""
        try:
            for chunk in self.source.read(self._stop):
                if self._queue.qsize() >= self._capacity:
                    with suppress(queue.Empty):
                        oldest = self._queue.get_nowait()
                        assert oldest is not None
                        self.dropped += 1
                        self.skipped_us += oldest.t_us - oldest.start_us

                self._queue.put(chunk)
        except Exception as error:  # raised again by the iteration
            self._error = error

        self._queue.put(None)

    def _take(self) -> Iterator[Chunk | None]:
        """Yield the chunks until the end or `stop`; None whenever none arrives in time."""
        while not self._is_stopped:
            try:
                chunk = self._queue.get(timeout=NOTICE_S)
            except queue.Empty:
                yield None
                continue

            if chunk is None:
                return
            yield chunk

    def _classify(self) -> Iterator[LiveAnswer]:
        """Take chunks until the end; record, show and classify their events."""
        answered_s = time.monotonic()  # time of the last prediction
        is_idle = False
        last: Chunk | None = None
        for chunk in self._take():
            if chunk is not None:
                last = chunk
                for output in self._stages.classify(self._see(chunk)):
                    answered_s = time.monotonic()
                    is_idle = False
                    yield self._answer(output, chunk)

            # A stream without events soon has no label. This is said once, until the next prediction.
            if not is_idle and time.monotonic() - answered_s >= IDLE_S:
                is_idle = True
                yield LiveAnswer(
                    t_us=self._stages.last_us,
                    probabilities=(0.0,) * len(self._classifier.config.classes),
                    dropped=self.dropped,
                    skipped_us=self.skipped_us,
                )

        # The end of the stream completes steps, too.
        if last is not None:
            for output in self._stages.finish():
                yield self._answer(output, last)

    def _see(self, chunk: Chunk) -> Events:
        """Return the events of a chunk on the network's sensor, and record and show them."""
        if self._watcher is not None and isinstance(chunk.content, Frame):
            self._watcher.add(chunk.content)

        events = self._stages.frame(chunk.content)
        if self.writer is not None:
            self.writer.append(events)
        if self.viewer is not None:
            self.viewer.add(chunk, events)
        return events

    def _answer(self, output: Output, chunk: Chunk) -> LiveAnswer:
        config = self._classifier.config
        logits = output.logits[None]  # a batch of one window
        (by_events,) = config.probabilities(logits)
        probabilities = by_events
        if self._watcher is not None:
            probabilities = self._watcher.combine(by_events, output.end_us)
        (is_familiar,) = config.is_familiar(logits)
        label = int(probabilities.argmax())

        # Latency counts from the end of the step, which lies before the time of its chunk.
        since_us = (chunk.t_us - output.end_us) / (self.source.speed or 1.0)
        late_us = 1e6 * (time.monotonic() - chunk.due_s) + since_us

        return LiveAnswer(
            t_us=output.end_us,
            label=label,
            class_name=config.classes[label],
            probability=float(probabilities[label]),
            certain=bool(is_familiar and probabilities[label] >= self._enter),
            probabilities=tuple(probabilities.tolist()),
            events_per_s=self._stages.count_events() * 1e6 / RATE_US,
            dropped=self.dropped,
            skipped_us=self.skipped_us,
            basis=name_basis(by_events, probabilities, is_alone=self._is_by_joints),
            latency_us=max(0, round(late_us)),
        )


class _Stages:
    """Framer, encoder and network of a stream, at its start; the steps of the encoder start at the first event."""

    def __init__(
        self, source: LiveSource, classifier: Classifier, config: InferConfig, watcher: Watcher | None
    ) -> None:
        self._content = source.content
        self._target = classifier.config.sensor
        self.frame = frame_live(source.name, source.content, self._target, classifier.framed(config), watcher)

        self._bins = bins = classifier.window_bins(config)
        hop = (config.hop_us or bins.step_us) // bins.step_us
        self._start_run = partial(StatefulRun, classifier.runner, bins, hop=hop, copies=2)
        self._run: StatefulRun | None = None
        self._encoder: StepEncoder | None = None
        self._recent = deque[tuple[int, int]]()  # ends in us and numbers of events, of parts of the last second
        self.last_us = 0

    def warm_up(self) -> None:
        """Process random chunks, because the first ones load kernels and take longer."""
        rng = np.random.default_rng(0)
        for t_us in range(0, 3 * SLICE_US, SLICE_US):
            self.frame(_draw_content(self._content, t_us, rng))

        # An event that is two steps later completes a step.
        pixels = np.zeros(2, np.int16)
        ends_us = np.array([0, 2 * self._bins.step_us])
        for _ in self.classify(Events(ends_us, pixels, pixels, pixels, self._target)):
            pass

    def classify(self, events: Events) -> Iterator[Output]:
        """Yield the outputs that the next events complete."""
        if not len(events):
            return

        self.last_us = int(events.t[-1])
        self._recent.append((self.last_us, len(events)))
        while self._recent[0][0] <= self.last_us - RATE_US:
            self._recent.popleft()

        if self._encoder is None or self._run is None:
            start_us = int(events.t[0])
            self._encoder = StepEncoder(self._bins, start_us, self._bins.steps)
            self._run = self._start_run(start_us=start_us)
        for step in self._encoder.add(events):
            yield from self._run.add([step])

    def finish(self) -> Iterable[Output]:
        """Yield the outputs of the last steps."""
        if self._encoder is not None and self._run is not None:
            for step in self._encoder.finish():
                yield from self._run.add([step])
            yield from self._run.finish()

    def count_events(self) -> int:
        """Return the number of events in the last second."""
        return sum(count for _, count in self._recent)


def _draw_content(content: SensorSize | Video, t_us: int, rng: np.random.Generator) -> Events | Frame:
    """Draw a random picture of a video, or random events of a sensor at a time."""
    if isinstance(content, Video):
        picture = rng.integers(0, 256, (content.size.height, content.size.width), np.uint8)
        return Frame(t_us, picture, content.settings.transfer)

    x, y = rng.integers(0, (content.width, content.height), (WARM_UP_EVENTS, 2)).T
    return Events(np.full(WARM_UP_EVENTS, t_us), x, y, y % 2, content)


def load_live(checkpoint: str | Path | Classifier) -> Classifier:
    """Load the classifier of a stream; see `as_classifier`.

    Raises:
        ConfigError: If the checkpoint is a source.
    """
    path = Path(str(checkpoint))
    is_file = path.is_file() and path.suffix != CHECKPOINT_SUFFIX
    if is_file or camera_of(path) is not None:
        raise ConfigError(f"live {path}: not a classifier (expected CHECKPOINT SOURCE, such as gesture {path})")
    return as_classifier(checkpoint)


def live(
    checkpoint: str | Path | Classifier = DEFAULT_CHECKPOINT,
    source: str | Path | int = 0,
    config: ClassifyConfig = ClassifyConfig(),
    *,
    speed: float = 1.0,
    record: str | Path | None = None,
    overwrite: bool = False,
) -> LiveSession:
    """Classify a webcam, or a replayed file, while it runs: iterate over the session for its predictions.

    Leave the loop to stop, or call `stop` of the session, also in another thread.

    Args:
        checkpoint: Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME.
        source: Webcam: 0, 1, ...; or a video or recording to replay.
        config: Settings; `hop_us` is the time between predictions, by default about 100,000.
        speed: Speed of a replay, > 0; 1: as recorded.
        record: Event file (.h5, ...) for what the network sees. Default: not recorded.
        overwrite: Replace an existing file of `record`.

    Raises:
        DvspipeError: As in `load_live`, `open_live` and `LiveSession`.

    Example:
        >>> for answer in live("gesture", "clap.mp4", speed=2.0):  # doctest: +SKIP
        ...     print(answer.t_us, answer.class_name, answer.probability)
    """
    # Refuse an existing file before the source is opened, which can be a webcam.
    if record is not None:
        claim_output(Path(record), overwrite=overwrite)

    classifier = load_live(checkpoint)
    chosen = with_hop(config, classifier)
    opened = open_live(source, live_settings(classifier.framed(chosen)), speed=speed)

    options = WriteOptions(source=Path(str(source)).name, overwrite=overwrite)
    writer = None if record is None else create_writer(Path(record), classifier.config.sensor, options)
    return LiveSession(opened, classifier, chosen, writer=writer)
