"""Compare synthetic gestures with real ones, and probe them with linear classifiers.

python scripts/studies/gestures.py likeness DIR/gesture    statistics of three real clips and of synthetic clips
python scripts/studies/gestures.py probes                  linear classifiers on features that should not help
python scripts/studies/gestures.py unseen CHECKPOINT ...    accuracy on new people, with known and unknown cameras
python scripts/studies/gestures.py real DIR CHECKPOINT ...  predictions for real recordings and videos
"""

from __future__ import annotations

import argparse
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

import numpy as np
from adaptation import SENSORS, read_sensor

from dvspipe import Classifier, Prediction, adapt
from dvspipe.base.errors import DataError
from dvspipe.base.labels import GESTURES
from dvspipe.events import Events, SensorSize
from dvspipe.formats import read
from dvspipe.synthesis import GESTURE_SENSOR, GestureClip, record_film, record_gesture
from dvspipe.synthesis.webcam import Webcam

REAL = {
    "1.bs2": "hand_clapping",
    "2.bs2": "right_hand_wave",
    "8.bs2": "arm_roll",
}  # label numbers of IBM, starting at 1
SPAN_US = 1_450_000  # length of the real clips
BLOCK_PX = 16
RATE_BIN_US = 2_000
PICTURE_US = 33_333


def statistics(events: Events) -> dict[str, float]:
    """Return statistics of the first 1.45 s of a recording that do not depend on the shapes in it."""
    events = events.slice_time(0, SPAN_US)
    t = events.t
    x = events.x.astype(np.int64)
    y = events.y.astype(np.int64)
    width = events.sensor.width
    height = events.sensor.height
    pixel = y * width + x

    counts = np.bincount(pixel, minlength=width * height).reshape(height, width)
    blocks = counts.reshape(height // BLOCK_PX, BLOCK_PX, width // BLOCK_PX, BLOCK_PX).mean(axis=(1, 3)).ravel()
    busiest = np.sort(counts.ravel())[::-1].cumsum()

    bins = SPAN_US // RATE_BIN_US
    rate = np.bincount(t // RATE_BIN_US, minlength=bins)[:bins]
    rate_10_ms = rate.reshape(-1, 5).sum(axis=1)
    power = np.abs(np.fft.rfft(rate - rate.mean())) ** 2
    hz = np.fft.rfftfreq(len(rate), RATE_BIN_US * 1e-6)
    slow = power[(hz > 0.5) & (hz < 20)].sum()
    is_gesture = (hz > 1) & (hz < 20)

    def share(low_hz: float, high_hz: float) -> float:
        return float(power[(hz >= low_hz) & (hz < high_hz)].sum() / slow)

    order = np.argsort(pixel, kind="stable")
    gaps_us = np.diff(t[order])[np.diff(pixel[order]) == 0]

    # One number for each pixel and time span of 33 ms.
    cell = (t // PICTURE_US) * width * height + pixel
    total = np.bincount(cell)
    on = np.bincount(cell, events.p)
    busy = total >= 3

    return {
        "events, thousands": len(events) / 1e3,
        "ON share": float(events.p.mean()),
        "noise, events per quiet pixel and s": float(np.quantile(blocks, 0.2)) / (SPAN_US * 1e-6),
        "width of 90 % of the events, px": float(np.subtract(*np.quantile(x, [0.95, 0.05]))),
        "height of 90 % of the events, px": float(np.subtract(*np.quantile(y, [0.95, 0.05]))),
        "middle column": float(np.median(x)),
        "middle row": float(np.median(y)),
        "pixels with half of the events": float(np.searchsorted(busiest, 0.5 * busiest[-1])),
        "pixels with more than 10 events": float((counts > 10).sum()),
        "rate: deviation / mean": float(rate_10_ms.std() / rate_10_ms.mean()),
        "rate: strongest frequency, Hz": float(hz[is_gesture][power[is_gesture].argmax()]),
        "rate: power in 3 to 8 Hz": share(3, 8),
        "rate: power in 8 to 20 Hz": share(8, 20),
        "rate: power in 95 to 125 Hz": share(95, 125),
        "same pixel again: median, ms": float(np.median(gaps_us)) * 1e-3,
        "same pixel again within 3 us": float((gaps_us <= 3).mean()),
        "same pixel again within 0.1 to 1 ms": float(((gaps_us > 100) & (gaps_us < 1000)).mean()),
        "net / all events of a busy pixel in 33 ms": float(np.abs(2 * on - total)[busy].sum() / total[busy].sum()),
    }


def likeness(folder: Path, people: int, seed: int, jobs: int) -> None:
    """Print a Markdown table per class: real statistics beside quantiles of synthetic statistics."""
    for file, name in REAL.items():
        real = statistics(read(folder / file, sensor=GESTURE_SENSOR))
        with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
            synthetic = list(pool.map(partial(_statistics_of, GESTURES.index(name), seed), range(people), chunksize=8))
        print(f"\n| {name} | real | synthetic 5 % | 50 % | 95 % | real at |\n|---|---|---|---|---|---|")
        for figure, value in real.items():
            values = np.array([figures[figure] for figures in synthetic])
            low, middle, high = np.quantile(values, [0.05, 0.5, 0.95])
            print(f"| {figure} | {value:.3g} | {low:.3g} | {middle:.3g} | {high:.3g} | {(values < value).mean():.0%} |")


def _statistics_of(label: int, seed: int, person: int) -> dict[str, float]:
    return statistics(record_gesture(GestureClip(label, person=person, clip=0, seed=seed)))


def probes(people: int, clips: int, seed: int, jobs: int) -> None:
    """Print the accuracy of linear classifiers on people outside their training data."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    clips_of_all = [
        (label, person, clip) for person in range(people) for label in range(len(GESTURES)) for clip in range(clips)
    ]
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        features_of_clips = list(pool.map(partial(_features, seed), clips_of_all, chunksize=16))

    labels, persons, _ = np.array(clips_of_all).T
    count, summed, begin = (np.array(column) for column in zip(*features_of_clips, strict=True))
    training = persons < 0.7 * people

    def accuracy(features: np.ndarray, chosen: np.ndarray) -> str:
        # Pictures have many features, so they need more regularisation.
        _, feature_count = features.shape
        strength = 0.01 if feature_count > 9 else 1.0
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=2000))
        probe.fit(features[training & chosen], labels[training & chosen])
        tested = ~training & chosen
        return f"{probe.score(features[tested], labels[tested]):.1%} of {tested.sum()}"

    print(f"{people} synthetic people, seed {seed}, 30 % of them only in the test:")
    print("event count, 11 classes:", accuracy(np.log(count)[:, None], labels >= 0))
    for side in ("right", "left"):
        pair = [GESTURES.index(f"{side}_arm_{way}clockwise") for way in ("", "counter_")]
        for name, features in (("time-summed picture", summed), ("first 50 ms", begin)):
            print(f"{side} arm, cw against ccw, {name}:", accuracy(np.log1p(features), np.isin(labels, pair)))


def _features(seed: int, which: tuple[int, int, int]) -> tuple[int, np.ndarray, np.ndarray]:
    """Return the number of events, and event counts per block of 4 x 4 pixels: of all events, of the first 50 ms."""
    label, person, clip = which
    events = record_gesture(GestureClip(label, person=person, clip=clip, seed=seed))

    def picture(part: Events) -> np.ndarray:
        block = (part.p * 32 + part.y // 4) * 32 + part.x // 4
        return np.bincount(block.astype(np.int64), minlength=2 * 32 * 32)

    return len(events), picture(events), picture(events.slice_time(0, 50_000))


def _record_dvs(label: int, person: int, seed: int) -> Events:
    return record_gesture(GestureClip(label, person=person, clip=0, seed=seed))


def _record_gen4(label: int, person: int, seed: int) -> Events:
    sensor = read_sensor(SENSORS[1], 100 * person + label)
    return record_gesture(GestureClip(label, person=person, clip=0, seed=seed), sensor=sensor)


def _record_webcam(label: int, person: int, seed: int) -> Events:
    return record_film(GestureClip(label, person=person, clip=0, seed=seed))


OLD_WEBCAM = Webcam(
    size=SensorSize(width=352, height=288),
    fps=20.0,
    exposure_s=0.045,
    readout_s=0.03,
    drift=0.08,
    shot=0.001,
    read=0.01,
    contrast=0.7,
    sharpen=1.0,
    shake_px=0.0,
    crf=38.0,
)
"""Webcam outside the ranges of `draw_webcam`: slower, noisier, with stronger compression."""


def _record_old_webcam(label: int, person: int, seed: int) -> Events:
    return record_film(GestureClip(label, person=person, clip=0, seed=seed), webcam=OLD_WEBCAM)


CAMERAS = {
    "DVS128, as in training": _record_dvs,
    f"{SENSORS[1]}, in no training": _record_gen4,
    "webcams, as in training": _record_webcam,
    "an old webcam, in no training": _record_old_webcam,
}
FIRST_UNSEEN = 5000


def unseen(checkpoints: list[str], people: int, seed: int, jobs: int) -> None:
    """Print the accuracy of checkpoints per camera, on people that no network was trained on."""
    labels = list(range(len(GESTURES)))
    clips = [(label, FIRST_UNSEEN + person) for person in range(people) for label in labels]
    recordings = {}
    with ProcessPoolExecutor(jobs, multiprocessing.get_context("spawn")) as pool:
        for camera, record in CAMERAS.items():
            recordings[camera] = list(pool.map(partial(record, seed=seed), *zip(*clips, strict=True), chunksize=8))

    for checkpoint in checkpoints:
        classifier = Classifier.load(checkpoint)
        print(f"\n{checkpoint}, {people} people\n\n| camera | correct | worst class |\n|---|---|---|")
        for camera, events in recordings.items():
            right = np.array(
                [_is_correct(classifier, recording, label) for recording, (label, _) in zip(events, clips, strict=True)]
            )
            of_class = right.reshape(people, -1).mean(axis=0)
            worst = int(of_class.argmin())
            print(
                f"| {camera} | {right.mean():.1%} of {len(right)} | {GESTURES[worst]}, {of_class[worst]:.0%} |",
                flush=True,
            )


def _is_correct(classifier: Classifier, events: Events, label: int) -> bool:
    """Return whether a recording is classified correctly; False if it has too few events for a window."""
    try:
        return classifier.predict(events).label == label
    except DataError:
        return False


MIRRORED = {"right_hand_wave": "left_hand_wave"}  # all other gestures keep their label when mirrored
FALSE_ALARM = 0.9  # minimum probability of one of the ten gestures
OTHER_VIDEOS = ("video/*.mkv", "rgb/kth_person03_boxing_d4.mp4", "video/bikes.mp4")


def real(data: Path, checkpoints: list[str]) -> None:
    """Print predictions for the real clips, their mirror images, the clapping video, and videos without a gesture.

    The clips are classified twice: by the original checkpoint, and after it is adapted to all six clips together.
    """
    clips = {
        f"{name} ({file})": (name, read(data / "gesture" / file, sensor=GESTURE_SENSOR)) for file, name in REAL.items()
    }
    for title, (name, events) in list(clips.items()):
        flipped = Events(events.t, events.sensor.width - 1 - events.x, events.y, events.p, events.sensor)
        clips[f"{title}, mirrored"] = (MIRRORED.get(name, name), flipped)

    for checkpoint in checkpoints:
        classifier = Classifier.load(checkpoint)
        adapted = adapt(classifier, [events for _, events in clips.values()]).classifier
        print(f"\n{checkpoint}\n\n| real recording | original | adapted to the six clips |\n|---|---|---|")
        for title, (name, events) in clips.items():
            print(
                f"| {title} | {_format(classifier.predict(events), name)} | {_format(adapted.predict(events), name)} |"
            )

        clapping = classifier.predict(data / "rgb/kth_person01_handclapping_d1.mp4")
        print(f"| rgb/kth_person01_handclapping_d1.mp4 | {_format(clapping, 'hand_clapping')} | |")
        claimed = 0
        windows = 0

        for path in (path for pattern in OTHER_VIDEOS for path in sorted(data.glob(pattern))):
            prediction = classifier.predict(path)
            wrong, count = _count_alarms(prediction)
            claimed += wrong
            windows += count
            print(
                f"| {path.relative_to(data)}: {wrong} of {count} windows: one of the ten | "
                f"{_format(prediction, GESTURES[-1])} | |"
            )

        print(f"\nfalse alarms: {claimed} of {windows} windows, {claimed / windows:.1%}")


def _format(prediction: Prediction, name: str) -> str:
    """Return a prediction as text: its class or "correct", its probability, and whether it is uncertain."""
    verdict = "correct" if prediction.class_name == name else prediction.class_name
    return f"{verdict}, {prediction.probability:.1%}{'' if prediction.certain else ', uncertain'}"


def _count_alarms(prediction: Prediction) -> tuple[int, int]:
    """Return the number of windows classified as one of the ten gestures with FALSE_ALARM or more, and of windows."""
    timeline = prediction.timeline
    claims = (timeline.labels < len(GESTURES) - 1) & (timeline.probabilities.max(axis=1) >= FALSE_ALARM)
    return int((claims & timeline.familiar).sum()), len(timeline)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["likeness", "probes", "unseen", "real"])
    parser.add_argument("paths", nargs="*", help="folder or checkpoints, see above")
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--clips", type=int, default=2)
    parser.add_argument("--seed", type=int, default=1000)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()

    if options.what == "likeness":
        likeness(Path(options.paths[0]), options.people, options.seed, options.jobs)
    elif options.what == "unseen":
        unseen(options.paths, options.people, options.seed, options.jobs)
    elif options.what == "real":
        real(Path(options.paths[0]), options.paths[1:])
    else:
        probes(options.people, options.clips, options.seed, options.jobs)


if __name__ == "__main__":
    main()
