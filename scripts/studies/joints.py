"""Train and evaluate the joint network of `infer`.

    python scripts/studies/joints.py film FILMS --clips 1000
    python scripts/studies/joints.py events RECORDINGS CHECKPOINT_1 CHECKPOINT_2 --out events.npz
    python scripts/studies/joints.py folds SKELETONS FILMS events.npz
    python scripts/studies/joints.py train SKELETONS --films FILMS --out joints.safetensors --weight 0.2 --other -0.5
    python scripts/studies/joints.py train SKELETONS --out joints.safetensors --weight 0.2 --people 500 --steps 2500

SKELETONS contains tracks <class>/<name>.csv (or .bvh, .amc); clean_tracks.py writes a folder of them. FILMS contains
tracks of films of people, <fold>__<class>__<film>.csv; all films of an owner are in the same fold, 1 or 2. RECORDINGS
contains the framed events of the same films, <same name>.h5. CHECKPOINT_1 was trained without fold 2, CHECKPOINT_2
without fold 1. A folder whose name is not a class of DVS128 Gesture is `other_gestures`.

`train` without films uses drawn movements and skeletons alone, in two minutes. Of 550 windows of other drawn people,
it classifies 506 correctly with the default people and steps, and 527 with the numbers above. `folds` trains on drawn
movements, skeletons and the films of one fold, and tests on the films of the other fold. Weight and bias are selected
on the films of the training fold, classified by the network that was not trained on them.
"""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from dvspipe.base.errors import VideoError
from dvspipe.base.labels import GESTURES, OTHER
from dvspipe.events import Events
from dvspipe.formats import read
from dvspipe.inference import Classifier, InferConfig
from dvspipe.inference.joint_training import JointWindows, train_joints
from dvspipe.inference.joints import (
    JOINT_LOOKS,
    JOINT_WINDOW_US,
    POSITIONS,
    JointClassifier,
    JointNetwork,
    average_logs,
    sample_curves,
)
from dvspipe.inference.segments import is_quiet
from dvspipe.oneshot.arms import MAX_LOG_PACE, cut_curves, draw_tracks, rotate, sample_windows
from dvspipe.pose import PoseNetwork, Track, find_tracks, make_track, read_track, track_film
from dvspipe.synthesis import DVS128_GESTURES, GESTURE_SENSOR, GestureClip, film_gesture
from dvspipe.synthesis.tracked import mirror_class

Floats = NDArray[np.float64]
DRAWN_WINDOWS = 2
SKELETON_WINDOWS = 4
FILM_WINDOWS = 50
BATCH = 96
FILM_SHARE = 0.4
GESTURE_SHARE = 0.6
GESTURE_FILMS = {0: 0.42, 1: 0.30, 2: 0.18, 8: 0.05, 9: 0.05}  # class: share of the windows from gesture films
WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
OTHER_BIASES = (-1.0, -0.5, 0.0, 0.5)
FILMED = {"hand_clapping": 6, "right_hand_wave": 4, "left_hand_wave": 3, "air_drums": 2, "air_guitar": 2, OTHER: 14}
FILMED_US = 1_900_000  # length of a film of a rendered person
GAP_US = 40_000  # gap between repetitions of a short film
MIN_US = 1_450_000  # films shorter than MIN_US are repeated for at least REPEATED_US
REPEATED_US = 1_500_000
OTHER_LABEL = GESTURES.index(OTHER)
MIRRORED = np.array([GESTURES.index(mirror_class(name)) for name in GESTURES])


@dataclass(frozen=True, eq=False)
class Film:
    """A film: name <fold>__<class>__<film>, and track."""

    name: str
    track: Track

    @property
    def label(self) -> int:
        return label_of_film(self.name)

    @property
    def fold(self) -> str:
        return self.name.split("__")[0]


class FilmWindows(NamedTuple):
    """Windows of a film, float32 [windows, samples, curves], and their label."""

    windows: NDArray[np.float32]
    label: int


def find_label(name: str) -> int:
    return GESTURES.index(name) if name in GESTURES else OTHER_LABEL


def sample_film(film: Film, rng: np.random.Generator) -> NDArray[np.float32]:
    """Sample windows of a film at random paces with slight noise; a short film is repeated."""
    seen = film.track.present
    seen_us = film.track.times_us[seen]
    own_us = seen_us - seen_us[0]
    points = film.track.points_m[seen]
    length_us = int(own_us[-1]) + GAP_US
    windows = []

    for _ in range(FILM_WINDOWS):
        pace = float(np.exp(rng.uniform(-MAX_LOG_PACE, MAX_LOG_PACE)))
        noisy = points + rng.normal(size=points.shape) * rng.uniform(0, 0.01)
        noisy = noisy + rng.normal(size=(1, *points.shape[1:])) * rng.uniform(0, 0.03)
        noisy = rotate(noisy, rng.normal(0, 0.2)) if rng.random() < 0.5 else noisy

        track = make_track(np.round(own_us / pace).astype(np.int64), noisy, film.track.confidence[seen])
        period_us = round(length_us / pace)
        needed_us = JOINT_WINDOW_US if period_us > JOINT_WINDOW_US else JOINT_WINDOW_US + period_us
        start_us = round(rng.uniform(0, max(0, max(period_us, needed_us) - JOINT_WINDOW_US)))
        windows.append(cut_curves(repeat_track(track, period_us, needed_us), start_us))

    return np.stack(windows)


def repeat_track(track: Track, period_us: int, least_us: int) -> Track:
    """Repeat a track with period `period_us` until it lasts at least `least_us`."""
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


def mirror_curves(curves: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mirror the curves: swap the left and right arm."""
    order = np.r_[6:12, 0:6, 12:15, 18:21, 15:18, 23:25, 21:23]
    swapped = curves[..., order]
    swapped[..., 13:15] *= -1  # left wrist relative to right wrist: up, forwards
    return swapped


def sample_batch(
    drawn: JointWindows,
    skeletons: JointWindows,
    films: Sequence[FilmWindows],
    rng: np.random.Generator,
) -> JointWindows:
    """Sample a batch of drawn movements, skeletons and films (if there are any); half of the samples are mirrored.

    Classes of skeletons are equally frequent, except that other gestures are 2.5 times as frequent. Classes without
    skeletons are drawn.
    """
    film_count = int(BATCH * FILM_SHARE) if films else 0
    drawn_count = int((BATCH - film_count) * 0.55)
    skeleton_count = BATCH - film_count - drawn_count

    chosen = rng.integers(len(drawn.labels), size=drawn_count)
    curves = [drawn.curves[chosen]]
    labels = [drawn.labels[chosen]]

    shares = np.where(np.arange(len(GESTURES)) == OTHER_LABEL, 2.5, 1.0)
    for label in rng.choice(len(GESTURES), skeleton_count, p=shares / shares.sum()):
        source = skeletons if (skeletons.labels == label).any() else drawn
        window = rng.choice(np.flatnonzero(source.labels == label))
        curves.append(source.curves[window][None])
        labels.append(source.labels[window][None])

    for _ in range(film_count):
        is_gesture = rng.random() < GESTURE_SHARE
        label = int(rng.choice(list(GESTURE_FILMS), p=list(GESTURE_FILMS.values()))) if is_gesture else OTHER_LABEL
        pool = [film for film in films if film.label == label] or [film for film in films if film.label == OTHER_LABEL]
        windows, label = pool[rng.integers(len(pool))]
        curves.append(windows[rng.integers(len(windows))][None])
        labels.append(np.array([label]))

    together = np.concatenate(curves)
    truth = np.concatenate(labels)
    swapped = rng.random(len(truth)) < 0.5
    together[swapped] = mirror_curves(together[swapped])
    truth[swapped] = MIRRORED[truth[swapped]]
    together[..., :POSITIONS] += rng.normal(0, 0.015, together[..., :POSITIONS].shape)

    return JointWindows(together, truth)


def train(
    drawn: JointWindows,
    skeletons: JointWindows,
    films: Sequence[Film],
    *,
    seed: int,
    steps: int,
    weight: float = 0.0,
) -> JointClassifier:
    """Train on drawn movements, skeletons and films."""
    rng = np.random.default_rng(seed)
    pools = [FilmWindows(sample_film(film, rng), film.label) for film in films]
    return train_joints(
        lambda batches: sample_batch(drawn, skeletons, pools, batches),
        GESTURES,
        steps=steps,
        weight=weight,
        seed=seed,
    )


def read_films(folder: Path) -> list[Film]:
    """Read the films that show a person for at least 0.4 s and in at least 5 pictures."""
    films = []
    for path in sorted(folder.glob("?__*__*.csv")):
        track = Track.read(path)
        seen_us = track.times_us[track.present]
        if len(seen_us) >= 5 and np.ptp(seen_us) >= 400_000:
            films.append(Film(path.stem, track))

    return films


def label_of_film(name: str) -> int:
    _fold, class_name, _film = name.split("__", 2)
    return find_label(class_name)


def read_windows(folder: Path, people: int) -> tuple[JointWindows, JointWindows]:
    """Sample windows of drawn movements of `people` people, and of skeleton tracks in `folder`."""
    rng = np.random.default_rng(1)
    labels = [*range(len(GESTURES)), OTHER_LABEL] * people  # other gestures twice
    drawn = sample_windows(draw_tracks(DVS128_GESTURES, labels, rng), DRAWN_WINDOWS, rng)
    tracks = []
    for path in find_tracks(folder):
        track = read_track(path)
        if len(track.times_us) >= 8 and track.present.all():
            tracks.append((track, find_label(path.parent.name)))

    return drawn, sample_windows(tracks, SKELETON_WINDOWS, rng)


def film_people(arguments: argparse.Namespace) -> None:
    """Film rendered people with simulated webcams, and write their tracks: the errors are the pose network's own.

    Films in which the network finds no person are left out. Films that exist are kept, so the command can be resumed.
    """
    arguments.folder.mkdir(parents=True, exist_ok=True)
    network = PoseNetwork()
    shares = np.array([FILMED.get(name, 1.0) for name in GESTURES])
    labels = np.random.default_rng(arguments.seed).choice(len(GESTURES), arguments.clips, p=shares / shares.sum())

    for number, label in enumerate(labels.tolist()):
        path = arguments.folder / f"1__{GESTURES[label]}__{number:05d}.csv"
        if path.exists():
            continue
        clip = GestureClip(label, person=number, clip=0, seed=arguments.seed, duration_us=FILMED_US)
        with TemporaryDirectory() as folder:
            try:
                film = film_gesture(Path(folder) / "film", clip)
                track_film(film, JOINT_LOOKS, look=network).write(path)
            except VideoError as error:
                print(f"{path.stem}: {error}", flush=True)


def classify_events(arguments: argparse.Namespace) -> None:
    """Classify the events of each recording with the checkpoint trained on the other fold, and store the results."""
    stored: dict[str, Any] = {}
    for fold, checkpoint in zip("21", arguments.checkpoints, strict=True):
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
    """Read the events of a film, repeated if shorter than a window, and return them with the period (0: once)."""
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
class FilmOutputs:
    """Outputs of both networks for the windows of a film; the networks were trained on the other fold.

    Args:
        name: Name of the film.
        events: Probabilities by events, float32 [N, K].
        shown: Whether the window is not quiet, bool [N].
        joints: Logits by joints, float32 [N, K]; None without a track.
        known: Whether the person is visible in the window, bool [N].
    """

    name: str
    events: NDArray[np.float32]
    shown: NDArray[np.bool_]
    joints: NDArray[np.float32] | None
    known: NDArray[np.bool_]

    @property
    def label(self) -> int:
        return label_of_film(self.name)

    def mean(self, weight: float, bias: float) -> NDArray[np.float32] | None:
        """Return the mean probabilities of the film, [K]; None for joints alone (weight 1) without a visible person."""
        if self.joints is None or not (self.known & self.shown).any():
            return None if weight == 1 else self.events[self.shown].mean(axis=0)

        logits = self.joints + bias * (np.arange(len(GESTURES)) == OTHER_LABEL)
        by_joints = torch.from_numpy(logits.astype(np.float32)).log_softmax(dim=1).numpy()
        combined = average_logs(self.events, by_joints, weight)
        if weight == 1:
            return combined[self.known & self.shown].mean(axis=0)

        return np.where(self.known[:, None], combined, self.events)[self.shown].mean(axis=0)


def classify_films(
    network: JointNetwork, fold: str, films: Sequence[Film], stored: Mapping[str, Any]
) -> list[FilmOutputs]:
    """Classify all films of a fold by joints, and add the stored results by events."""
    tracks = {film.name: film.track for film in films}
    outputs = []
    for name in sorted({key.split("/")[0] for key in stored if key.startswith(f"{fold}__")}):
        events, start_us, shown, period_us = (
            stored[f"{name}/{key}"] for key in ("probabilities", "start_us", "shown", "period_us")
        )
        joints = None
        known = np.zeros(len(events), np.bool_)
        if name in tracks:
            track = tracks[name]
            if period_us:
                track = repeat_track(track, int(period_us), int(start_us[-1]) + JOINT_WINDOW_US)
            curves, known = sample_curves(track, start_us, start_us + JOINT_WINDOW_US)
            with torch.no_grad():
                joints = network(torch.from_numpy(curves)).numpy()

        outputs.append(FilmOutputs(name, events, shown, joints, known))

    return outputs


def count(films: Sequence[FilmOutputs], weight: float, bias: float) -> dict[str, list[int]]:
    """Count films per class: all, correct, certain and correct, certain and wrong.

    A wrong prediction of other gestures is not counted as certain and wrong.
    """
    certain = InferConfig().segments.enter
    counts = {name: [0, 0, 0, 0] for name in (*GESTURES[:3], "air", OTHER)}
    for film in films:
        mean = film.mean(weight, bias)
        name = "air" if GESTURES[film.label].startswith("air") else GESTURES[film.label]
        label = OTHER_LABEL if mean is None else int(mean.argmax())
        is_right = mean is not None and label == film.label
        is_certain = mean is not None and mean.max() >= certain
        is_wrong = is_certain and not is_right and label != OTHER_LABEL
        added = 1, is_right, is_right and is_certain, is_wrong
        counts[name] = [before + int(more) for before, more in zip(counts[name], added, strict=True)]

    return counts


def score(counts: dict[str, list[int]]) -> float:
    """Return the objective for weight and bias.

    Share of correct claps and waves, plus share of correct other gestures, minus twice the share of other gestures that
    are certain and wrong.
    """
    films = 0
    right = 0
    for name in GESTURES[:3]:
        films_of_class, right_of_class, *_ = counts[name]
        films += films_of_class
        right += right_of_class

    others, right_others, _, wrong = counts[OTHER]
    return right / films + (right_others - 2 * wrong) / others


def select(films: Sequence[FilmOutputs]) -> tuple[float, float]:
    """Select the best weight and bias; ties go to the smallest weight, then to the smallest absolute bias."""

    def rank(choice: tuple[float, float]) -> tuple[float, float, float]:
        weight, bias = choice
        return score(count(films, weight, bias)), -weight, -abs(bias)

    return max(itertools.product(WEIGHTS, OTHER_BIASES), key=rank)


def print_counts(title: str, counts: dict[str, list[int]]) -> None:
    texts = (f"{name} {right}/{films} ({sure}; {wrong})" for name, (films, right, sure, wrong) in counts.items())
    print(f"{title}: {', '.join(texts)}", flush=True)


def measure_folds(arguments: argparse.Namespace) -> None:
    """Print the results by events, by joints and by both in two-fold cross-validation over the films."""
    films = read_films(arguments.films)
    drawn, skeletons = read_windows(arguments.skeletons, arguments.people)
    with np.load(arguments.events) as file:
        stored = dict(file)

    outputs: dict[str, list[FilmOutputs]] = {}
    for tested, trained in (("2", "1"), ("1", "2")):
        chosen = [film for film in films if film.fold == trained]
        network = train(drawn, skeletons, chosen, seed=arguments.seed, steps=arguments.steps).network
        outputs[tested] = classify_films(network, tested, films, stored)

    all_films = [*outputs["1"], *outputs["2"]]
    tracked = [film for film in all_films if film.known.any()]
    print("class correct/films (certain and correct; certain and wrong)")
    for title, counted in (("all films", all_films), ("films with a track", tracked)):
        print(f"{title}: {len(counted)}")
        print_counts("  events", count(counted, 0, 0))
        print_counts("  joints", count(counted, 1, 0))
        for weight, bias in itertools.product(WEIGHTS[1:], OTHER_BIASES):
            print_counts(f"  both, weight {weight}, bias {bias}", count(counted, weight, bias))

    total: dict[str, list[int]] = {}
    for tested, trained in (("1", "2"), ("2", "1")):
        weight, bias = select(outputs[trained])
        counts = count(outputs[tested], weight, bias)
        print_counts(f"both, fold {tested}, weight {weight} and bias {bias} selected on fold {trained}", counts)
        for name, row in counts.items():
            total[name] = np.add(total.get(name, 0), row).tolist()

    print_counts("both, selected on the other fold", total)
    weight, bias = select(all_films)
    print(f"selected on all films: weight {weight}, bias {bias}")


def train_all(arguments: argparse.Namespace) -> None:
    """Train a network on all films, if there are any, and write it."""
    drawn, skeletons = read_windows(arguments.skeletons, arguments.people)
    films = [] if arguments.films is None else read_films(arguments.films)
    trained = train(drawn, skeletons, films, seed=arguments.seed, steps=arguments.steps, weight=arguments.weight)
    network = trained.network
    with torch.no_grad():
        network.linear.bias[OTHER_LABEL] += arguments.other
    JointClassifier(network, arguments.weight).save(arguments.out)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    filming = commands.add_parser("film", help="film rendered people, and track them")
    filming.add_argument("folder", type=Path)
    filming.add_argument("--clips", type=int, default=1000, help="number of films (default: 1000)")
    filming.add_argument("--seed", type=int, default=0)
    filming.set_defaults(run=film_people)

    events = commands.add_parser("events")
    events.add_argument("recordings", type=Path)
    events.add_argument("checkpoints", nargs=2)
    events.add_argument("--out", type=Path, required=True)
    events.set_defaults(run=classify_events)

    for name, run in (("folds", measure_folds), ("train", train_all)):
        command = commands.add_parser(name)
        command.add_argument("skeletons", type=Path)
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--people", type=int, default=130, help="drawn people (default: 130)")
        command.add_argument("--steps", type=int, default=700, help="training steps (default: 700)")
        command.set_defaults(run=run)

        if name == "folds":
            command.add_argument("films", type=Path)
            command.add_argument("events", type=Path)
        else:
            command.add_argument("--films", type=Path)
            command.add_argument("--out", type=Path, required=True)
            command.add_argument("--weight", type=float, required=True)
            command.add_argument(
                "--other", type=float, default=0.0, help="Bias added to the logit of other gestures; default: 0."
            )

    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
