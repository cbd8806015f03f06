"""Convert recordings of people, whose terms allow products, to tracks that train the joint network.

    python scripts/weights/tracks.py SOURCES TRACKS

SOURCES contains a copy of each repository as SOURCES/<source>/: vicon, hoffmann, laban, intel; films.tsv has their
addresses and terms. Writes TRACKS/training/<class>/<source>-<person>_<clip>.csv, and TRACKS/test of the people in
HELD_OUT. A class that is not one of DVS128 Gesture is other gestures.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from dvspipe.people import JOINTS, Track, make_track
from dvspipe.people.films import JOINT_LOOKS
from dvspipe.people.network import Floats
from dvspipe.people.tracking import track as track_person

HELD_OUT = ("vicon-5", "vicon-7", "vicon-10")  # people whose tracks only test the networks
Clip = tuple[str, str, Track]  # class, name, track

RATE_HZ = 60  # written tracks; fast claps need more than the 30 Hz of films
CLAP, RIGHT_WAVE, LEFT_WAVE = "hand_clapping", "right_hand_wave", "left_hand_wave"

# Vicon Physical Action. There are no markers at shoulders and hands: proportions of Drillis and Contini (1966).
VICON_HZ = 200
VICON_MARKERS = ("nose", "left_elbow", "left_wrist", "right_elbow", "right_wrist")  # m1 to m5; m6 and m8 are the knees
VICON_WAVES = (1, 2, 3, 5, 7, 8)  # people whose wrist moves
SHOULDER_HEIGHT = 0.82  # relative to the height of the head
HALF_SHOULDERS = 0.11
UPPER_ARM = 0.186
KNUCKLES_M = 0.09  # from the wrist, in line with the forearm
VICON_RISE_S = 1.0  # start of a clip, in which hands rise

MEDIAPIPE = (0, *range(11, 25))  # indices of JOINTS in the 33 joints of MediaPipe Pose
MEDIAPIPE_HZ = 15
PICTURE_ASPECT = 4 / 3
SHOULDERS_M = 0.36
PICTURE_DEPTH = 0.4  # MediaPipe's depth in the picture is too large

KINECT = {  # joint of the file of LabanotationSuite: its index
    "nose": 3,
    "left_shoulder": 4,
    "left_elbow": 5,
    "left_wrist": 6,
    "left_index": 7,
    "right_shoulder": 8,
    "right_elbow": 9,
    "right_wrist": 10,
    "right_index": 11,
}


def place_joints(places: dict[str, Floats], times_s: Floats) -> Track:
    """Return the track of some joints, [N, 3] each: right in the picture, up, to the camera."""
    points = np.zeros((len(times_s), len(JOINTS), 3))
    for name, place in places.items():
        points[:, JOINTS.index(name)] = place

    for side in ("left", "right"):
        for finger in ("index", "pinky"):
            if f"{side}_{finger}" not in places:
                wrist = places[f"{side}_wrist"]
                forearm = wrist - places[f"{side}_elbow"]
                knuckles = KNUCKLES_M * forearm / np.linalg.norm(forearm, axis=-1, keepdims=True)
                hand = places.get(f"{side}_index", wrist + knuckles)
                points[:, JOINTS.index(f"{side}_{finger}")] = hand

    return make_track(np.round(times_s * 1e6).astype(np.int64), points)


def read_vicon(path: Path) -> Track:
    """Read the markers of a clip of the Vicon Physical Action data set: millimetres, z up."""
    markers = np.loadtxt(path, usecols=range(1, 28)).reshape(-1, 9, 3) / 1000
    seen = (markers[:, :5] != 0).any(axis=-1).all(axis=-1)
    frames = np.flatnonzero(seen)[:: round(VICON_HZ / RATE_HZ)]
    frames = frames[frames > VICON_RISE_S * VICON_HZ] if len(frames) > 2 * VICON_RISE_S * RATE_HZ else frames
    markers = markers[frames]

    # The direction from right to left is horizontal: by the knees and elbows, in the mean of the clip.
    across = np.median(markers[:, [5, 1]] - markers[:, [7, 3]], axis=(0, 1)) * (1, 1, 0)
    across /= np.linalg.norm(across)
    axes = np.stack([across, np.array([0.0, 0, 1]), np.cross(across, [0.0, 0, 1])])
    if np.median((markers[:, [2, 4]] - markers[:, [0]]) @ axes[2]) < 0:  # left and right are swapped
        axes[[0, 2]] *= -1
        markers = markers[:, [0, 3, 4, 1, 2, *range(5, 9)]]

    points = markers @ axes.T
    places = dict(zip(VICON_MARKERS, np.moveaxis(points[:, :5], 1, 0), strict=True))
    height = float(np.percentile(points[:, 0, 1], 90))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        elbow = places[f"{side}_elbow"]
        near = places["nose"] + height * np.array([sign * HALF_SHOULDERS, SHOULDER_HEIGHT - 1, 0])
        away = near - elbow
        places[f"{side}_shoulder"] = elbow + UPPER_ARM * height * away / np.linalg.norm(away, axis=-1, keepdims=True)

    return place_joints(places, frames / VICON_HZ)


def convert_vicon(folder: Path) -> Iterator[Clip]:
    for path in sorted(folder.rglob("*.txt")):
        if not path.parts[-3].startswith("sub"):
            continue
        person = int(path.parts[-3].removeprefix("sub"))
        action = path.stem.lower()
        name = {"clapping": CLAP, "waving": RIGHT_WAVE if person in VICON_WAVES else ""}.get(action, action)
        if not name:
            continue

        track = read_vicon(path)
        if name == RIGHT_WAVE:
            heights = [np.median(track.point(f"{side}_wrist")[:, 1]) for side in ("right", "left")]
            name = RIGHT_WAVE if heights[0] > heights[1] else LEFT_WAVE
        yield name, f"vicon-{person}_{action.split()[0]}", track


def read_mediapipe(folder: Path) -> Track:
    """Read a clip of landmarks of MediaPipe: a file per picture; x, y, z and visibility in the picture."""
    paths = sorted(folder.glob("*.npy"), key=lambda path: int(path.stem))
    landmarks = np.stack([np.load(path)[: 33 * 4] for path in paths]).reshape(-1, 33, 4)[:, MEDIAPIPE]
    shown = landmarks.any(axis=(1, 2))
    landmarks = landmarks[shown]

    points = landmarks[..., :3] * (PICTURE_ASPECT, -1, -PICTURE_DEPTH * PICTURE_ASPECT)
    across = points[:, JOINTS.index("left_shoulder")] - points[:, JOINTS.index("right_shoulder")]
    points *= SHOULDERS_M / np.median(np.abs(across[:, 0]))
    times_us = np.flatnonzero(shown) * 1_000_000 // MEDIAPIPE_HZ
    return make_track(times_us.astype(np.int64), points, np.clip(landmarks[..., 3], 0, 1))


def convert_hoffmann(folder: Path) -> Iterator[Clip]:
    # Raised hands that open and close, or count, look like a wave whose hand is still: neither class.
    for clip in sorted(path for path in folder.glob("MP_Data/Waving/*") if path.is_dir()):
        yield RIGHT_WAVE, f"hoffmann-1_Waving_{clip.name}", read_mediapipe(clip)


def convert_laban(folder: Path) -> Iterator[Clip]:
    for path in sorted(folder.rglob("Ges0*.csv")):
        rows = [line.strip().split(",")[:81] for line in path.read_text().splitlines()]
        numbers = np.array([row for row in rows if len(row) == 81], float)
        joints = numbers[:, 1:].reshape(-1, 20, 4)[..., :3] * (1, 1, -1)
        places = {name: joints[:, index] for name, index in KINECT.items()}
        name = RIGHT_WAVE if "wavehand" in path.name else path.stem.split("_")[1]
        yield name, f"laban-1_{path.stem}", place_joints(places, np.arange(len(joints)) / 30)


def convert_intel(folder: Path) -> Iterator[Clip]:
    for path in sorted(folder.rglob("*.m[kp][v4]")):
        name = CLAP if path.stem == "school" else "sign"
        yield name, f"intel-1_{path.stem}", track_person(path, config=JOINT_LOOKS)


SOURCES = {
    "vicon": convert_vicon,
    "hoffmann": convert_hoffmann,
    "laban": convert_laban,
    "intel": convert_intel,
}


def main() -> None:
    """Convert all sources that exist."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sources", type=Path)
    parser.add_argument("tracks", type=Path)
    arguments = parser.parse_args()

    for source, convert in SOURCES.items():
        if not (arguments.sources / source).is_dir():
            print(f"{arguments.sources / source}: not a folder; skipped", flush=True)
            continue

        counts = Counter[str]()
        for name, clip, track in convert(arguments.sources / source):
            part = "test" if clip.split("_")[0] in HELD_OUT else "training"
            folder = arguments.tracks / part / name
            folder.mkdir(parents=True, exist_ok=True)
            rate_hz = 1e6 / np.median(np.diff(track.times_us))
            every = max(1, round(rate_hz / RATE_HZ))
            track.select(np.arange(len(track.times_us)) % every == 0).write(folder / f"{clip}.csv")
            counts[name] += 1
        print(f"{source}: {dict(counts)}", flush=True)


if __name__ == "__main__":
    main()
