"""Reasons for doubt of a live prediction that the pictures of its camera show.

`SceneWatch` finds people with the pose network; `moves` compares the background of two pictures.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..events import SensorSize
from ..framing.person import VIEW_M
from ..pose.network import JOINTS, Look, PoseNetwork, Sighting
from ..pose.track import PRESENT
from ..pose.tracking import count_people, find_people

Doubt = Literal["camera moves", "no person", "several people", "person too small"]
"""Reason for doubt: something in the picture that training clips do not show."""

SEARCH_EVERY = 10  # checks between searches of the complete picture; a search costs as much as about 16 looks
MAX_FAR_SHARE = 0.5  # relative to the shorter side of the picture; a person who fills more need not come closer
CELLS = 80  # cells along the longer side of the picture, for the motion of the background
MIN_CONTRAST = 4.0  # grey levels, 0 to 255: noise of a webcam, averaged over a cell, is below 2
MIN_TEXTURED = 30  # cells with contrast outside people; fewer do not show whether the camera moves
MOVING_SHARE = 0.4  # share of textured cells that change if the camera moves
PERSON_MARGIN = 0.1  # around the joints of a person, relative to the side of the person's square
MIN_TORSO_M = 1e-3  # against a division by zero

_SHOULDERS = [JOINTS.index("left_shoulder"), JOINTS.index("right_shoulder")]
_HIPS = [JOINTS.index("left_hip"), JOINTS.index("right_hip")]

Picture = NDArray[np.uint8]
"""RGB picture, uint8 [H, W, 3]."""


class SceneWatch:
    """Looks for reasons for doubt in the pictures of a camera; a person once found is followed.

    Args:
        target: Sensor of the network.
        look: Pose network; default: the network included in dvspipe.
    """

    def __init__(self, target: SensorSize, *, look: Look | None = None) -> None:
        self._shorter = min(target.width, target.height)
        self._look = look or PoseNetwork()
        self._people: list[Sighting] = []
        self._checks = 0

    def check(self, earlier: Picture, now: Picture) -> Doubt | None:
        """Return the most important reason for doubt, or None.

        Args:
            earlier: Picture 0.1 to 0.5 s before `now`, of the same size.
            now: Picture, uint8 RGB [H, W, 3].
        """
        self._people = self._find(now)

        if moves(earlier, now, self._people):
            return "camera moves"
        if not self._people:
            return "no person"
        if count_people(self._people) > 1:
            return "several people"

        height, width, _ = now.shape
        least_px = min(self._shorter, MAX_FAR_SHARE * min(height, width))
        first, *_ = self._people
        return "person too small" if measure_view(first) < least_px else None

    def _find(self, picture: Picture) -> list[Sighting]:
        self._checks += 1
        # Between searches, look only at the people that are known, as long as the first of them is still there.
        if self._people and self._checks % SEARCH_EVERY:
            seen = [self._look(picture, person.square) for person in self._people]
            if seen[0].presence >= PRESENT:
                return [person for person in seen if person.presence >= PRESENT]

        return find_people(picture, self._look)


def measure_view(person: Sighting) -> float:
    """Return the side in pixels of the square that shows a person as in training clips."""

    def middle(joints: Sequence[int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return person.points_px[joints].mean(axis=0), person.points_m[joints, :2].mean(axis=0)

    # The torso gives the scale: its length is known in pixels and in metres.
    shoulder_px, shoulder_m = middle(_SHOULDERS)
    hip_px, hip_m = middle(_HIPS)
    torso_m = float(np.linalg.norm(shoulder_m - hip_m))
    return VIEW_M * float(np.linalg.norm(shoulder_px - hip_px)) / max(torso_m, MIN_TORSO_M)


def moves(earlier: Picture, now: Picture, people: Sequence[Sighting]) -> bool:
    """Return whether the background, without the surroundings of people, moves: most of its textured cells change."""
    cell_px = -(-max(now.shape[:2]) // CELLS)
    before = _average_cells(earlier, cell_px)
    after = _average_cells(now, cell_px)

    # Only cells with contrast show motion, and people move while the camera stands still.
    down, right = np.gradient(before)
    textured = np.hypot(down, right) >= MIN_CONTRAST
    for person in people:
        margin = PERSON_MARGIN * person.square.side_px
        low = person.points_px.min(axis=0) - margin
        high = person.points_px.max(axis=0) + margin
        left, top = np.maximum(low // cell_px, 0).astype(int)
        stop_x, stop_y = (high // cell_px).astype(int) + 1

        # Joints may be outside the picture: a negative stop would count from its other side.
        textured[top : max(stop_y, 0), left : max(stop_x, 0)] = False
    if textured.sum() < MIN_TEXTURED:
        return False

    change = after - before
    change -= np.median(change)  # the exposure of the camera may change
    return bool((abs(change[textured]) >= MIN_CONTRAST).mean() >= MOVING_SHARE)


def _average_cells(picture: Picture, cell_px: int) -> NDArray[np.float64]:
    """Return the mean grey level of each cell, [H // cell_px, W // cell_px]."""
    rows, columns = (side // cell_px for side in picture.shape[:2])
    inside = picture[: rows * cell_px, : columns * cell_px].reshape(rows, cell_px, columns, cell_px, 3)

    return np.asarray(inside.mean(axis=(1, 3, 4)))
