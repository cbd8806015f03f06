"""Render the sample clip of `dvspipe app`, two gestures filmed by a webcam, and the thumbnails of its examples.

Run `python scripts/docs/app_sample.py`.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from dvspipe.app.examples import EXAMPLES
from dvspipe.base.labels import GESTURES
from dvspipe.events import SensorSize, concatenate
from dvspipe.report import PreviewSettings
from dvspipe.report.painter import EventPainter, make_palette
from dvspipe.simulator import simulate
from dvspipe.synthesis.gestures import Performance, pose_person
from dvspipe.synthesis.people import draw_person
from dvspipe.synthesis.rendering import render
from dvspipe.synthesis.scenes import draw_far_camera, draw_scene
from dvspipe.synthesis.webcam import Webcam, compress, film
from dvspipe.video.config import VideoSettings
from dvspipe.video.opening import open_video

OUT = Path(__file__).parents[2] / "dvspipe" / "app" / "sample.mp4"
PERSON = 1000  # a person outside training and test
DURATION_US = 7_000_000
PLAN = (
    Performance(GESTURES.index("right_hand_wave"), 400_000, 3_200_000),
    Performance(GESTURES.index("left_arm_clockwise"), 3_900_000, 6_600_000),
)
WEBCAM = Webcam(
    size=SensorSize(width=320, height=240),
    fps=30.0,
    exposure_s=0.008,
    readout_s=0.01,
    drift=0.0,
    shot=1e-5,
    read=0.001,
    contrast=1.0,
    sharpen=0.2,
    shake_px=0.0,
    crf=26.0,
)


THUMBNAIL_US = 1_000_000  # time of the thumbnails
THUMBNAIL_CROP = 0, 82, 208, 238  # the person: left, top, right, bottom
THUMBNAIL_PX = 200, 150


def main() -> None:
    """Write the clip and the thumbnails, and print their sizes."""
    identity = draw_person(np.random.default_rng([0, PERSON]))
    rng = np.random.default_rng([0, PERSON, 7])
    times_s = WEBCAM.picture_times(DURATION_US)
    scene = draw_scene(identity, WEBCAM.size, "natural", rng, draw_far_camera)
    pictures = render(identity, scene, pose_person(PLAN, identity, rng, times_s), times_s)
    compress(OUT, film(pictures, times_s, DURATION_US, WEBCAM, rng), WEBCAM)
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes")
    write_thumbnails()


def write_thumbnails() -> None:
    """Write a frame of the clip and its events, the thumbnails of the examples."""
    video = open_video(OUT, VideoSettings(stop_s=THUMBNAIL_US / 1e6))
    frame = list(video.pictures())[-1][1]
    events = concatenate(simulate(video.frames()), video.size)
    painter = EventPainter(video.size, PreviewSettings(window_us=100_000, colours="light", scale=1))
    drawn = painter.draw(events, THUMBNAIL_US, 0).to_rgb(make_palette("light"))[: video.size.height, : video.size.width]
    for example, picture in zip(EXAMPLES, (frame, drawn), strict=True):
        shown = Image.fromarray(picture).crop(THUMBNAIL_CROP).resize(THUMBNAIL_PX, Image.Resampling.LANCZOS)
        shown.save(example.thumbnail, quality=80)
        print(f"{example.thumbnail.name}: {example.thumbnail.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
