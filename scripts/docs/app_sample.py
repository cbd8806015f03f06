"""Render the sample clip of `dvspipe app`, two gestures filmed by a webcam: `python scripts/docs/app_sample.py`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dvspipe.events import SensorSize
from dvspipe.labels import GESTURES
from dvspipe.synthesis.gestures import Performance, pose_person
from dvspipe.synthesis.people import draw_person
from dvspipe.synthesis.rendering import render
from dvspipe.synthesis.scenes import draw_far_camera, draw_scene
from dvspipe.synthesis.webcam import Webcam, compress, film

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


def main() -> None:
    """Write the clip and print its size."""
    identity, rng = draw_person(np.random.default_rng([0, PERSON])), np.random.default_rng([0, PERSON, 7])
    times_s = WEBCAM.picture_times(DURATION_US)
    scene = draw_scene(identity, WEBCAM.size, "natural", rng, draw_far_camera)
    pictures = render(identity, scene, pose_person(PLAN, identity, rng, times_s), times_s)
    compress(OUT, film(pictures, times_s, DURATION_US, WEBCAM, rng), WEBCAM)
    print(f"{OUT.name}: {OUT.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
