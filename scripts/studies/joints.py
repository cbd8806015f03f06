"""Train and measure the network for joints, the second opinion of `infer --set pose=true`.

    python scripts/studies/joints.py events RECORDINGS CHECKPOINT_1 CHECKPOINT_2 --out events.npz
    python scripts/studies/joints.py folds SKELETONS FILMS events.npz
    python scripts/studies/joints.py train SKELETONS FILMS --out joints.safetensors --weight 0.2 --other -0.5

SKELETONS has tracks, <class>/<name>.csv; FILMS has tracks of films of people, <fold>__<class>__<film>.csv, with the
films of one owner in one of the folds 1 and 2; RECORDINGS has the framed events of the same films, <same name>.h5, and
CHECKPOINT_1 was trained without fold 2, CHECKPOINT_2 without fold 1. A folder that is no class of DVS128 Gesture is
`other_gestures`. `folds` trains on drawn movements, skeletons and the films of one fold, and tests on those of the
other one; weight and bias are chosen on the films of the training fold, as the network of the other fold sees them.
"""

from __future__ import annotations

import argparse
import copy
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dvspipe.events import Events, SensorSize
from dvspipe.formats import read
from dvspipe.inference import Classifier, InferConfig
from dvspipe.inference.joints import (
    JOINT_STEP_US,
    JOINT_STEPS,
    POSITIONS,
    JointClassifier,
    JointNetwork,
    average_logs,
    sample_curves,
)
from dvspipe.inference.segments import is_quiet
from dvspipe.labels import GESTURES
from dvspipe.pose import JOINTS, Track, to_body_frame
from dvspipe.synthesis import GESTURE_SENSOR
from dvspipe.synthesis.gestures import OTHER, plan_clip, pose_person
from dvspipe.synthesis.people import draw_person
from dvspipe.synthesis.tracked import mirror_class

Floats = NDArray[np.float64]
WINDOW_US = JOINT_STEPS * JOINT_STEP_US
PEOPLE, DRAWN_US, DRAWN_HZ = 130, 1_800_000, 30
DRAWN_WINDOWS, SKELETON_WINDOWS, FILM_WINDOWS = 2, 4, 50
BATCH, FILM_SHARE, GESTURE_SHARE = 96, 0.4, 0.6
LEARNING_RATE, TRAINING_STEPS = 3e-3, 700
GESTURE_FILMS = {0: 0.42, 1: 0.30, 2: 0.18, 8: 0.05, 9: 0.05}  # share of a class of the windows of films of gestures
PACE, FPS = 0.25, (10, 30)
ARM_JOINTS = ("shoulder", "elbow", "wrist", "index", "pinky")
POSE_JOINTS = (0, 1, 2, 3, 3)  # of `Pose.arms`: index and little finger are the knuckles
WEIGHTS, OTHER_BIASES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (-1.0, -0.5, 0.0, 0.5)
GAP_US = 40_000  # between the end of a short film and its repetition
MIN_US, REPEATED_US = 1_450_000, 1_500_000  # shorter films are repeated until they last so long
OTHER_LABEL = GESTURES.index(OTHER)
MIRRORED = np.array([GESTURES.index(mirror_class(name)) for name in GESTURES])


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of joints: curves float32 [N, JOINT_STEPS, C] and labels [N]."""

    curves: NDArray[np.float32]
    labels: NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Film:
    """A film, its label, and windows of it."""

    name: str
    label: int
    track: Track

    @property
    def fold(self) -> str:
        return self.name[0]


def label_of(name: str) -> int:
    return GESTURES.index(name) if name in GESTURES else OTHER_LABEL


def make_track(times_us: NDArray[np.int64], points: Floats, confidence: Floats | None = None) -> Track:
    """Return joints [N, J, 3] as a track."""
    body, yaw = to_body_frame(points)
    N, J = points.shape[:2]
    seen = np.ones((N, J)) if confidence is None else confidence
    return Track(
        times_us, body, body[..., :2], seen, np.ones(N), yaw, np.ones(N, np.int64), SensorSize(width=1, height=1)
    )


def draw_movements(rng: np.random.Generator) -> Iterator[tuple[Track, int]]:
    """Yield tracks of drawn movements: of each person one of each gesture, and two others."""
    times_us = np.arange(0, DRAWN_US + 100_000, 1_000_000 // DRAWN_HZ)
    for _, label in itertools.product(range(PEOPLE), (*range(len(GESTURES)), OTHER_LABEL)):
        pose = pose_person(plan_clip(label, rng, DRAWN_US), draw_person(rng), rng, times_us / 1e6)
        points = np.zeros((len(times_us), len(JOINTS), 3))
        for (side, name), (joint, place) in itertools.product(
            enumerate(("right", "left")), zip(ARM_JOINTS, POSE_JOINTS, strict=True)
        ):
            points[:, JOINTS.index(f"{name}_{joint}")] = pose.arms[:, side, place]
        yield make_track(times_us, points), label


def look(track: Track, rng: np.random.Generator) -> Track:
    """Return a part of a track as a pose network might see it: fewer pictures, turned, noisy, with lost joints."""
    pace, fps = float(np.exp(rng.uniform(-PACE, PACE))), rng.uniform(*FPS)
    count = max(4, int(WINDOW_US * 1e-6 * fps) + 2)
    own_us, length_us = track.times_us - track.times_us[0], int(np.ptp(track.times_us))
    at_us = rng.uniform(0, max(0.0, length_us - pace * WINDOW_US)) + pace * np.arange(count) * 1e6 / fps
    at_us = length_us - np.abs(length_us - at_us % (2 * length_us))  # to and fro
    flat = track.points_m.reshape(len(own_us), -1)
    points = np.stack([np.interp(at_us, own_us, column) for column in flat.T], axis=-1).reshape(count, -1, 3)
    points = turn(points, float(np.clip(rng.normal(0, 0.5), -1.3, 1.3)))
    points[..., 2] *= rng.uniform(0.4, 1.1)
    if rng.random() < 0.8:
        jitter = rng.normal(size=(count + 2, *points.shape[1:]))
        jitter = (jitter[:-2] + jitter[1:-1] + jitter[2:]) / 1.7
        points += jitter * rng.uniform(0.003, 0.02) * (1, 1, 2.5)
        points += rng.normal(size=points.shape[1:]) * rng.uniform(0, 0.05) * (1, 1, 1.5)
    confidence = np.clip(1 - np.abs(rng.normal(0, 0.12, points.shape[:2])), 0, 1)
    if rng.random() < 0.35:
        lose_joints(points, confidence, rng)
    return make_track((np.arange(count) * 1e6 / fps).astype(np.int64), points, confidence)


def turn(points: Floats, angle: float) -> Floats:
    """Return points [N, J, 3] turned about the vertical."""
    x, y, z = np.moveaxis(points, -1, 0)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([x * cos + z * sin, y, z * cos - x * sin], axis=-1)


def lose_joints(points: Floats, confidence: Floats, rng: np.random.Generator) -> None:
    """Let elbows or wrists, with their hands, stay where they are for a time, with a low confidence."""
    for number in rng.choice(4, rng.integers(1, 3), replace=False):
        side, joint = ("right", "left")[number // 2], ("elbow", "wrist")[number % 2]
        start = rng.integers(len(points))
        part = slice(start, start + rng.integers(2, len(points)))
        wrist = JOINTS.index(f"{side}_{joint}")
        lost = points[start, wrist] + rng.normal(0, 0.05, points[part, wrist].shape)
        moved = lost - points[part, wrist]
        hand = [JOINTS.index(f"{side}_{name}") for name in ("index", "pinky")] if joint == "wrist" else []
        for each in (wrist, *hand):
            points[part, each] += moved
        confidence[part, wrist] = rng.uniform(0, 0.5)


def cut(track: Track, start_us: int) -> NDArray[np.float32]:
    """Return the curves of one window."""
    return sample_curves(track, np.array([start_us]), np.array([start_us + WINDOW_US]))[0][0]


def draw_windows(tracks: Sequence[tuple[Track, int]], count: int, rng: np.random.Generator) -> Windows:
    """Return windows of tracks as a pose network might see them."""
    found = [(cut(look(track, rng), 0), label) for track, label in tracks for _ in range(count)]
    curves, labels = zip(*found, strict=True)
    return Windows(np.stack(curves), np.array(labels))


def draw_film(film: Film, rng: np.random.Generator) -> NDArray[np.float32]:
    """Return windows of a film at random paces, with a little noise; a short film is repeated."""
    seen = film.track.present
    own_us, points = film.track.times_us[seen] - film.track.times_us[seen][0], film.track.points_m[seen]
    length_us = int(own_us[-1]) + GAP_US
    windows = []
    for _ in range(FILM_WINDOWS):
        pace = float(np.exp(rng.uniform(-PACE, PACE)))
        moved = points + rng.normal(size=points.shape) * rng.uniform(0, 0.01)
        moved = moved + rng.normal(size=(1, *points.shape[1:])) * rng.uniform(0, 0.03)
        moved = turn(moved, rng.normal(0, 0.2)) if rng.random() < 0.5 else moved
        track = make_track(np.round(own_us / pace).astype(np.int64), moved, film.track.confidence[seen])
        period_us = round(length_us / pace)
        needed_us = WINDOW_US if period_us > WINDOW_US else WINDOW_US + period_us
        start_us = round(rng.uniform(0, max(0, max(period_us, needed_us) - WINDOW_US)))
        windows.append(cut(repeat(track, period_us, needed_us), start_us))
    return np.stack(windows)


def repeat(track: Track, period_us: int, least_us: int) -> Track:
    """Return a track again and again until it lasts long enough."""
    times = max(1, -(-least_us // period_us))
    kept = track.times_us < track.times_us[0] + period_us

    def tile(values: Floats) -> Floats:
        return np.concatenate([values[kept]] * times)

    return replace(
        track,
        times_us=(track.times_us[kept] + period_us * np.arange(times)[:, None]).ravel(),
        points_m=tile(track.points_m),
        points_px=tile(track.points_px),
        confidence=tile(track.confidence),
        presence=tile(track.presence),
        yaw=tile(track.yaw),
        people=np.concatenate([track.people[kept]] * times),
    )


def mirror(curves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return curves with the arms swapped."""
    order = np.r_[6:12, 0:6, 12:15, 18:21, 15:18, 23:25, 21:23]
    swapped = curves[..., order]
    swapped[..., 13:15] *= -1  # from the right wrist to the left one: up, forwards
    return swapped


def draw_batch(
    drawn: Windows, skeletons: Windows, films: Sequence[tuple[NDArray[np.float32], int]], rng: np.random.Generator
) -> Windows:
    """Return a batch: drawn movements, skeletons with equal classes, and films, half of each mirrored."""
    of_films = int(BATCH * FILM_SHARE)
    of_drawn = int((BATCH - of_films) * 0.55)
    places = rng.integers(len(drawn.labels), size=of_drawn)
    curves, labels = [drawn.curves[places]], [drawn.labels[places]]
    known = np.unique(skeletons.labels)
    shares = np.where(known == OTHER_LABEL, 2.5, 1.0)
    wanted = rng.choice(known, BATCH - of_films - of_drawn, p=shares / shares.sum())
    places = np.array([rng.choice(np.flatnonzero(skeletons.labels == label)) for label in wanted])
    curves.append(skeletons.curves[places])
    labels.append(skeletons.labels[places])
    for _ in range(of_films):
        is_gesture = rng.random() < GESTURE_SHARE
        label = int(rng.choice(list(GESTURE_FILMS), p=list(GESTURE_FILMS.values()))) if is_gesture else OTHER_LABEL
        pool = [film for film in films if film[1] == label] or [film for film in films if film[1] == OTHER_LABEL]
        windows, label = pool[rng.integers(len(pool))]
        curves.append(windows[rng.integers(len(windows))][None])
        labels.append(np.array([label]))
    together, true = np.concatenate(curves), np.concatenate(labels)
    swapped = rng.random(len(true)) < 0.5
    together[swapped], true[swapped] = mirror(together[swapped]), MIRRORED[true[swapped]]
    together[..., :POSITIONS] += rng.normal(0, 0.015, together[..., :POSITIONS].shape)
    return Windows(together, true)


def train(drawn: Windows, skeletons: Windows, films: Sequence[Film], seed: int) -> JointNetwork:
    """Return a network, the moving mean of the trained weights."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    pools = [(draw_film(film, rng), film.label) for film in films]
    network = JointNetwork(len(GESTURES))
    mean = copy.deepcopy(network)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=1e-2)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=TRAINING_STEPS, pct_start=0.15)
    for step in range(1, TRAINING_STEPS + 1):
        batch = draw_batch(drawn, skeletons, pools, rng)
        logits = network(torch.from_numpy(batch.curves))
        loss = torch.nn.functional.cross_entropy(logits, torch.from_numpy(batch.labels), label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        keep = min(0.99, step / (step + 9))
        with torch.no_grad():
            for old, new in zip(mean.state_dict().values(), network.state_dict().values(), strict=True):
                old.copy_(keep * old + (1 - keep) * new if new.is_floating_point() else new)
        if step % 100 == 0:
            right = (logits.argmax(dim=1).numpy() == batch.labels).mean()
            print(f"step {step}: loss {loss.item():.3f}, {right:.0%} of the batch right", flush=True)
    return mean.eval()


def read_films(folder: Path) -> list[Film]:
    """Return the films with at least 0.4 s of a person."""
    films = []
    for path in sorted(folder.glob("?__*__*.csv")):
        track = Track.read(path)
        seen_us = track.times_us[track.present]
        if len(seen_us) >= 5 and np.ptp(seen_us) >= 400_000:
            films.append(Film(path.stem, label_of(path.stem.split("__")[1]), track))
    return films


def read_windows(folder: Path) -> tuple[Windows, Windows]:
    """Return windows of drawn movements and of skeletons."""
    rng = np.random.default_rng(1)
    drawn = draw_windows([*draw_movements(rng)], DRAWN_WINDOWS, rng)
    tracks = []
    for path in sorted(folder.glob("*/*.csv")):
        track = Track.read(path)
        if len(track.times_us) >= 8 and track.present.all():
            tracks.append((track, label_of(path.parent.name)))
    return drawn, draw_windows(tracks, SKELETON_WINDOWS, rng)


def classify_events(arguments: argparse.Namespace) -> None:
    """Store what the classifier that was trained on the other fold sees in each recording."""
    stored: dict[str, Any] = {}
    for fold, checkpoint in (("2", arguments.checkpoints[0]), ("1", arguments.checkpoints[1])):
        classifier = Classifier.load(checkpoint)
        for path in sorted(arguments.recordings.glob(f"{fold}__*.h5")):
            events, period_us = read_repeated(path)
            timeline = classifier.predict(events, {"roi": "full"}).timeline
            quiet = is_quiet(timeline, InferConfig().segments)
            stored[f"{path.stem}/probabilities"] = timeline.probabilities
            stored[f"{path.stem}/start_us"] = timeline.t_start_us
            stored[f"{path.stem}/shown"] = quiet if quiet.all() else ~quiet
            stored[f"{path.stem}/period_us"] = np.array(period_us)
    np.savez(arguments.out, **stored)


def read_repeated(path: Path) -> tuple[Events, int]:
    """Return the events of a film, again and again if it is shorter than a window, and the period (0: once)."""
    events = read(path)
    length_us = int(events.t[-1] - events.t[0])
    if length_us >= MIN_US:
        return events, 0
    period_us = length_us + GAP_US
    times = -(-REPEATED_US // period_us)
    t = (events.t + period_us * np.arange(times)[:, None]).ravel()
    x, y, p = (np.tile(part, times) for part in (events.x, events.y, events.p))
    return Events(t, x, y, p, GESTURE_SENSOR), period_us


@dataclass(frozen=True, eq=False)
class Seen:
    """What both networks, which were trained on the films of the other fold, see in a film.

    Args:
        name: The film.
        events: float32 [N, K] probabilities of its windows by events.
        shown: bool [N], windows that are not quiet.
        joints: float32 [N, K] logits by joints; None without a track.
        known: bool [N], windows with a person.
    """

    name: str
    events: NDArray[np.float32]
    shown: NDArray[np.bool_]
    joints: NDArray[np.float32] | None
    known: NDArray[np.bool_]

    @property
    def label(self) -> int:
        return label_of(self.name.split("__")[1])

    def mean(self, weight: float, bias: float) -> NDArray[np.float32] | None:
        """Return the probabilities of the film, [K]; None if only joints count and none are known."""
        if self.joints is None or not (self.known & self.shown).any():
            return None if weight == 1 else self.events[self.shown].mean(axis=0)
        logits = self.joints + bias * (np.arange(len(GESTURES)) == OTHER_LABEL)
        by_joints = torch.from_numpy(logits.astype(np.float32)).log_softmax(dim=1).numpy()
        combined = average_logs(self.events, by_joints, weight)
        if weight == 1:
            return combined[self.known & self.shown].mean(axis=0)
        return np.where(self.known[:, None], combined, self.events)[self.shown].mean(axis=0)


def see_films(network: JointNetwork, fold: str, films: Sequence[Film], stored: Mapping[str, Any]) -> list[Seen]:
    """Return what a network sees in all films of a fold."""
    tracks = {film.name: film.track for film in films}
    found = []
    for name in sorted({key.split("/")[0] for key in stored if key.startswith(f"{fold}__")}):
        events, start_us, shown, period_us = (
            stored[f"{name}/{what}"] for what in ("probabilities", "start_us", "shown", "period_us")
        )
        joints, known = None, np.zeros(len(events), np.bool_)
        if name in tracks:
            track = tracks[name]
            if period_us:
                track = repeat(track, int(period_us), int(start_us[-1]) + WINDOW_US)
            curves, known = sample_curves(track, start_us, start_us + WINDOW_US)
            with torch.no_grad():
                joints = network(torch.from_numpy(curves)).numpy()
        found.append(Seen(name, events, shown, joints, known))
    return found


def count(films: Sequence[Seen], weight: float, bias: float) -> dict[str, list[int]]:
    """Return films, right, certain and right, certain and wrong by class."""
    certain = InferConfig().segments.enter
    counts = {name: [0, 0, 0, 0] for name in (*GESTURES[:3], "air", OTHER)}
    for film in films:
        mean = film.mean(weight, bias)
        name = "air" if GESTURES[film.label].startswith("air") else GESTURES[film.label]
        label = OTHER_LABEL if mean is None else int(mean.argmax())
        is_right = mean is not None and label == film.label
        is_certain = mean is not None and mean.max() >= certain
        added = 1, is_right, is_right and is_certain, is_certain and not is_right and label != OTHER_LABEL
        counts[name] = [before + int(more) for before, more in zip(counts[name], added, strict=True)]
    return counts


def value(counts: dict[str, list[int]]) -> float:
    """Return what weight and bias are chosen by: claps and waves right, others right, others certain and wrong."""
    films, right = (sum(counts[name][place] for name in GESTURES[:3]) for place in (0, 1))
    others, right_others, _, wrong = counts[OTHER]
    return right / films + (right_others - 2 * wrong) / others


def choose(films: Sequence[Seen]) -> tuple[float, float]:
    """Return the best weight and bias; of equal ones the smallest weight."""
    return max(
        itertools.product(WEIGHTS, OTHER_BIASES), key=lambda one: (value(count(films, *one)), -one[0], -abs(one[1]))
    )


def show(title: str, counts: dict[str, list[int]]) -> None:
    texts = (f"{name} {right}/{films} ({sure}; {wrong})" for name, (films, right, sure, wrong) in counts.items())
    print(f"{title}: {', '.join(texts)}", flush=True)


def measure_folds(arguments: argparse.Namespace) -> None:
    """Print what events, joints and both see in films of people of the other fold."""
    films = read_films(arguments.films)
    drawn, skeletons = read_windows(arguments.skeletons)
    with np.load(arguments.events) as file:
        stored = dict(file)
    seen: dict[str, list[Seen]] = {}
    for tested, trained in (("2", "1"), ("1", "2")):
        network = train(drawn, skeletons, [film for film in films if film.fold == trained], arguments.seed)
        seen[tested] = see_films(network, tested, films, stored)
    together = [*seen["1"], *seen["2"]]
    tracked = [film for film in together if film.known.any()]
    print("class right/films (certain and right; certain and wrong)")
    for title, some in (("all films", together), ("films with a track", tracked)):
        print(f"{title}: {len(some)}")
        show("  events", count(some, 0, 0))
        show("  joints", count(some, 1, 0))
        for weight, bias in itertools.product(WEIGHTS[1:], OTHER_BIASES):
            show(f"  both, weight {weight}, bias {bias}", count(some, weight, bias))
    total: dict[str, list[int]] = {}
    for tested, trained in (("1", "2"), ("2", "1")):
        weight, bias = choose(seen[trained])
        counts = count(seen[tested], weight, bias)
        show(f"both, fold {tested}, weight {weight} and bias {bias} of fold {trained}", counts)
        total = {
            name: [a + b for a, b in zip(total.get(name, [0] * 4), row, strict=True)] for name, row in counts.items()
        }
    show("both, chosen on the other fold", total)
    print(f"of all films: weight {choose(together)[0]}, bias {choose(together)[1]}")


def train_all(arguments: argparse.Namespace) -> None:
    """Write the network that is trained on all films."""
    drawn, skeletons = read_windows(arguments.skeletons)
    network = train(drawn, skeletons, read_films(arguments.films), arguments.seed)
    with torch.no_grad():
        network.linear.bias[OTHER_LABEL] += arguments.other
    JointClassifier(network, arguments.weight).save(arguments.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    events = commands.add_parser("events")
    events.add_argument("recordings", type=Path)
    events.add_argument("checkpoints", nargs=2)
    events.add_argument("--out", type=Path, required=True)
    events.set_defaults(run=classify_events)
    for name, run in (("folds", measure_folds), ("train", train_all)):
        command = commands.add_parser(name)
        command.add_argument("skeletons", type=Path)
        command.add_argument("films", type=Path)
        command.add_argument("--seed", type=int, default=0)
        command.set_defaults(run=run)
        if name == "folds":
            command.add_argument("events", type=Path)
        else:
            command.add_argument("--out", type=Path, required=True)
            command.add_argument("--weight", type=float, required=True)
            command.add_argument("--other", type=float, default=0.0, help="added to the logit of other gestures")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
