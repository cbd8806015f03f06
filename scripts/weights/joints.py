"""Train the joint network on drawn movements and tracks of people, and score it on tracks of other people.

    python scripts/weights/joints.py train TRACKS/training CLIPS/tracks --out joints.safetensors
    python scripts/weights/joints.py score TRACKS/test joints.safetensors

`tracks.py` writes TRACKS, and `clips.py` CLIPS. Training takes about five minutes on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from arms import draw_tracks, sample_windows
from joint_training import JointWindows, count_correct, train_joints
from movements import REPERTOIRE
from numpy.typing import NDArray
from tracked import mirror_class

from dvspipe.base.gestures import GESTURES, OTHER
from dvspipe.people import Track
from dvspipe.people.joints import JOINT_WINDOW_US, POSITIONS, JointClassifier, mirror_curves, sample_curves

WEIGHT = 0.7  # weight of the log probabilities by joints, chosen with ENTER and BIAS on 117 films
ENTER = 0.85  # probability from which a gesture of a film is certain
PEOPLE = 400  # drawn people
DRAWN_PER_PERSON = {OTHER: 20, "hand_clapping": 6, "right_hand_wave": 3, "left_hand_wave": 3}  # others: 1
DRAWN_WINDOWS = 3  # windows of each drawn movement
BATCH = 128
SHARES = (0.55, 0.15, 0.3)  # drawn movements, tracks of people, and tracks of films of rendered people in a batch
STEPS = 4000
SMOOTHING = 0.02  # label smoothing; with 0.1, no probability reaches 0.9
NOISE = 0.015  # arm lengths
SEED = 4
BIAS = {"hand_clapping": 1.0, "right_hand_wave": 0.5, "left_hand_wave": 0.5}
"""Added to the logits of classes after the training."""

WINDOWS = {"vicon": 14, "hoffmann": 8, "laban": 24, "intel": 24}
"""Windows of each track, by source: many of sources with few tracks."""
RENDERED_STARTS_US = np.array([0, 60_000])  # starts of the windows in the film of a rendered person
GESTURE_FACTOR = 3  # times as many windows of Vicon's claps and waves

WRISTS = {(4, 22): "left", (10, 24): "right"}
"""Columns of height and confidence of a wrist: the side whose gestures do not need this wrist."""
RAISED = -0.5  # height of a raised wrist, in arm lengths from the shoulder
MAX_DOUBT = 0.7  # doubt that remains in a wrist that performs a gesture, relative to the drawn doubt

MIRRORED = np.array([GESTURES.index(mirror_class(name)) for name in GESTURES])


def find_label(name: str) -> int:
    return GESTURES.index(name) if name in GESTURES else GESTURES.index(OTHER)


def read_tracks(folder: Path) -> Iterator[tuple[str, int, Track]]:
    """Yield person, label and track of each file <class>/<person>_<clip>.csv."""
    for path in sorted(folder.glob("*/*.csv")):
        track = Track.read(path)
        yield path.stem.split("_")[0], find_label(path.parent.name), track.select(track.present)


def join(parts: Iterable[JointWindows]) -> JointWindows:
    curves, labels = zip(*((part.curves, part.labels) for part in parts), strict=True)
    return JointWindows(np.concatenate(curves), np.concatenate(labels))


def show_hands(windows: JointWindows, rng: np.random.Generator) -> JointWindows:
    """Raise the confidence of raised wrists that perform a gesture: people who show a gesture show their hands."""
    names = np.array(GESTURES)[windows.labels]
    curves = windows.curves.copy()
    for (height, confidence), other_side in WRISTS.items():
        shown = (names != OTHER) & ~np.char.startswith(names, other_side)
        doubt = 1 - curves[..., confidence]
        certain = 1 - doubt * rng.uniform(0, MAX_DOUBT, (len(names), 1))
        raised = shown[:, None] & (curves[..., height] > RAISED)
        curves[..., confidence] = np.where(raised, certain, curves[..., confidence])
    return JointWindows(curves, windows.labels)


def sample_tracks(folder: Path, rng: np.random.Generator) -> JointWindows:
    """Sample windows of tracks of people."""
    parts = []
    for person, label, track in read_tracks(folder):
        source = person.split("-")[0]
        factor = GESTURE_FACTOR if source == "vicon" and GESTURES[label] != OTHER else 1
        parts.append(sample_windows([(track, label)], factor * WINDOWS[source], rng))
    return show_hands(join(parts), rng)


def cut_rendered(folder: Path) -> JointWindows:
    """Cut the tracks of films of rendered people: they have the errors of the pose network, not drawn ones."""
    curves, labels = [], []
    for _, label, track in read_tracks(folder):
        windows, visible = sample_curves(track, RENDERED_STARTS_US, RENDERED_STARTS_US + JOINT_WINDOW_US)
        curves.append(windows[visible])
        labels += [label] * int(visible.sum())
    return JointWindows(np.concatenate(curves), np.array(labels))


def mirror(windows: JointWindows, chosen: NDArray[np.bool_]) -> JointWindows:
    """Swap the left and right arm of the chosen windows."""
    curves = windows.curves.copy()
    curves[chosen] = mirror_curves(curves[chosen])
    return JointWindows(curves, np.where(chosen, MIRRORED[windows.labels], windows.labels))


def sample_batch(sources: Sequence[JointWindows], rng: np.random.Generator) -> JointWindows:
    """Sample a batch; half of it is mirrored."""
    parts = []
    for windows, share in zip(sources, SHARES, strict=True):
        chosen = rng.integers(len(windows.labels), size=round(share * BATCH))
        parts.append(JointWindows(windows.curves[chosen], windows.labels[chosen]))

    windows = join(parts)
    batch = mirror(windows, rng.random(len(windows.labels)) < 0.5)
    batch.curves[..., :POSITIONS] += rng.normal(0, NOISE, batch.curves[..., :POSITIONS].shape)
    return batch


def train(arguments: argparse.Namespace) -> None:
    rng = np.random.default_rng(SEED)
    per_person = [label for label, name in enumerate(GESTURES) for _ in range(DRAWN_PER_PERSON.get(name, 1))]
    drawn = sample_windows(draw_tracks(REPERTOIRE, per_person * PEOPLE, rng), DRAWN_WINDOWS, rng)
    sources = (show_hands(drawn, rng), sample_tracks(arguments.tracks, rng), cut_rendered(arguments.rendered))
    print("windows, drawn, of people and rendered:", [len(windows.labels) for windows in sources], flush=True)

    joints = train_joints(
        lambda batches: sample_batch(sources, batches),
        GESTURES,
        steps=STEPS,
        weight=WEIGHT,
        seed=SEED,
        smoothing=SMOOTHING,
    )
    with torch.no_grad():
        for name, bias in BIAS.items():
            joints.network.linear.bias[GESTURES.index(name)] += bias
    replace(joints, enter=ENTER).save(arguments.out)


def score(arguments: argparse.Namespace) -> None:
    """Print how many windows of each gesture of each held-out person are right."""
    joints = JointClassifier.load(arguments.joints)
    rng = np.random.default_rng(SEED)
    for person, label, track in read_tracks(arguments.tracks):
        windows = sample_windows([(track, label)], 40, rng)
        print(f"{person} {GESTURES[label]}: {count_correct(joints, windows)} of {len(windows.labels)}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    training = commands.add_parser("train")
    training.add_argument("tracks", type=Path)
    training.add_argument("rendered", type=Path)
    training.add_argument("--out", type=Path, required=True)
    training.set_defaults(run=train)

    scoring = commands.add_parser("score")
    scoring.add_argument("tracks", type=Path)
    scoring.add_argument("joints", type=Path)
    scoring.set_defaults(run=score)

    arguments = parser.parse_args()
    torch.set_num_threads(1)
    arguments.run(arguments)


if __name__ == "__main__":
    main()
