"""Webcam tab: the film of the browser, beside its events and the label.

Gradio streams the pictures of the browser, one after the other. A `LiveWebcam` gives them to a `LiveSession`, which
classifies in a thread, and returns the HTML of what is known when their events are.
"""

from __future__ import annotations

import io
import logging
import threading
import time
from collections import deque
from html import escape
from pathlib import Path

import gradio as gr
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from ..base.errors import DvspipeError, VideoError
from ..base.texts import readable
from ..checkpoints.checkpoint import DEFAULT_CHECKPOINT
from ..events import Events, SensorSize
from ..inference import Classifier, ClassifyConfig
from ..inference.segments import ENTER
from ..report.pages import data_address
from ..report.style import EVENT_PALETTES
from ..streaming import Chunk, LiveSession, PushedSource, with_hop
from ..streaming.answers import LiveAnswer
from .parts import Site, show_empty

log = logging.getLogger(__name__)

STREAM_S = 0.03  # least time between pictures
MAX_WEBCAMS = 4  # live webcams of all pages
MIN_ENTER = 0.3  # lowest probability of a certain label that a page can choose
MAX_ENTER = 0.95
MAX_WAITING = 2  # pictures that wait for the network; the oldest is dropped if there are more
MAX_WAIT_S = 1.0  # time until the page shows something new, on a slow machine too
RATE_S = 2.0  # time over which pictures per second are averaged
SLOW_HZ = 8.0  # fewer pictures per second are too few for fast gestures
OLD_S = 3.0  # age of a label that is shown in grey
IDLE = "Open the camera below, press the red button, and wave."
STARTING = "Starting: move your arms."
NO_MOTION = "Nothing moves."
UNFAMILIAR = "This movement is unlike the gestures that the classifier knows."
UNSURE = "No gesture for certain."


class LiveWebcam:
    """Webcam of a page, classified while it runs.

    Args:
        name: Name of the classifier.
        checkpoint: Classifier.
        size: Size of the pictures.
    """

    def __init__(self, name: str, checkpoint: str | Path, size: SensorSize) -> None:
        self.name = name
        self.size = size
        self._start_s = time.monotonic()
        self._classifier = Classifier.load(checkpoint)
        # The page decides which probability is certain.
        config = with_hop(ClassifyConfig(enter=MIN_ENTER), self._classifier)
        self._source = PushedSource("webcam", size, self._classifier.framed(config))
        self._session = LiveSession(self._source, self._classifier, config, capacity=MAX_WAITING)
        self._session.viewer = self

        self._seen = threading.Condition()
        self._new: list[Events] = []  # not drawn yet
        self._picture = ""
        self._times_s: deque[float] = deque(maxlen=round(RATE_S / STREAM_S))
        self._answer: LiveAnswer | None = None
        self._error: DvspipeError | None = None
        threading.Thread(target=self._classify, name="webcam", daemon=True).start()

    def _classify(self) -> None:
        """Classify the pictures until the stream ends; keep an error for the next picture."""
        try:
            for answer in self._session:
                self._answer = answer
        except DvspipeError as error:
            self._error = error
        except Exception as error:  # a defect must not leave the page without a message
            log.exception("unexpected error of a webcam")
            self._error = VideoError(f"webcam: internal error ({type(error).__name__}: {error}); please report it")

    def add(self, _: Chunk, events: Events) -> None:
        """See the events of the next picture; see `LiveViewer`."""
        with self._seen:
            self._new.append(events)
            self._times_s.append(time.monotonic())
            self._seen.notify_all()

    def push(self, picture: NDArray[np.uint8], enter: float, busy: str) -> str:
        """Classify the next picture, RGB uint8 [H, W, 3]; return the HTML of the view.

        Args:
            picture: Picture.
            enter: Probability of a certain label.
            busy: What else the server does, in words.
        """
        if self._error is not None:
            raise self._error
        if self._session.is_reading:
            self._source.push(self._now_us(), np.ascontiguousarray(picture[:, :, ::-1]))  # BGR
        with self._seen:
            self._seen.wait_for(lambda: self._new, MAX_WAIT_S)
        return self.view(enter, busy)

    def _now_us(self) -> int:
        return round(1e6 * (time.monotonic() - self._start_s))

    def stop(self) -> None:
        """End the stream."""
        self._session.stop()
        self._source.end()

    def view(self, enter: float, busy: str) -> str:
        """Return the HTML of the label, the reason for doubt, and the events."""
        answer = self._answer
        late_s = (self._now_us() - answer.t_us) / 1e6 if answer else 0.0
        best, second = self._name_classes(answer)
        doubt = explain_doubt(answer, enter, late_s)
        facts = slow = ""
        if self._times_s and answer is not None:
            rate = len(self._times_s) / max(RATE_S / 10, time.monotonic() - self._times_s[0])
            facts = (
                f"{rate:.0f} pictures/s · {answer.events_per_s:,.0f} events/s · {late_s * 1000:.0f} ms from motion to "
                f"label · by {answer.basis}"
            )
            slow = "" if rate > SLOW_HZ else f"Only {rate:.0f} pictures per second: this machine is slow or busy."
        if busy:
            slow = f"The page also works on something else ({busy}): labels come late."

        return (
            f'<div class="label {"doubtful" if doubt else "certain"}"><b>{escape(best)}</b><p>{escape(second)}</p>'
            f'<p role="status">{escape(doubt)}</p>'
            f'<p class="facts">{escape(facts)}</p>{show_slow(slow)}</div>{self._draw()}'
        )

    def _name_classes(self, answer: LiveAnswer | None) -> tuple[str, str]:
        if answer is None or answer.label is None:
            return "–", ""
        second, best = np.argsort(answer.probabilities)[-2:]
        shown = [
            f"{readable(self._classifier.config.classes[label])} {answer.probabilities[label]:.0%}"
            for label in (best, second)
        ]
        return shown[0], f"or {shown[1]}"

    def _draw(self) -> str:
        """Return the HTML of a picture of the events since the last one."""
        with self._seen:
            new, self._new = self._new, []
        if new:
            # Pixels are indices into the palette: 0 without events, 1 OFF, 2 ON. The last event of a pixel is shown.
            sensor = self._classifier.config.sensor
            shown = np.zeros((sensor.height, sensor.width), np.uint8)
            for events in new:
                shown[events.y, events.x] = 1 + events.p

            palette = EVENT_PALETTES["light"]
            picture = Image.fromarray(shown)
            picture.putpalette([*palette.background, *palette.off, *palette.on])
            file = io.BytesIO()
            picture.save(file, "PNG", bits=2)
            self._picture = data_address("image/png", file.getvalue())
        return f'<img class="events" alt="Events that the network sees" src="{self._picture}">' if self._picture else ""


def explain_doubt(answer: LiveAnswer | None, enter: float, late_s: float) -> str:
    """Say why a label is in doubt; empty if it is certain."""
    if answer is None:
        return STARTING
    if answer.label is None:
        return NO_MOTION
    if late_s > OLD_S:
        return f"This label is {late_s:.0f} s old: the machine is busy."
    if answer.certain and answer.probability >= enter:
        return ""
    return UNFAMILIAR if answer.probability >= enter else UNSURE


def show_slow(text: str) -> str:
    """Return the HTML of a warning."""
    return f'<p class="slow" role="alert">{escape(text)}</p>' if text else ""


def add_webcam(site: Site) -> gr.Dropdown:
    """Add the components of the tab; return the choice of the classifier."""
    webcams = site.webcams
    with gr.Row(elem_classes="webcam"):
        with gr.Column(min_width=320):
            # The browser shows a mirror, and sends pictures that are not mirrored.
            video = {"width": {"ideal": 640}, "height": {"ideal": 480}, "frameRate": {"ideal": 30}}
            options = gr.WebcamOptions(mirror=False, constraints={"video": video})
            camera = gr.Image(sources=["webcam"], streaming=True, webcam_options=options, label="Film")
        with gr.Column(min_width=320):
            view = gr.HTML(show_empty(IDLE))
    with gr.Row():
        checkpoint = gr.Dropdown(site.files.list_checkpoints(), value=DEFAULT_CHECKPOINT, label="Classifier")
        enter = gr.Slider(
            MIN_ENTER,
            MAX_ENTER,
            value=ENTER,
            step=0.05,
            label="Certain from a probability of",
            info="Higher: fewer false alarms. Lower: fewer missed gestures.",
        )

    def stream(request: gr.Request, picture: NDArray[np.uint8] | None, name: str, enter: float) -> str:
        """Classify the next picture."""
        if picture is None:
            return show_empty(IDLE)

        with site.explaining():
            height, width, _ = picture.shape
            size = SensorSize(width=width, height=height)
            webcam = webcams.get(request.session_hash)
            if webcam is None or (webcam.name, webcam.size) != (name, size):
                site.stop_webcam(request)
                webcam = LiveWebcam(name, site.files.find_checkpoint(name), size)
                webcams[request.session_hash] = webcam
            return webcam.push(picture, enter, ", ".join(site.workers.running))

    camera.stream(
        stream,
        [camera, checkpoint, enter],
        [view],
        stream_every=STREAM_S,
        concurrency_limit=MAX_WEBCAMS,
        show_progress="hidden",
        api_visibility="private",
    )
    return checkpoint
