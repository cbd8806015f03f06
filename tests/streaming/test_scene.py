"""Reasons for doubt in the pictures of a camera."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from dvspipe.events import SensorSize
from dvspipe.pose.network import JOINTS, InputSquare, Sighting
from dvspipe.streaming.scene import SEARCH_EVERY, Doubt, SceneWatch, measure_view, moves

SIZE = SensorSize(width=320, height=240)
TARGET = SensorSize(width=64, height=64)


def person(x: float, y: float, side: float, presence: float = 1.0) -> Sighting:
    """Person whose torso of 0.5 m is a quarter of the side of the square."""
    points_px, points_m = np.tile([x, y], (len(JOINTS), 1)), np.zeros((len(JOINTS), 3))
    for joint, name in enumerate(JOINTS):
        if name.endswith("shoulder"):
            points_px[joint, 1] -= side / 4
            points_m[joint, 1] = 0.5
    return Sighting(presence, points_px, points_m, np.ones(len(JOINTS)), InputSquare(x, y, side))


class Looker:
    """Pose network that sees the given people wherever a square contains their hips; it counts its looks."""

    def __init__(self, *people: Sighting) -> None:
        self.people, self.looks = list(people), 0

    def __call__(self, _: NDArray[np.uint8], square: InputSquare) -> Sighting:
        self.looks += 1
        for each in self.people:
            near = abs(each.square.x_px - square.x_px), abs(each.square.y_px - square.y_px)
            if max(near) <= square.side_px / 2 and each.square.side_px >= 0.2 * square.side_px:
                return each
        return person(square.x_px, square.y_px, square.side_px, presence=0.0)


def scenery(shift: int = 0) -> NDArray[np.uint8]:
    """Background seen by a camera that turned by `shift` pixels."""
    rough = np.random.default_rng(0).integers(0, 256, (24, 40), np.uint8)
    view = cv2.resize(rough, (400, 240))[:, shift : shift + SIZE.width]
    return np.repeat(view[..., None], 3, axis=2)


@pytest.mark.parametrize(
    ("people", "doubt"),
    [
        ([], "no person"),
        ([person(160, 120, 200)], None),
        ([person(160, 120, 60)], "person too small"),
        ([person(80, 120, 120), person(240, 120, 110)], "several people"),
        ([person(80, 120, 160), person(290, 30, 50)], None),  # somebody in the background
    ],
)
def test_people_give_the_reason(people: list[Sighting], doubt: Doubt | None) -> None:
    assert SceneWatch(TARGET, look=Looker(*people)).check(scenery(), scenery()) == doubt


def test_turning_camera_comes_first() -> None:
    assert SceneWatch(TARGET, look=Looker()).check(scenery(), scenery(6)) == "camera moves"


def test_background_moves_only_with_the_camera() -> None:
    earlier = scenery()
    brighter = np.minimum(earlier.astype(int) // 2 + 40, 255).astype(np.uint8)
    assert moves(earlier, scenery(6), [])
    assert not moves(earlier, earlier, [])
    assert not moves(brighter, brighter + 20, [])  # the exposure changes
    assert not moves(np.zeros_like(earlier), np.full_like(earlier, 9), [])  # a blank wall shows nothing


def test_moving_person_is_no_moving_camera() -> None:
    earlier, now = scenery(), scenery()
    now[40:200, 30:290] = scenery(9)[40:200, 30:290]
    assert moves(earlier, now, [])
    large = person(160, 120, 240)
    large.points_px[0], large.points_px[1] = (30, 40), (290, 200)
    assert not moves(earlier, now, [large])


def test_view_has_the_scale_of_the_torso() -> None:
    assert measure_view(person(160, 120, 200)) == pytest.approx(1.45 * 100)


def test_known_person_is_followed_between_searches() -> None:
    look = Looker(person(160, 120, 200))
    watch = SceneWatch(TARGET, look=look)
    watch.check(scenery(), scenery())
    searched = look.looks
    for _ in range(SEARCH_EVERY - 2):
        watch.check(scenery(), scenery())
    assert look.looks == searched + SEARCH_EVERY - 2
    watch.check(scenery(), scenery())
    assert look.looks > searched + SEARCH_EVERY
