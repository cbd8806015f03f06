"""Train the person finder, dvspipe/framing/framing.npz: `python scripts/weights/framing.py` (some minutes, one core).

The training data are cartoons of the synthetic people at many sizes, with noise, other moving objects and picture
borders. Their changing pixels resemble the activity of a real or simulated sensor. From a square of this activity, a
small network predicts the shift and scale that frame the person as in the training clips of `dvspipe synth gestures`.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dvspipe.base.gestures import GESTURES
from dvspipe.framing.framing import (
    MIN_CELLS,
    MODEL,
    MODEL_CELLS,
    Square,
    find_start,
    refine_square,
    sample_square,
    sum_weights,
    weigh_cells,
)
from dvspipe.synthesis.gestures import Performance, pose_person
from dvspipe.synthesis.people import Floats, Person, Pose, draw_person
from dvspipe.synthesis.scenes import Camera
from dvspipe.video.opencv import cv2

CARTOONS = 800
SEED = 5
TESTED = 10  # every tenth cartoon is kept for the test
SCALE = 0.74  # pixels per metre, relative to the side; within the range of `draw_near_camera`
SHOULDERS = 0.105  # shoulders below the centre, relative to the side; within the same range
FPS = 20
WALL = 128  # grey value of the background
HIDDEN = 40
EPOCHS = 12
BATCH = 256
_SHIFT = 4  # fractional bits of drawn coordinates


class Cartoon(NamedTuple):
    """Moving pixels of a clip: activity, float32 [rows, columns], and the square that frames the person."""

    activity: NDArray[np.float32]
    square: Square


def draw_cartoon(number: int) -> Cartoon:
    """Return cartoon `number`; the same number gives the same cartoon."""
    rng = np.random.default_rng([SEED, number])
    person = draw_person(rng)
    side = float(np.exp(rng.uniform(np.log(18), np.log(110))))
    size = int(3 * side)
    x = size * rng.uniform(0.42, 0.58)
    y = size * 0.5
    camera = Camera(SCALE * side, rng.uniform(0.95, 3.5), x, y, rng.normal(0, 0.13), rng.normal(0, 0.10))
    seconds = rng.uniform(1.5, 4)
    t = np.arange(int(seconds * FPS)) / FPS
    plan = Performance(number % len(GESTURES), -1_000_000, int(seconds * 1e6) + 1_000_000)
    pose = pose_person((plan,), person, rng, t)
    active = _draw_changes(person, pose, camera, size, rng)

    return _place_in_picture(active, Square(x, y - SHOULDERS * side, side), rng)


def _draw_changes(person: Person, pose: Pose, camera: Camera, size: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a mask of the pixels that change, bool [size, size]."""
    arms, torso, head = (camera.project(points) for points in (pose.arms, pose.torso, pose.head))
    tones = [int(np.clip(WALL + rng.choice([-1, 1]) * rng.uniform(30, 110), 0, 255)) for _ in range(4)]
    stripes = rng.uniform(0.1, 0.4) if rng.random() < 0.5 else 0.0
    legs = rng.random() < 0.7
    darkest = np.full((size, size), 255, np.uint8)
    brightest = np.zeros((size, size), np.uint8)

    for moment in range(len(arms)):
        picture = np.full((size, size), WALL, np.uint8)
        _draw_torso(picture, torso[moment], person, tones, stripes, legs)
        _draw_head(picture, head[moment], torso[moment], tones)
        _draw_arms(picture, arms[moment], person, tones)
        darkest = np.minimum(darkest, picture)
        brightest = np.maximum(brightest, picture)

    active = brightest.astype(int) - darkest > rng.uniform(8, 30)
    return np.asarray(active | _fill_body(size, torso[0], head[0], arms[0], person, rng), np.bool_)


def _fill_body(
    size: int, torso: Floats, head: Floats, arms: Floats, person: Person, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """Return a mask of body pixels that are active because of folds, patterns and the face; from none to all."""
    inside = np.zeros((size, size), np.bool_)
    masks = np.zeros((3, size, size), np.uint8)
    tones = [255] * 4
    _draw_torso(masks[0], torso, person, tones, 0.0, False)
    _draw_head(masks[1], head, torso, tones)
    _draw_arms(masks[2], arms, person, tones)

    together = rng.random()
    for mask in masks:
        share = np.clip(together + rng.normal(0, 0.2), 0, 1) if rng.random() < 0.75 else 0.0
        inside |= (mask > 127) & (rng.random(mask.shape) < share**2)

    return inside


def _to_fixed_point(points: Floats | list[Floats]) -> NDArray[np.int32]:
    return np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)


def _fill(picture: NDArray[np.uint8], corners: list[Floats], tone: int) -> None:
    cv2.fillConvexPoly(picture, _to_fixed_point(corners), tone, cv2.LINE_AA, _SHIFT)


def _draw_line(picture: NDArray[np.uint8], start: Floats, stop: Floats, tone: int, width: int) -> None:
    """Draw a line at least one pixel wide."""
    cv2.line(picture, _to_fixed_point(start), _to_fixed_point(stop), tone, max(1, width), cv2.LINE_AA, _SHIFT)


def _draw_torso(
    picture: NDArray[np.uint8], torso: Floats, person: Person, tones: list[int], stripes: float, legs: bool
) -> None:
    right, left, hips = torso[:, :2]
    scale = torso[:, 2].mean()
    middle = (right + left) / 2
    down = (hips - middle) / (np.linalg.norm(hips - middle) + 1e-9)
    across = np.array([-down[1], down[0]])
    across *= np.sign((right - left) @ across) or 1.0
    half = 0.55 * person.shoulders_m * scale * across
    edge = 1.2 * person.arm_radius_m * scale * across

    if legs:
        feet = hips + 0.7 * scale * down
        _fill(picture, [hips + half, hips - half, feet - half, feet + half], tones[2])

    _fill(picture, [right + edge, left - edge, hips - half, hips + half], tones[0])
    for share in np.arange(0.1, 0.9, stripes) if stripes else ():
        lower = share * (hips - middle)
        _draw_line(picture, right + lower, left + lower, round(0.75 * tones[0]), int(0.02 * scale))


def _draw_head(picture: NDArray[np.uint8], head: Floats, torso: Floats, tones: list[int]) -> None:
    chin, crown = head[:2, :2]
    up = crown - chin
    height = np.linalg.norm(up)
    angle = float(np.degrees(np.arctan2(up[1], up[0])))
    _draw_line(picture, chin, torso[:2, :2].mean(axis=0), tones[1], int(0.1 * torso[:, 2].mean()))

    for middle, axes, tone in ((0.5, (0.5, 0.37), tones[1]), (0.78, (0.26, 0.36), tones[3])):
        centre = _to_fixed_point(chin + middle * up)
        radii = _to_fixed_point(height * np.array(axes))
        cv2.ellipse(picture, centre, radii, angle, 0, 360, tone, cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _draw_arms(picture: NDArray[np.uint8], arms: Floats, person: Person, tones: list[int]) -> None:
    """Draw both arms, the farther one first."""
    radius = 1.2 * person.arm_radius_m
    for arm in arms[np.argsort(arms[:, 2, 2])]:
        for start, width, tone in ((0, 2.0, tones[0]), (1, 1.6, tones[1]), (2, 1.9, tones[1])):
            end = arm[start + 1]
            _draw_line(picture, arm[start, :2], end[:2], tone, round(width * radius * end[2]))
        hand = int(0.045 * arm[3, 2] * (1 << _SHIFT))
        cv2.circle(picture, _to_fixed_point(arm[3, :2]), hand, tones[1], cv2.FILLED, cv2.LINE_AA, _SHIFT)


def _place_in_picture(active: NDArray[np.bool_], square: Square, rng: np.random.Generator) -> Cartoon:
    """Crop a cartoon to a random picture; add noise and sometimes another moving object."""
    x, y, side = square
    if rng.random() < 0.4:  # the person fills the picture
        left, top, right, bottom = side * rng.uniform(0.38, 0.65, 4)
    else:
        left, top, right, bottom = side * rng.uniform([0.5, 0.4, 0.5, 0.55], 3.0)

    first_x = max(0, int(x - left))
    first_y = max(0, int(y - top))
    seen = active[first_y : int(y + bottom), first_x : int(x + right)].copy()
    x = x - first_x
    y = y - first_y

    if rng.random() < 0.4:
        width, height = side * rng.uniform(0.1, 0.5, 2)
        rows, columns = seen.shape
        at_x = rng.uniform(0, columns)
        at_y = rng.uniform(0, rows)
        if abs(at_x - x) > 0.45 * side:
            seen[int(at_y) : int(at_y + height), int(at_x) : int(at_x + width)] = True

    return Cartoon(_add_noise(seen, rng), Square(x, y, side))


def _add_noise(active: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.float32]:
    """Return the mean activity over a random number of slices, with noise that may cover only part of the picture."""
    slices = int(rng.integers(1, 14))
    moved = rng.uniform(0.3, 1.0, active.shape) if slices > 1 else 1.0
    share = np.full(active.shape, rng.choice([0, 0.003, 0.02, 0.06]))
    if rng.random() < 0.4:  # leaves, grass, or the noise of a codec
        share[int(rng.uniform(0.2, 0.9) * len(share)) :] += rng.uniform(0.02, 0.25)
    noise = rng.binomial(slices, share) / slices
    return np.maximum(np.where(active, moved, 0), noise).astype(np.float32)


def sample_views(cartoon: Cartoon, rng: np.random.Generator) -> tuple[list[Floats], list[Floats]]:
    """Return views of squares near the person, and their correct shifts and scales; each also mirrored."""
    weight = weigh_cells(cartoon.activity)
    if weight.sum() < MIN_CELLS:
        return [], []

    sums = sum_weights(weight)
    start = find_start(weight)
    true = cartoon.square
    views = list[Floats]()
    moves = list[Floats]()

    for number in range(12):
        near, spread = (true, float(rng.choice([0.3, 1.0, 1.6]))) if number >= 3 else (start, 0.4)
        x, y = (at + 0.12 * spread * near.side * rng.normal() for at in (near.x, near.y))
        square = Square(x, y, near.side * np.exp(0.25 * spread * rng.normal()))
        if max(abs(square.x - true.x), abs(square.y - true.y)) > true.side:
            continue
        move = np.array([(true.x - x) / square.side, (true.y - y) / square.side, np.log(true.side / square.side)])
        view = sample_square(sums, square)
        views += [view.ravel(), view[:, ::-1].ravel()]
        moves += [move, move * [-1, 1, 1]]

    return views, moves


def train_model(views: Floats, moves: Floats) -> dict[str, NDArray[np.float16]]:
    """Train a network with one hidden layer from views [N, cells] to moves [N, 3]; return its weights."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    inputs = torch.tensor(views, dtype=torch.float32)
    targets = torch.tensor(moves, dtype=torch.float32)
    hidden = torch.nn.Linear(MODEL_CELLS**2, HIDDEN)
    out = torch.nn.Linear(HIDDEN, 3)
    network = torch.nn.Sequential(torch.nn.Dropout(0.1), hidden, torch.nn.Tanh(), torch.nn.Dropout(0.1), out)
    optimiser = torch.optim.AdamW(network.parameters(), weight_decay=0.03)
    steps = EPOCHS * -(-len(inputs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 4e-3, total_steps=steps)

    for _ in range(EPOCHS):
        for batch in torch.randperm(len(inputs)).split(BATCH):
            loss = torch.nn.functional.smooth_l1_loss(network(inputs[batch]), targets[batch], beta=0.1)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()

    names = {"hidden": hidden.weight.T, "hidden_bias": hidden.bias, "out": out.weight.T, "out_bias": out.bias}
    return {name: values.detach().numpy().astype(np.float16) for name, values in names.items()}


def main(path: Path) -> None:
    """Train on cartoons, write the model, and print its errors on the test cartoons."""
    rng = np.random.default_rng(SEED)
    cartoons = [draw_cartoon(number) for number in range(CARTOONS)]
    views = list[Floats]()
    moves = list[Floats]()
    for number, cartoon in enumerate(cartoons):
        if number % TESTED:
            views_of_cartoon, moves_of_cartoon = sample_views(cartoon, rng)
            views += views_of_cartoon
            moves += moves_of_cartoon

    np.savez_compressed(path, allow_pickle=False, **train_model(np.array(views), np.array(moves)))

    errors = []
    for cartoon in cartoons[::TESTED]:
        weight = weigh_cells(cartoon.activity)
        if weight.sum() >= MIN_CELLS:
            found = refine_square(weight, find_start(weight))
            true = cartoon.square
            move = (found.x - true.x) / true.side, (found.y - true.y) / true.side, np.log(found.side / true.side)
            errors.append(move)

    spread = np.sqrt(np.mean(np.square(errors), axis=0))
    print("root mean square error: column {:.3f} and row {:.3f} of the side, side {:.3f} (log)".format(*spread))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path, nargs="?", default=MODEL, help="model to write; default: the included one")
    main(parser.parse_args().out)
