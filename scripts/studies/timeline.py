"""Measure a checkpoint on long recordings joined from short ones.

python scripts/studies/timeline.py gestures CHECKPOINT -o OUT                60 s per person (synthetic)
python scripts/studies/timeline.py digits CHECKPOINT -o OUT --data DIR       synthetic digits of DIR/mnist (test part)
python scripts/studies/timeline.py real-digits CHECKPOINT -o OUT --data DIR  20 recordings of DIR/nmnist/Test

OUT/streams contains the recordings and their label files, OUT/answers the output of `dvspipe infer`. All other
arguments, such as --hop-us 60000 or --stateful, are passed to `dvspipe infer`.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from dvspipe.base.labels import GESTURES
from dvspipe.events import Events, concatenate
from dvspipe.formats import read, write
from dvspipe.report import score_line
from dvspipe.results import OutputFolder, Prediction, read_rows
from dvspipe.synthesis import DIGIT_SENSOR, read_mnist, record_digit, record_session

FIRST_PERSON = 5_000  # no person in training has this number or a larger one
GESTURES_EACH = 10  # each 3 to 6 s, with 0.8 to 2.5 s of rest: about a minute
DIGITS = 20
MIN_PAUSE_US = 150_000
MAX_PAUSE_US = 600_000

Stream = tuple[str, Events, list[tuple[str, int, int]]]
"""Name, events, and labels with start and end in microseconds."""


def gesture_streams(_data: Path | None, count: int, seed: int) -> Iterator[Stream]:
    for number in range(count):
        labels = np.random.default_rng([seed, number]).permutation(len(GESTURES))[:GESTURES_EACH].tolist()
        events, plan = record_session(labels, person=FIRST_PERSON + number, session=0, seed=seed)
        yield f"synthetic-person{number}", events, [(GESTURES[one.label], one.start_us, one.end_us) for one in plan]


def digit_streams(data: Path | None, count: int, seed: int) -> Iterator[Stream]:
    images, digits = read_mnist(_require(data) / "mnist", "test")
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        chosen = rng.choice(len(images), DIGITS, replace=False)
        clips = [(str(digits[i]), record_digit(images[i], np.random.default_rng([seed, number, i]))) for i in chosen]
        yield f"synthetic-digits{number}", *_join(clips, rng)


def real_digit_streams(data: Path | None, count: int, seed: int) -> Iterator[Stream]:
    files = sorted((_require(data) / "nmnist" / "Test").glob("*/*.bin"))
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        chosen = [files[i] for i in rng.choice(len(files), DIGITS, replace=False)]
        yield f"real{number}", *_join([(file.parent.name, read(file, sensor=DIGIT_SENSOR)) for file in chosen], rng)


def _require(data: Path | None) -> Path:
    if data is None:
        sys.exit("--data: missing (expected the folder of test data)")
    return data


def _join(clips: Sequence[tuple[str, Events]], rng: np.random.Generator) -> tuple[Events, list[tuple[str, int, int]]]:
    """Join recordings with random pauses; return the events, and the labels with start and end in microseconds."""
    parts = []
    spans = []
    now_us = 0
    for name, events in clips:
        parts.append(events.shift_time(now_us - int(events.t[0])))
        spans.append((name, now_us, int(parts[-1].t[-1]) + 1))
        now_us = spans[-1][2] + int(rng.integers(MIN_PAUSE_US, MAX_PAUSE_US))
    return concatenate(parts, parts[0].sensor), spans


STREAMS: dict[str, tuple[Callable[[Path | None, int, int], Iterator[Stream]], int]] = {
    "gestures": (gesture_streams, 3),
    "digits": (digit_streams, 3),
    "real-digits": (real_digit_streams, 1),
}
"""Kinds of streams: the generator function, and the default number of streams."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=STREAMS)
    parser.add_argument("checkpoint")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--data", type=Path)
    parser.add_argument("-n", "--number", type=int, help="number of streams")
    parser.add_argument("--seed", type=int, default=0)
    given, others = parser.parse_known_args()
    make, default = STREAMS[given.kind]
    streams = given.out / "streams"

    for name, events, spans in make(given.data, given.number or default, given.seed):
        write(streams / f"{name}.h5", events, overwrite=True)
        rows = "".join(f"{label},{start_us},{end_us}\n" for label, start_us, end_us in spans)
        (streams / f"{name}_labels.csv").write_text(f"class,start_us,end_us\n{rows}", encoding="utf-8")
        print(f"{name}: {len(events):,} events in {events.duration_us * 1e-6:.1f} s, {len(spans)} labels", flush=True)

    command = [sys.executable, "-m", "dvspipe", "infer", given.checkpoint, str(streams), "--labels", str(streams)]
    subprocess.run([*command, "--out", str(given.out / "answers"), "--overwrite", *others], check=True)
    for answer in read_rows(OutputFolder(given.out / "answers").predictions, Prediction):
        if answer.scores is not None:
            print(f"{answer.folder}: {score_line(answer.scores)}")


if __name__ == "__main__":
    main()
