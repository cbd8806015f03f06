"""Write docs/images/gesture.gif: a video, its events and their label: `python scripts/docs/readme_picture.py`.

The person is rendered and was not in the training data of `gesture`. The text below a picture is the
prediction for the window that ends at this time; it uses no later events.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

import dvspipe
from dvspipe.base.texts import readable
from dvspipe.inference import InferConfig
from dvspipe.report.config import PreviewSettings
from dvspipe.report.painter import Caption
from dvspipe.report.previews import write_preview
from dvspipe.synthesis import Performance, draw_person, render_session
from dvspipe.video.frames import Frame
from dvspipe.video.writing import write_video

PICTURE = Path(__file__).parents[2] / "docs" / "images" / "gesture.gif"
PERSON = 901
LABELS = (0, 7)  # hand clapping, arm roll
CHANGE_US = 2_000_000
END_US = 4_000_000
FPS = 60.0


def render() -> Iterator[Frame]:
    """Yield the frames of a person who performs several gestures in a row."""
    plan = (
        Performance(LABELS[0], -1_000_000, CHANGE_US - 200_000),
        Performance(LABELS[1], CHANGE_US - 200_000, END_US + 10**6),
    )
    person = draw_person(np.random.default_rng(PERSON))
    for frame in render_session(plan, person, np.random.default_rng([PERSON, 1]), duration_us=END_US, fps=FPS):
        light = frame.image / 65535  # converted to sRGB, as in a video
        value = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        yield Frame(frame.t_us, (255 * value + 0.5).astype(np.uint8))


def main() -> None:
    """Render, convert and classify a video, and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder, "video.webm")
        write_video(video, render())
        events = dvspipe.events_from_video(video)
        prediction = dvspipe.Classifier.load("gesture").predict(events, InferConfig(roi="full", hop_us=120000))
        timeline = prediction.timeline
        classes = prediction.classes

        def caption(t_us: int) -> Caption:
            known = int(np.searchsorted(timeline.t_end_us, t_us, side="right")) - 1
            if known < 0:
                return Caption("...", 0.0)

            label = int(timeline.labels[known])
            share = float(timeline.probabilities[known, label])
            return Caption(f"{readable(classes[label])}  {share:.0%}", share)

        settings = PreviewSettings(window_us=50_000, fps=8, side_px=max(events.sensor))
        write_preview([events], events.sensor, PICTURE, settings, beside=video, captions=caption)
        for segment in prediction.segments:
            print(segment.t_start_us, segment.t_end_us, segment.class_name)

    print(PICTURE, PICTURE.stat().st_size)


if __name__ == "__main__":
    main()
