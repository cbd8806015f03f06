"""Compare the integer rule in numpy, its kernel and its C code on many windows, with several compilers.

    dvspipe quantise nmnist-synthetic data.kind=nmnist data.root=NMNIST --part all -o n8.safetensors
    python scripts/studies/compiled.py n8.safetensors NMNIST --windows 3300 --random 700 \
        -c 'gcc -O2' -c 'clang -O2' -c 'gcc -m32 -O2' -c 'powerpc-linux-gnu-gcc -O2 -static : qemu-ppc'

The scores after every step must be equal. After a colon comes the program that runs the code of another machine.
Windows start at random times of the recordings; random windows have counts up to 255, so that membranes saturate.
"""

from __future__ import annotations

import argparse
import shlex
import subprocess
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from dvspipe.checkpoints.integer import IntegerClassifier
from dvspipe.encoding import encode
from dvspipe.formats import read
from dvspipe.integers.c_code import export_c
from dvspipe.networks.integer import trace
from dvspipe.networks.integer_kernel import run_fast

SUFFIXES = (".bin", ".bs2", ".h5")
MIN_SHARE = 0.5  # share of a window inside the recording
BATCH = 256  # windows per process
FLAGS = ("-Wall", "-Wextra", "-Werror", "-std=c99", "-pedantic")
DRIVER = r"""
#include <stdio.h>
#include "dvspipe_network.h"

static uint8_t counts[DVSPIPE_INPUTS];
static int64_t scores[DVSPIPE_CLASSES];

int main(void)
{
    long step;
    int k, byte;
    for (step = 0; fread(counts, sizeof counts, 1, stdin) == 1; step++) {
        if (step % DVSPIPE_STEPS == 0)
            dvspipe_reset();
        dvspipe_step(counts, scores);
        for (k = 0; k < DVSPIPE_CLASSES; k++)
            for (byte = 0; byte < 8; byte++)
                putchar((int)((uint64_t)scores[k] >> 8 * byte & 0xff));
    }
    return 0;
}
"""


def main() -> None:
    """Compare all windows, and print the number of equal ones for each compiler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("classifier", type=Path, help="file of dvspipe quantise")
    parser.add_argument("folders", type=Path, nargs="*", help="folders of recordings")
    parser.add_argument("--windows", type=int, default=100, help="windows of recordings, evenly from all of them")
    parser.add_argument("--random", type=int, default=100, help="random windows")
    parser.add_argument("-c", "--compiler", action="append", default=[], help="compiler and options [: runner]")
    arguments = parser.parse_args()
    classifier = IntegerClassifier.load(arguments.classifier)
    rng = np.random.default_rng(0)
    windows = [
        *cut_windows(classifier, find_recordings(arguments.folders), arguments.windows, rng),
        *draw_windows(classifier, arguments.random, rng),
    ]
    expected = []
    saturated = 0

    for counts in windows:
        steps = [*trace(classifier.network, counts)]
        expected.append(np.stack([step.state.scores for step in steps]))
        saturated += any(layer.saturated for step in steps for layer in step.layers)

    print(
        f"{arguments.classifier}: {len(windows)} windows, {arguments.random} of them random; membranes saturate in "
        f"{saturated}",
        flush=True,
    )
    kernel = [run_fast(classifier.network, counts) for counts in windows]
    report("numba", kernel, expected)
    with TemporaryDirectory() as folder:
        export_c(arguments.classifier, Path(folder))
        for command in arguments.compiler:
            report(command, run_c(command, Path(folder), classifier, windows), expected)


def find_recordings(folders: list[Path]) -> list[Path]:
    """Return the recordings in the folders, sorted."""
    return sorted(path for folder in folders for path in folder.rglob("*") if path.suffix in SUFFIXES)


def cut_windows(
    classifier: IntegerClassifier, paths: list[Path], count: int, rng: np.random.Generator
) -> Iterator[NDArray[np.uint8]]:
    """Yield windows at random times; the first window of a recording starts at its first event."""
    bins = classifier.bins
    window_us = bins.steps * bins.step_us
    for path, number in zip(paths, np.bincount(np.arange(count) % max(len(paths), 1), minlength=1), strict=False):
        events = read(path, sensor=classifier.config.sensor)
        latest = max(0, events.duration_us - round(MIN_SHARE * window_us))
        for start in [0, *rng.integers(0, latest + 1, number)][:number]:
            yield encode(events, bins, start_us=int(events.t[0]) + int(start))


def draw_windows(classifier: IntegerClassifier, count: int, rng: np.random.Generator) -> Iterator[NDArray[np.uint8]]:
    """Yield random windows, from sparse and small counts to dense and large counts."""
    for density in np.geomspace(0.001, 1, count):
        active = rng.random((classifier.bins.steps, *classifier.network.shape)) < density
        yield (active * rng.integers(1, 1 + rng.integers(1, 256), active.shape)).astype(np.uint8)


def run_c(
    command: str, folder: Path, classifier: IntegerClassifier, windows: list[NDArray[np.uint8]]
) -> list[NDArray[np.int64]]:
    """Return the scores [T, K] of each window from the compiled code."""
    compiler, _, runner = command.partition(" : ")
    source = folder / "driver.c"
    source.write_text(DRIVER)
    sources = [source, folder / "dvspipe_network.c"]
    subprocess.run([*shlex.split(compiler), *FLAGS, *sources, "-o", folder / "driver"], check=True)
    scores = []

    for first in range(0, len(windows), BATCH):
        part = windows[first : first + BATCH]
        done = subprocess.run(
            [*shlex.split(runner), folder / "driver"], input=np.stack(part).tobytes(), capture_output=True, check=True
        )
        scores += [*np.frombuffer(done.stdout, "<i8").reshape(len(part), -1, classifier.network.classes)]

    return scores


def report(name: str, found: list[NDArray[np.int64]], expected: list[NDArray[np.int64]]) -> None:
    """Print the number of windows whose scores are equal in all steps."""
    equal = sum(np.array_equal(scores, right) for scores, right in zip(found, expected, strict=True))
    print(f"{name}: {equal} of {len(expected)} windows are equal", flush=True)


if __name__ == "__main__":
    main()
