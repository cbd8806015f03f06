"""Pictures of live streams."""

from __future__ import annotations

import numpy as np
import pytest
from conftest import SENSOR

from dvspipe.events import Events
from dvspipe.report.style import LIGHT
from dvspipe.streaming.answers import LiveAnswer
from dvspipe.streaming.painter import LivePainter
from dvspipe.video.frames import Frame

NO_EVENTS = Events.empty(SENSOR)
ANSWER = LiveAnswer(
    t_us=100_000,
    label=1,
    class_name="arm_roll",
    probability=0.75,
    certain=True,
    probabilities=(0.25, 0.75),
    events_per_s=1234.0,
    dropped=0,
    latency_us=0,
)
PIXEL = 480 // SENSOR.width  # side of a pixel of the sensor in the picture


def test_events_have_the_colours_of_previews() -> None:
    events = Events([10, 20], [0, 5], [0, 3], [1, 0], SENSOR)
    picture = LivePainter(SENSOR).draw(events, None, None)
    assert picture.shape[1] == PIXEL * SENSOR.width
    pixels = picture[-PIXEL * SENSOR.height :]
    on, off, background = (pixels[PIXEL * y, PIXEL * x].tolist() for x, y in ((0, 0), (5, 3), (8, 3)))
    assert on[0] > on[2]
    assert off[0] < off[2]
    assert background == list(LIGHT.background)


@pytest.mark.parametrize(("dtype", "white"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 1.0)])
def test_film_is_left_of_the_events_with_their_height(dtype: type, white: float) -> None:
    film = Frame(0, np.full((24, 32), white, dtype))
    alone, both = (LivePainter(SENSOR).draw(NO_EVENTS, frame, None) for frame in (None, film))
    width = round(len(alone) * 32 / 24)
    assert both.shape == (len(alone), width + alone.shape[1], 3)
    assert (both[:, :width] >= 254).all()
    np.testing.assert_array_equal(both[:, width:], alone)


def test_bar_above_the_events_has_the_length_of_the_probability() -> None:
    picture = LivePainter(SENSOR).draw(NO_EVENTS, None, ANSWER)
    bar = np.asarray(LIGHT.bar)
    lengths = (picture == bar).all(axis=2).sum(axis=1)
    assert lengths.max() == round(0.75 * picture.shape[1])


def test_label_changes_the_picture() -> None:
    painter = LivePainter(SENSOR)
    other = ANSWER.model_copy(update={"class_name": "hand_clapping"})
    idle = ANSWER.model_copy(update={"class_name": None, "label": None, "probability": 0.0})
    pictures = [painter.draw(NO_EVENTS, None, answer).tobytes() for answer in (ANSWER, other, idle)]
    assert len(set(pictures)) == 3
