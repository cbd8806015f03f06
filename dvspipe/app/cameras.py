"""Live webcams of the page: a browser sends pictures, and gets events, a label and the reason for doubt.

`Cameras` has the cameras of all sessions. A `LiveCamera` is one of them: `push` gives a picture of the browser to a
`LiveSession`, which classifies in a thread of the camera; an `_EventTap` draws and records the events. A `LiveView` is
what the page shows.

A camera belongs to a session. It is freed when it is stopped, its page is closed, or no picture arrives for a while.
"""

from __future__ import annotations

import io
import json
import logging
import secrets
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from ..base.errors import ConfigError, DvspipeError, VideoError
from ..base.texts import readable
from ..events import Events, SensorSize
from ..formats import WriteOptions, Writer, create_writer
from ..inference.segments import ENTER
from ..report.pages import data_address
from ..report.style import EVENT_PALETTES
from ..streaming.answers import LiveAnswer

if TYPE_CHECKING:  # `inference` imports torch, and that takes seconds
    from ..inference import Classifier, InferConfig
    from ..streaming import Chunk, LiveSession, PushedSource

log = logging.getLogger(__name__)

MAX_CAMERAS = 4  # live webcams of all pages
MAX_WEBCAM_PX = 1280  # larger pictures are refused; the page sends at most 640
IDLE_S = 20.0  # time without pictures after which a camera is freed; a page in the background sends none
EVENT_FILE = "webcam.h5"
MIN_ENTER = 0.3  # lowest probability of a certain label that a page can choose
MAX_WAITING = 2  # pictures that wait for the network; the oldest is dropped if there are more
MAX_WAIT_S = 1.0  # time until the page shows something new, on a slow machine too
STARTING_S = 0.1  # time between pictures while the network starts
JOIN_S = 5.0  # time for the last labels and the end of a recording
RATE_S = 2.0  # time over which pictures per second are averaged
CHECK_S = 1.0  # interval at which a camera without pictures is noticed
SHOWN_CLASSES = 2
NO_MOTION = "Nothing moves."
STARTING = "Starting: move your arms."
UNFAMILIAR = "This movement is unlike the gestures that the classifier knows."
UNSURE = "No gesture for certain."


@dataclass(frozen=True)
class Guess:
    """Class and its probability, 0 to 1."""

    name: str
    probability: float


@dataclass(frozen=True)
class LiveView:
    """What the page shows of a live webcam.

    Args:
        t_us: Time of the label in microseconds on the clock of the pictures: end of its last time step.
        guesses: The most probable classes, SHOWN_CLASSES of them; empty: no label.
        doubt: Sentence that says why the label is in doubt; empty: it is certain.
        basis: What the label comes from: events, or joints and events; empty: no label.
        pictures_per_s: Pictures that the network saw per second.
        events_per_s: Events per second on the network's sensor.
        dropped: Pictures dropped so far because the machine was too slow.
        events: New events as a picture, a data URL; empty: no new picture.
    """

    t_us: int
    guesses: tuple[Guess, ...]
    doubt: str
    basis: str
    pictures_per_s: float
    events_per_s: float
    dropped: int
    events: str

    def to_json(self) -> str:
        """Return the view as JSON."""
        return json.dumps(asdict(self))


class _EventTap:
    """Viewer of the events that the network sees: draws them, and records them on demand."""

    def __init__(self, sensor: SensorSize) -> None:
        self._sensor = sensor
        self._lock = threading.Condition()
        self._writer: Writer | None = None
        self._recorded_us = 0  # start of the recording
        self._seen = 0  # pictures so far
        self._new: list[Events] = []
        self.times_s: deque[float] = deque()

    def refresh(self) -> None:
        """Do nothing: the page asks for the view."""

    def add(self, chunk: Chunk, events: Events) -> None:
        """Add the events of the next picture."""
        now_s = chunk.due_s
        with self._lock:
            self._new.append(events)
            self._seen += 1
            self._lock.notify_all()

            self.times_s.append(now_s)
            while self.times_s[0] < now_s - RATE_S:
                self.times_s.popleft()

            if self._writer is not None:
                first = int(np.searchsorted(events.t, self._recorded_us))
                self._writer.append(events[first:].shift_time(-self._recorded_us))

    def wait(self, number: int, dropped: Callable[[], int]) -> None:
        """Wait until picture `number` is processed or dropped, at most 1 s."""
        with self._lock:
            self._lock.wait_for(lambda: self._seen + dropped() >= number, MAX_WAIT_S)

    def record(self, path: Path, start_us: int) -> None:
        """Record the next events in a file, whose time starts at `start_us`."""
        writer = create_writer(path, self._sensor, WriteOptions(source="webcam", overwrite=True)).__enter__()
        with self._lock:
            self._writer = writer
            self._recorded_us = start_us

    def stop_recording(self) -> None:
        """Complete the file, if events are recorded."""
        # `add` must not write to a file that is being completed.
        with self._lock:
            writer = self._writer
            self._writer = None

        if writer is not None:
            writer.__exit__(None, None, None)

    def draw(self) -> str:
        """Draw the events since the last call as a PNG data URL; empty if there are no new pictures."""
        with self._lock:
            new = self._new
            self._new = []
        if not new:
            return ""

        # Pixels are indices into the palette: 0 without events, 1 OFF, 2 ON. Of several events, the last one is shown.
        shown = np.zeros((self._sensor.height, self._sensor.width), np.uint8)
        for events in new:
            shown[events.y, events.x] = 1 + events.p

        palette = EVENT_PALETTES["light"]
        file = io.BytesIO()
        picture = Image.fromarray(shown, "P")
        picture.putpalette([*palette.background, *palette.off, *palette.on])
        picture.save(file, "PNG", bits=2)
        return data_address("image/png", file.getvalue())


def read_jpeg(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG of a webcam to RGB, uint8 [H, W, 3]."""
    try:
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as picture:
            if max(picture.size) > MAX_WEBCAM_PX:
                width, height = picture.size
                raise VideoError(
                    f"webcam: picture too large (found {width}x{height}, expected at most {MAX_WEBCAM_PX})"
                )
            return np.asarray(picture.convert("RGB"))
    except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise VideoError("webcam: not a picture (expected JPEG)") from error


class LiveCamera:
    """Webcam of a page, classified while it runs.

    Args:
        classifier: Classifier.
        new_folder: Creates the folder of a recording.
        enter: Probability of a certain label, at least MIN_ENTER.

    Attributes:
        recording: Folder of the last recording.
        enter: As given; it can be changed at any time.
    """

    def __init__(self, classifier: Classifier, new_folder: Callable[[], Path], *, enter: float = ENTER) -> None:
        self._classifier = classifier
        self._new_folder = new_folder
        self._config = live_config(classifier)
        self.enter = enter
        self.recording: Path | None = None

        self._lock = threading.Lock()
        self._source: PushedSource | None = None
        self._session: LiveSession | None = None
        self._threads: list[threading.Thread] = []
        self._tap = _EventTap(classifier.config.sensor)

        self._answer: LiveAnswer | None = None
        self._last_us: int | None = None
        self._pushed = 0
        self._late = 0  # pictures that arrived after a later one

        self._error: DvspipeError | None = None
        self._ended = threading.Event()
        self.pushed_s = time.monotonic()

    @property
    def has_ended(self) -> bool:
        """Whether the camera is stopped, or no picture has arrived for a while."""
        return self._ended.is_set() or time.monotonic() - self.pushed_s > IDLE_S

    @property
    def is_running(self) -> bool:
        """Whether pictures are classified."""
        return any(thread.is_alive() for thread in self._threads)

    def push(self, t_us: int, data: bytes) -> LiveView:
        """Classify the next picture, and return what is known when its events are.

        The page then sends only as many pictures as the machine can process.
        """
        image = read_jpeg(data)

        with self._lock:
            if self._error is not None:
                raise self._error

            self.pushed_s = time.monotonic()
            # The first picture gives the size of all.
            if self._source is None and not self._ended.is_set():
                height, width, _ = image.shape
                self._start(SensorSize(width=width, height=height))

            # Requests of a page can overtake each other, but events need pictures in the order of their times.
            if self._last_us is not None and t_us <= self._last_us:
                self._late += 1
                return self.view()

            # Pictures that arrive while the network starts are not classified, and get no number.
            source = self._source
            session = self._session
            number = None
            if source is not None and session is not None and session.is_reading:
                self._last_us = t_us
                self._pushed += 1
                number = self._pushed
                source.push(t_us, np.ascontiguousarray(image[:, :, ::-1]))  # BGR

        # Without the lock, so the next pictures are taken while this one is classified.
        if number is None or session is None:
            self._ended.wait(STARTING_S)
        else:
            self._tap.wait(number, lambda: session.dropped)
        return self.view()

    def _start(self, size: SensorSize) -> None:
        """Start the session and both threads."""
        from ..streaming import LiveSession, PushedSource
        from ..streaming.framing import live_settings

        config = self._classifier.framed(self._config)
        self._source = PushedSource("webcam", size, live_settings(config))
        self._session = LiveSession(self._source, self._classifier, config, capacity=MAX_WAITING)
        self._session.viewer = self._tap

        for work in (self._classify, self._free_if_idle):
            thread = threading.Thread(target=work, name="webcam", daemon=True)
            self._threads.append(thread)
            thread.start()

    def _classify(self) -> None:
        """Classify the pictures until the stream ends; keep an error for the next request of the page."""
        assert self._session is not None
        try:
            for answer in self._session:
                self._answer = answer
        except DvspipeError as error:
            self._error = error
        except Exception as error:  # a defect must not leave the page without a message
            log.exception("unexpected error of a webcam")
            self._error = VideoError(f"webcam: internal error ({type(error).__name__}: {error}); please report it")
        finally:
            self._tap.stop_recording()

        self._ended.set()

    def _free_if_idle(self) -> None:
        """Free the camera if no picture arrives."""
        while not self._ended.wait(CHECK_S):
            if self.has_ended:
                self.stop()

    def view(self) -> LiveView:
        """Return what is known now."""
        answer = self._answer
        return LiveView(
            t_us=answer.t_us if answer else 0,
            guesses=self._guess(answer),
            doubt=self._explain(answer),
            basis=answer.basis if answer and answer.label is not None else "",
            pictures_per_s=len(self._tap.times_s) / RATE_S,
            events_per_s=answer.events_per_s if answer else 0.0,
            dropped=self._late + (self._session.dropped if self._session else 0),
            events=self._tap.draw(),
        )

    def _guess(self, answer: LiveAnswer | None) -> tuple[Guess, ...]:
        if answer is None or answer.label is None:
            return ()

        best = np.argsort(answer.probabilities)[::-1][:SHOWN_CLASSES]
        names = self._classifier.config.classes
        return tuple(Guess(readable(names[label]), answer.probabilities[label]) for label in best)

    def _is_certain(self, answer: LiveAnswer | None) -> bool:
        return answer is not None and answer.certain and answer.probability >= self.enter

    def _explain(self, answer: LiveAnswer | None) -> str:
        """Say why a label is in doubt; empty if it is certain."""
        if self._is_certain(answer):
            return ""
        if answer is None:
            return STARTING
        if answer.label is None:
            return NO_MOTION

        return UNFAMILIAR if answer.probability >= self.enter else UNSURE

    def record(self, start_us: int) -> None:
        """Record the events that the network sees in a new folder, from a time on the clock of the pictures.

        The file then has the clock of the film, which starts at this time.
        """
        self._tap.stop_recording()
        self.recording = self._new_folder()
        self._tap.record(self.recording / EVENT_FILE, start_us)

    def stop_recording(self) -> None:
        """Complete the file of events."""
        self._tap.stop_recording()

    def stop(self) -> None:
        """End the stream; wait until the recording is complete."""
        self._ended.set()
        if self._source is not None and self._session is not None:
            self._session.stop()
            self._source.end()

            # This method may run in one of the threads, and a thread cannot wait for itself.
            for thread in self._threads:
                if thread is not threading.current_thread():
                    thread.join(JOIN_S)


def live_config(classifier: Classifier) -> InferConfig:
    """Return the settings to classify a webcam; a `LiveCamera` decides which probability is certain."""
    from ..inference import InferConfig
    from ..streaming import with_hop

    return with_hop(InferConfig(enter=MIN_ENTER, leave=MIN_ENTER), classifier)


@dataclass(frozen=True)
class _Entry:
    """Camera of a session."""

    session: str
    camera: LiveCamera


class Cameras:
    """Live webcams of all sessions, by keys that nobody can guess. A session has at most one."""

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}
        self._lock = threading.Lock()

    def open(
        self,
        session: str,
        classifier: Classifier,
        new_folder: Callable[[], Path],
        *,
        enter: float = ENTER,
    ) -> str:
        """Replace the camera of a session by a new one, and return its key; see `LiveCamera`."""
        self.close_session(session)
        # Cameras of pages that were left count until they are closed.
        ended = [key for key, entry in [*self._entries.items()] if entry.camera.has_ended]
        for key in ended:
            self.close(key)

        camera = LiveCamera(classifier, new_folder, enter=enter)
        key = secrets.token_urlsafe(16)
        with self._lock:
            if len(self._entries) >= MAX_CAMERAS:
                raise ConfigError(f"{MAX_CAMERAS} webcams are live on this server, the maximum; stop one of them first")
            self._entries[key] = _Entry(session, camera)

        return key

    def find(self, key: str) -> LiveCamera | None:
        """Return the camera of a key; None if it is stopped."""
        entry = self._entries.get(key)
        return None if entry is None or entry.camera.has_ended else entry.camera

    def close(self, key: str) -> None:
        """Stop a camera; without effect if it is stopped already."""
        with self._lock:
            entry = self._entries.pop(key, None)

        # Without the lock: stopping waits for the threads of the camera.
        if entry is not None:
            entry.camera.stop()

    def close_session(self, session: str) -> None:
        """Stop the camera of a session."""
        keys = [key for key, entry in [*self._entries.items()] if entry.session == session]
        for key in keys:
            self.close(key)

    def close_all(self) -> None:
        """Stop all cameras."""
        for key in [*self._entries]:
            self.close(key)

    @property
    def sessions(self) -> set[str]:
        """Sessions with a live webcam."""
        return {entry.session for entry in [*self._entries.values()] if not entry.camera.has_ended}
