"""Pose network: estimate the joints of one person in a square of a picture.

The network is BlazePose (Bazarevsky et al., "BlazePose: On-device Real-time Body Pose tracking", CVPR workshop 2020) in
MediaPipe's variant "full", run with ONNX Runtime. Its licence (Apache-2.0) and source are in this folder.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..base.errors import Brief
from ..video.opencv import cv2

Floats = NDArray[np.float64]

WEIGHTS = Path(__file__).with_name("pose_landmark_full.onnx")
INPUT_PX = 256
_OUTPUTS = ["points", "metres", "presence"]
_CENTRE = 33  # auxiliary points that define the square in the next picture
_TOP = 34
_SQUARE_SCALE = 2.5  # side of this square, relative to the distance between the two points

_NETWORK_POINTS = {
    "nose": 0,
    "left_shoulder": 11,
    "right_shoulder": 12,
    "left_elbow": 13,
    "right_elbow": 14,
    "left_wrist": 15,
    "right_wrist": 16,
    "left_pinky": 17,
    "right_pinky": 18,
    "left_index": 19,
    "right_index": 20,
    "left_thumb": 21,
    "right_thumb": 22,
    "left_hip": 23,
    "right_hip": 24,
}
JOINTS: tuple[str, ...] = tuple(_NETWORK_POINTS)
"""Names of the joints of a track, in order. Left and right are the person's own."""


@dataclass(frozen=True)
class InputSquare:
    """Square in a picture; may extend beyond the edges.

    Args:
        x_px: Column of the centre in pixels.
        y_px: Row of the centre in pixels.
        side_px: Side length in pixels.
    """

    x_px: float
    y_px: float
    side_px: float


@dataclass(frozen=True, eq=False, repr=False)
class Sighting(Brief):
    """Pose estimate in one picture.

    Args:
        presence: Probability that the square shows a person, 0 to 1.
        points_px: Column and row of each joint in the picture, [J, 2].
        points_m: Joints relative to the midpoint of the hips in metres, [J, 3]; the axes point right in the picture,
            up, and towards the camera.
        confidence: Probability that a joint is inside the square and visible, 0 to 1, [J].
        square: Square that should contain the same person in the next picture.
    """

    presence: float
    points_px: Floats
    points_m: Floats
    confidence: Floats
    square: InputSquare


Look = Callable[[NDArray[np.uint8], InputSquare], Sighting]
"""Pose estimator: takes an RGB picture, uint8 [H, W, 3], and a square in it."""


class PoseNetwork:
    """MediaPipe pose network, run with ONNX Runtime in one thread."""

    def __init__(self) -> None:
        import onnxruntime  # takes a tenth of a second to import

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # a look takes a few milliseconds; other threads of a pool would only wait
        self._session = onnxruntime.InferenceSession(WEIGHTS, options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name

    def __call__(self, picture: NDArray[np.uint8], square: InputSquare) -> Sighting:
        """Estimate the pose in `square` of an RGB picture, uint8 [H, W, 3]."""
        patch, left, top, side = cut_square(picture, square)
        outputs = self._session.run(_OUTPUTS, {self._input: patch[None].astype(np.float32) / 255})
        points, metres, presence = (np.asarray(output, np.float64) for output in outputs)

        # From the network's input to the picture.
        points = points.reshape(-1, 5)
        metres = metres.reshape(-1, 3)
        places = points[:, :2] * (side / INPUT_PX) + (left, top)
        certain = 1 / (1 + np.exp(-np.clip(points[:, 3:], -50, 50)))  # visibility and presence of each point
        chosen = list(_NETWORK_POINTS.values())
        centre = places[_CENTRE]
        reach = np.linalg.norm(places[_TOP] - places[_CENTRE])

        return Sighting(
            presence=float(presence.item()),
            points_px=places[chosen],
            points_m=metres[chosen] * (1.0, -1.0, -1.0),  # the network's axes are right, down, away
            confidence=certain[chosen].prod(axis=1),
            square=InputSquare(float(centre[0]), float(centre[1]), _SQUARE_SCALE * float(reach)),
        )


def cut_square(picture: NDArray[np.uint8], square: InputSquare) -> tuple[NDArray[np.uint8], int, int, int]:
    """Crop a square from a picture, uint8 [H, W, 3], and resize it to [256, 256, 3], black beyond the edges.

    The side is clipped to 1 pixel up to 4 times the longer side of the picture. Left, top and side of the crop in
    pixels are returned, too.
    """
    height, width = picture.shape[:2]
    side = max(1, round(min(square.side_px, 4.0 * max(height, width))))
    left = round(square.x_px - side / 2)
    top = round(square.y_px - side / 2)

    # A part of the square may be outside the picture: it stays black.
    rows = slice(min(max(top, 0), height), min(max(top + side, 0), height))
    columns = slice(min(max(left, 0), width), min(max(left + side, 0), width))

    seen = np.zeros((side, side, 3), np.uint8)
    seen[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left] = picture[rows, columns]

    shrinks = side > INPUT_PX
    patch = cv2.resize(seen, (INPUT_PX, INPUT_PX), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    return np.asarray(patch, np.uint8), left, top, side
