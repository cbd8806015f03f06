"""Measure the accuracy of `dvspipe train FOLDER` on few recordings: `python scripts/studies/small_folders.py NMNIST`.

Digits are real recordings of N-MNIST; the test part has all recordings outside the training part. Gestures are
synthetic; the people of the test part appear in no other part.
"""

from __future__ import annotations

import argparse
import random
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from dvspipe import train
from dvspipe.base.labels import GESTURES
from dvspipe.formats import write
from dvspipe.synthesis import GestureClip, record_gesture
from dvspipe.training import choose_settings

SEEDS = (0, 1, 2)
DIGITS = (("017", 6), ("0123456789", 20))
GESTURE_SETS = (
    ("left_hand_wave", "right_arm_clockwise", "air_drums"),
    ("hand_clapping", "right_hand_wave", "arm_roll"),
)
TRAINED = 10  # people, each with a clip of each class
TESTED = 15


def copy_digits(nmnist: Path, folder: Path, digits: str, each: int, seed: int) -> None:
    """Copy `each` training recordings per digit to `train`, and all other recordings to `test`."""
    rng = random.Random(seed)
    for digit in digits:
        files = sorted((nmnist / "Train" / digit).glob("*.bin"))
        rng.shuffle(files)
        for part, chosen in (("train", files[:each]), ("test", files[each:])):
            (folder / part / digit).mkdir(parents=True)
            for file in chosen:
                shutil.copy(file, folder / part / digit)

        for file in (nmnist / "Test" / digit).glob("*.bin"):
            shutil.copy(file, folder / "test" / digit / f"test{file.name}")


def write_gestures(folder: Path, classes: Sequence[str], seed: int) -> None:
    """Write a synthetic clip per person and class."""
    for person in range(TRAINED + TESTED):
        part = "train" if person < TRAINED else "test"
        for name in classes:
            events = record_gesture(GestureClip(GESTURES.index(name), person=person, clip=0, seed=seed))
            write(folder / part / name / f"user{person:03d}_0.h5", [events], source="synthetic gestures")


def report(folder: Path, title: str, seed: int) -> None:
    """Train on a folder with automatically chosen settings; print test accuracy and CPU time."""
    begin_s = time.process_time()
    choice = choose_settings(folder, {"seed": seed, "jobs": 1})
    test = train(choice.config, folder / "run").test
    print(
        f"{title}, seed {seed}: {test.accuracy:.1%} ({test.correct} of {test.samples}), "
        f"{time.process_time() - begin_s:.0f} s of CPU time",
        flush=True,
    )


def main() -> None:
    """Print a line per folder and seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("nmnist", type=Path, help="folder of N-MNIST, with Train and Test")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        for seed in SEEDS:
            for digits, each in DIGITS:
                folder = Path(temporary, f"digits{digits}-{seed}")
                copy_digits(arguments.nmnist, folder, digits, each, seed)
                report(folder, f"N-MNIST {digits}, {each} of each", seed)

            for number, classes in enumerate(GESTURE_SETS):
                folder = Path(temporary, f"gestures{number}-{seed}")
                write_gestures(folder, classes, seed)
                report(folder, f"synthetic {', '.join(classes)}, {TRAINED} of each", seed)


if __name__ == "__main__":
    main()
