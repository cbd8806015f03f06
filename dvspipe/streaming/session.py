"""The classifying loop of a live stream.

A `LiveSession` connects the parts: a thread reads the source into a queue; the iteration over the session takes the
chunks, maps them to events on the network's sensor (`_Framer`), and classifies the events in steps (`_Machine`), one
prediction per hop.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from ..base.files import claim_output
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..events import Events
from ..formats import WriteOptions, Writer, create_writer
from ..framing.framing import SLICE_US
from ..hooks import Watcher
from ..inference.classifier import Classifier, as_classifier
from ..inference.config import InferConfig
from ..inference.stateful import Output, StatefulRun, live_hop
from ..inference.windows import StepEncoder
from ..results import Basis
from ..video.frames import Frame
from ..video.video import Video
from .actions import Action, ActionConfig, find_actions
from .answers import LiveAnswer
from .chunks import NOTICE_S, Chunk, ChunkQueue, LiveClock, SystemClock
from .framing import frame_live_events, frame_live_video, live_settings
from .recorder import record
from .sources import LiveSource, open_live

CAPACITY = 32  # waiting chunks: 0.3 s of a recording
VIDEO_CAPACITY = 8  # waiting frames: 0.3 s of a webcam
IDLE_S = 1.0  # time without predictions after which the stream has no label
JOIN_S = 0.5  # time for the source to end; a camera without frames may take longer
WARM_UP_EVENTS = 100
RATE_US = 1_000_000  # time over which event rates are averaged


class LiveViewer(Protocol):
    """Viewer of a session, called in the thread that iterates over the `LiveSession`."""

    def add(self, chunk: Chunk, events: Events) -> None:
        """See a chunk, and its events on the network's sensor."""

    def refresh(self) -> None:
        """Update the view; called after each chunk, and at least every 50 ms."""


def with_hop(config: InferConfig, classifier: Classifier) -> InferConfig:
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
        config: Settings as in `Classifier.classify`; `hop_us` is the time between predictions.
        writer: Writer of the events that the network sees; None: do not record them. The file appears at the end.
        clock: Clock of the machine.
        capacity: Maximum number of waiting chunks; None: depends on the source.

    Attributes:
        source: Source of the stream.
        writer: Writer of the events.
        viewer: Sees the chunks, such as a window; None: nobody. Set it before the iteration.

    Raises:
        ConfigError: If the configuration does not fit the network.
        DataError: If the source has another sensor than the network and needs `config.fit`.
    """

    def __init__(
        self,
        source: LiveSource,
        classifier: Classifier,
        config: InferConfig = InferConfig(),
        *,
        writer: Writer | None = None,
        clock: LiveClock | None = None,
        capacity: int | None = None,
    ) -> None:
        self.source = source
        self._classifier = classifier
        self.writer = writer
        self.viewer: LiveViewer | None = None

        self._config = classifier.framed(config.model_copy(update={"stateful": True}))
        is_film = isinstance(source.content, Video)
        adviser = classifier.choose_adviser(self._config, source.name, is_film=is_film)
        self._watcher = None if adviser is None else adviser.watch()
        self._enter = classifier.choose_segments(self._config, is_film=is_film).threshold

        self._clock = clock or SystemClock()
        self._queue = ChunkQueue(capacity or (VIDEO_CAPACITY if is_film else CAPACITY))
        self._is_stopped = False
        self._stop = threading.Event()  # for the thread

        self._framer = _Framer(source, classifier, self._config, self._watcher)
        self._machine = _Machine(classifier, self._config)
        self._thread: threading.Thread | None = None

    @property
    def dropped(self) -> int:
        """Number of chunks dropped so far because the machine was too slow."""
        return self._queue.dropped

    @property
    def skipped_us(self) -> int:
        """Time of the stream skipped so far because the machine was too slow, in microseconds."""
        return self._queue.skipped_us

    def stop(self) -> None:
        """End the stream after the last predictions. A signal handler may call it: it takes no lock."""
        self._is_stopped = True

    @property
    def is_reading(self) -> bool:
        """Whether the thread of the source still runs, such as a camera that delivers no frames."""
        return self._thread is not None and self._thread.is_alive()

    def wait(self) -> None:
        """Wait until the thread of the source has ended. A process that exits before may be aborted by native code."""
        if self._thread is not None:
            self._thread.join()

    def __iter__(self) -> Iterator[LiveAnswer]:
        """Yield predictions until the stream ends or `stop` is called. Consume it completely to keep the recording.

        Raises:
            FileError: If the recording cannot be written.
            DvspipeError: If the source fails; the recording is complete until then.
        """
        with ExitStack() as stack:
            add_record = None if self.writer is None else stack.enter_context(record(self.writer))
            stack.enter_context(self._classifier.runner.one_thread())

            # Before the thread starts, or chunks would be dropped meanwhile.
            self._framer.warm_up()
            if self._watcher is not None:
                self._watcher.warm_up()
            self._machine.warm_up()

            self._thread = threading.Thread(target=self._read, name=f"read {self.source.name}", daemon=True)
            self._thread.start()
            stack.callback(self._end, self._thread)
            yield from self._classify(add_record)

        if (error := self._queue.error) is not None:
            raise error

    def actions(self, config: ActionConfig = ActionConfig()) -> Iterator[Action]:
        """Yield an action per gesture, as they occur; iterate over this instead of the session.

        Raises:
            DvspipeError: As in the iteration over the session.
        """
        return find_actions(self, config)

    def _read(self) -> None:
        """Put the chunks of the source into the queue, in a thread."""
        error: Exception | None = None
        try:
            for chunk in self.source.read(self._clock, self._stop):
                self._queue.put(chunk)
        except Exception as caught:  # raised again by the iteration
            error = caught

        self._queue.close(error)

    def _end(self, thread: threading.Thread) -> None:
        self._stop.set()
        thread.join(JOIN_S)

    def _classify(self, add_record: Callable[[Events], None] | None) -> Iterator[LiveAnswer]:
        """Take chunks until the end; record, show and classify their events."""
        answered_s = self._clock.now_s()  # time of the last prediction
        is_idle = False
        last: Chunk | None = None
        while not self._is_stopped and not self._queue.has_ended:
            chunk = self._queue.get(NOTICE_S)
            if chunk is not None:
                last = chunk
                if self._watcher is not None and isinstance(chunk.content, Frame):
                    self._watcher.add(chunk.content)
                events = self._framer.add(chunk)
                if add_record is not None:
                    add_record(events)
                if self.viewer is not None:
                    self.viewer.add(chunk, events)

                for output in self._machine.add(events):
                    answered_s = self._clock.now_s()
                    is_idle = False
                    yield self._answer(output, chunk)

            if self.viewer is not None:
                self.viewer.refresh()

            # A stream without events soon has no label. This is said once, until the next prediction.
            if not is_idle and self._clock.now_s() - answered_s >= IDLE_S:
                is_idle = True
                yield self._answer_idle()

        # The end of the stream completes steps, too.
        if last is not None:
            for output in self._machine.finish():
                yield self._answer(output, last)

    def _answer(self, output: Output, chunk: Chunk) -> LiveAnswer:
        config = self._classifier.config
        logits = output.logits[None]  # a batch of one window
        (by_events,) = config.probabilities(logits)
        probabilities = by_events
        if self._watcher is not None:
            probabilities = self._watcher.combine(by_events, output.end_us)
        basis: Basis = "events" if np.array_equal(probabilities, by_events) else "joints and events"
        (is_familiar,) = config.is_familiar(logits)
        label = int(probabilities.argmax())
        is_certain = is_familiar and probabilities[label] >= self._enter

        # Latency counts from the end of the step, which lies before the time of its chunk.
        since_us = (chunk.t_us - output.end_us) / self.source.speed
        late_us = 1e6 * (self._clock.now_s() - chunk.due_s) + since_us

        return LiveAnswer(
            t_us=output.end_us,
            label=label,
            class_name=config.classes[label],
            probability=float(probabilities[label]),
            certain=bool(is_certain),
            probabilities=tuple(float(probability) for probability in probabilities),
            events_per_s=self._machine.events_per_s,
            dropped=self.dropped,
            skipped_us=self.skipped_us,
            basis=basis,
            latency_us=max(0, round(late_us)),
        )

    def _answer_idle(self) -> LiveAnswer:
        return LiveAnswer(
            t_us=self._machine.last_us,
            label=None,
            class_name=None,
            probability=0.0,
            certain=False,
            probabilities=(0.0,) * len(self._classifier.config.classes),
            events_per_s=0.0,
            dropped=self.dropped,
            skipped_us=self.skipped_us,
            latency_us=0,
        )


class _Framer:
    """Maps the chunks of a source to events on the network's sensor."""

    def __init__(
        self, source: LiveSource, classifier: Classifier, config: InferConfig, watcher: Watcher | None
    ) -> None:
        self._source = source
        self._watcher = watcher
        self._target = classifier.config.sensor
        self._config = config
        self._start()

    def _start(self) -> None:
        """Create the framer of frames, or of events, without any state."""
        if isinstance(self._source.content, Video):
            self._frames = frame_live_video(self._source.content, self._target, self._config, self._watcher)
        else:
            self._events = frame_live_events(self._source.name, self._source.content, self._target, self._config)

    def warm_up(self) -> None:
        """Frame random chunks, because the first ones load kernels and take longer; then start again."""
        rng = np.random.default_rng(0)
        source = self._source.content
        for t_us in range(0, 3 * SLICE_US, SLICE_US):
            content: Events | Frame
            if isinstance(source, Video):
                picture = rng.integers(0, 256, (source.size.height, source.size.width), np.uint8)
                content = Frame(t_us, picture, source.settings.transfer)
            else:
                x, y = rng.integers(0, (source.width, source.height), (WARM_UP_EVENTS, 2)).T
                content = Events(np.full(WARM_UP_EVENTS, t_us), x, y, y % 2, source)

            self.add(Chunk(content, t_us, 0.0))

        self._start()

    def add(self, chunk: Chunk) -> Events:
        """Return the next events on the network's sensor."""
        if isinstance(chunk.content, Frame):
            return self._frames.add(chunk.content)

        return self._events.add(chunk.content)


class _Part(NamedTuple):
    """Time of the last event of a part of the stream, and the number of its events."""

    end_us: int
    events: int


class _Machine:
    """Encoder and network of a stream; its steps start at the first event."""

    def __init__(self, classifier: Classifier, config: InferConfig) -> None:
        self._classifier = classifier
        self._bins = classifier.window_bins(config)
        self._hop = (config.hop_us or self._bins.step_us) // self._bins.step_us
        self._encoder: StepEncoder | None = None
        self._run: StatefulRun | None = None
        self._recent: deque[_Part] = deque()  # parts of the last second
        self.last_us = 0

    def warm_up(self) -> None:
        """Run the network once, because the first run loads kernels and takes longer."""
        # An event that is two steps later completes a step.
        ends_us = np.array([0, 2 * self._bins.step_us])
        pixels = np.zeros(2, np.int16)

        encoder = StepEncoder(self._bins, 0, self._bins.steps)
        run = self._start_run(0)
        for step in encoder.add(Events(ends_us, pixels, pixels, pixels, self._classifier.config.sensor)):
            run.add([step])

    def add(self, events: Events) -> Iterator[Output]:
        """Yield the outputs that the next events complete."""
        if not len(events):
            return

        self.last_us = int(events.t[-1])
        self._recent.append(_Part(self.last_us, len(events)))
        while self._recent[0].end_us <= self.last_us - RATE_US:
            self._recent.popleft()

        if self._encoder is None:
            start_us = int(events.t[0])
            self._encoder = StepEncoder(self._bins, start_us, self._bins.steps)
            self._run = self._start_run(start_us)

        assert self._run is not None
        for step in self._encoder.add(events):
            yield from self._run.add([step])

    def _start_run(self, start_us: int) -> StatefulRun:
        return StatefulRun(self._classifier.runner, self._bins, start_us=start_us, hop=self._hop, copies=2)

    def finish(self) -> Iterable[Output]:
        """Yield the outputs of the last steps."""
        if self._encoder is None or self._run is None:
            return

        for step in self._encoder.finish():
            yield from self._run.add([step])
        yield from self._run.finish()

    @property
    def events_per_s(self) -> float:
        """Events per second in the last second."""
        return float(np.sum([part.events for part in self._recent]) * 1e6 / RATE_US)


def live(
    source: str | Path | int,
    checkpoint: str | Path | Classifier = DEFAULT_CHECKPOINT,
    config: InferConfig = InferConfig(),
    *,
    speed: float = 1.0,
    loop: bool = False,
    record: str | Path | None = None,
    overwrite: bool = False,
) -> LiveSession:
    """Classify a webcam, or a replayed file, while it runs: iterate over the session for its predictions.

    Leave the loop to stop, or call `stop` of the session, also in another thread.

    Args:
        source: Webcam: 0, 1, ...; or a video or recording to replay.
        checkpoint: Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME.
        config: Settings of inference, and metadata that a recording lacks; `hop_us` is the time between predictions, by
            default about 100,000.
        speed: Speed of a replay, > 0; 1: as recorded.
        loop: Start a replay again at its end.
        record: Event file (.h5, ...) for what the network sees. Default: not recorded.
        overwrite: Replace an existing file of `record`.

    Raises:
        DvspipeError: As in `Classifier.load`, `open_live` and `LiveSession`.

    Example:
        >>> for answer in live("clap.mp4", speed=2.0):  # doctest: +SKIP
        ...     print(answer.t_us, answer.class_name, answer.probability)
    """
    # Refuse an existing file before the source is opened, which can be a webcam.
    if record is not None:
        claim_output(Path(record), overwrite=overwrite)

    classifier = as_classifier(checkpoint)
    chosen = with_hop(config, classifier)

    opened = open_live(
        str(source),
        live_settings(classifier.framed(chosen)),
        speed=speed,
        loops=loop,
        hints=chosen,
    )

    options = WriteOptions(source=Path(str(source)).name, overwrite=overwrite)
    writer = None if record is None else create_writer(Path(record), classifier.config.sensor, options)
    return LiveSession(opened, classifier, chosen, writer=writer)
