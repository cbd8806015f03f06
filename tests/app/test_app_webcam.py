"""Live webcam of the page, without a browser."""

from __future__ import annotations

import base64
import io
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from conftest import BAR_CLASSES
from facts import mentions
from numpy.typing import NDArray
from PIL import Image
from untrained import untrained_classifier

from dvspipe.base.errors import VideoError
from dvspipe.events import Events, SensorSize
from dvspipe.inference import Classifier
from dvspipe.report.style import EVENT_PALETTES
from dvspipe.streaming.sources import Chunk

pytest.importorskip("gradio", reason="the extra app is not installed")

from dvspipe.app.webcam import MIN_ENTER, UNSURE, LiveWebcam
from dvspipe.base.texts import readable

SIZE = SensorSize(width=64, height=48)
PATIENCE_S = 120.0  # test machines are slow and busy


@pytest.fixture
def webcam(monkeypatch: pytest.MonkeyPatch) -> Iterator[LiveWebcam]:
    """Webcam with a network of random weights, which is never certain."""
    classifier = untrained_classifier(gain=1.0)
    monkeypatch.setattr(Classifier, "load", lambda _: classifier)
    opened = LiveWebcam("random", "random", SIZE)
    yield opened
    opened.stop()


def draw_bar(number: int, size: SensorSize = SIZE) -> NDArray[np.uint8]:
    """Draw a bright bar that moves."""
    picture = np.full((size.height, size.width, 3), 60, np.uint8)
    left = 4 * number % (size.width - 10)
    picture[:, left : left + 10] = 220
    return picture


def push_until(webcam: LiveWebcam, is_reached: Callable[[str], bool], enter: float = 1.0, busy: str = "") -> str:
    """Push pictures until the page shows something; a webcam needs time to start."""
    deadline, number = time.monotonic() + PATIENCE_S, 0
    while time.monotonic() < deadline:
        view = webcam.push(draw_bar(number), enter, busy)
        if is_reached(view):
            return view
        number += 1
    pytest.fail("the webcam shows nothing new")


def test_pictures_become_events_and_guesses_with_a_reason(webcam: LiveWebcam) -> None:
    view = push_until(webcam, lambda view: "data:image/png" in view and "<p>or " in view)
    assert sum(readable(name) in view for name in BAR_CLASSES) == 2
    assert mentions(view, UNSURE, "pictures/s", "doubtful")
    view = push_until(webcam, lambda view: "certain" in view and UNSURE not in view, enter=MIN_ENTER)
    assert "doubtful" not in view
    view = push_until(webcam, lambda view: "alert" in view, busy="training <b>")
    assert "training &lt;b&gt;" in view


def test_on_and_off_events_have_their_colours(webcam: LiveWebcam) -> None:
    events = Events([1, 2], [3, 5], [2, 1], [True, False], "16x12")
    webcam.add(Chunk(events, 10, 0.0, 0), events)
    encoded = webcam.view(1.0, "").partition("data:image/png;base64,")[2].partition('"')[0]
    picture = np.asarray(Image.open(io.BytesIO(base64.b64decode(encoded))).convert("RGB"))
    palette = EVENT_PALETTES["light"]
    assert [tuple(picture[2, 3]), tuple(picture[1, 5]), tuple(picture[0, 0])] == [
        palette.on,
        palette.off,
        palette.background,
    ]


def test_error_of_the_classification_reaches_the_page(webcam: LiveWebcam) -> None:
    push_until(webcam, lambda view: "<p>or " in view)
    other = SensorSize(width=32, height=24)
    with pytest.raises(VideoError) as error:
        for number in range(1000):
            webcam.push(draw_bar(number, other), 1.0, "")
    assert mentions(str(error.value), other, SIZE)
