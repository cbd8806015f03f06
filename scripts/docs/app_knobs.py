"""Draw the pictures of the sensor's settings in `dvspipe app`: the sample clip with a low and a high value.

Run `python scripts/docs/app_knobs.py`.
"""

from __future__ import annotations

import numpy as np
from app_sample import THUMBNAIL_CROP
from PIL import Image

from dvspipe.app.conversion import KNOBS
from dvspipe.app.examples import SAMPLE
from dvspipe.events import concatenate
from dvspipe.report import PreviewSettings
from dvspipe.report.painter import EventPainter, make_palette
from dvspipe.simulator import SimulatorConfig, simulate
from dvspipe.video.config import VideoSettings
from dvspipe.video.opening import open_video

START_S = 4.6  # the arm is up, and moves fast
WINDOW_US = 50_000
LENGTH_US = 600_000
GAP_PX = 6
VALUES: dict[str, tuple[float, float]] = {
    "pos_thres": (0.1, 0.6),
    "neg_thres": (0.1, 0.6),
    "sigma_thres": (0.0, 0.15),
    "cutoff_hz": (5.0, 200.0),
    "leak_rate_hz": (0.0, 2.0),
    "shot_noise_rate_hz": (0.0, 6.0),
    "refractory_period": (0.0, 0.02),
}
"""A low and a high value of each setting."""


def main() -> None:
    """Write the pictures beside the app, and print their sizes."""
    video = open_video(SAMPLE, VideoSettings(start_s=START_S, stop_s=START_S + LENGTH_US / 1e6))
    frames = list(video.frames())
    end_us = frames[-1].t_us

    for knob in KNOBS:
        pictures = []
        for value in VALUES[knob.name]:
            config = SimulatorConfig.model_validate({knob.name: value})
            events = concatenate(simulate(iter(frames), config), video.size)
            settings = PreviewSettings(window_us=WINDOW_US, colours="dark", scale=1)
            drawn = EventPainter(video.size, settings).draw(events, end_us, 0).to_rgb(make_palette("dark"))
            left, top, right, bottom = THUMBNAIL_CROP
            pictures.append(drawn[top:bottom, left:right])

        gap = np.full((len(pictures[0]), GAP_PX, 3), 128, np.uint8)
        low, high = pictures
        Image.fromarray(np.concatenate([low, gap, high], axis=1)).save(knob.picture, lossless=True, method=6)
        print(f"{knob.picture.name}: {knob.picture.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
