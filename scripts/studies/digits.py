"""Compare synthetic digits with real ones: `python scripts/studies/digits.py DIR [-o SHEET.png]`.

Compares each real recording in DIR/nmnist/Train that the synthesis was fitted to with a synthetic recording of the same
image from DIR/mnist. Prints the means of the figures of `dvspipe compare`, and draws a sheet of pictures of both.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dvspipe.events import Events
from dvspipe.formats import read
from dvspipe.recordings.comparison import Comparison, compare
from dvspipe.synthesis import DIGIT_SENSOR, read_mnist, record_digit

LAST_FITTED = 250
WINDOWS_MS = ((30, 45), (140, 155), (250, 265))  # one in each of the three saccades
SHOWN_IDS = (5, 18, 120)
BIN_US = 5_000
BINS = 63

FIGURES = {
    "events, real": lambda c: c.a.events,
    "events, synthetic / real": lambda c: c.ratios.events,
    "share of ON, real": lambda c: c.a.on_share,
    "share of ON, synthetic": lambda c: c.b.on_share,
    "correlation of rates, bins of 10 ms": lambda c: c.rate_correlation,
    "correlation of count maps": lambda c: c.maps.unsigned,
    "correlation of signed, blurred maps of 40 ms": lambda c: c.maps.signed_blurred_per_window,
    "voxel F1, 10 ms x 1 pixel x polarity": lambda c: c.voxels.f1,
    "from a real event to the nearest synthetic, ms": lambda c: c.nearest_to_a.median_us / 1000,
    "from a synthetic event to the nearest real, ms": lambda c: c.nearest_to_b.median_us / 1000,
    "distance of intervals, decades": lambda c: c.interval_distance,
}


def pairs(folder: Path, seed: int) -> dict[int, tuple[Events, Events]]:
    """Return a real and a synthetic recording per id."""
    images, _ = read_mnist(folder / "mnist", "train")
    files = {int(path.stem): path for path in (folder / "nmnist" / "Train").glob("*/*.bin")}
    return {
        i: (read(files[i], sensor=DIGIT_SENSOR), record_digit(images[i - 1], np.random.default_rng([seed, i])))
        for i in sorted(files)
        if i <= LAST_FITTED
    }


def print_figures(compared: Sequence[Comparison]) -> None:
    print(f"{len(compared)} pairs{'':46} {'mean':>9} {'deviation':>9}")
    for name, figure in FIGURES.items():
        values = [figure(c) for c in compared]
        print(f"{name:52} {np.mean(values):9.3f} {np.std(values):9.3f}")


def net_map(events: Events, begin_us: int, end_us: int) -> NDArray[np.int64]:
    part = events.slice_time(begin_us, end_us)
    counts = np.zeros((DIGIT_SENSOR.height, DIGIT_SENSOR.width), np.int64)
    np.add.at(counts, (part.y, part.x), np.where(part.p, 1, -1))
    return counts


def draw_sheet(path: Path, shown: Sequence[tuple[Events, Events]]) -> None:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    widths = [*[1] * (2 * len(WINDOWS_MS)), 2]
    figure, rows = plt.subplots(
        len(shown), len(widths), figsize=(12, 1.5 * len(shown)), width_ratios=widths, layout="constrained"
    )
    for number, (axes, both) in enumerate(zip(rows, shown, strict=True)):
        for k, (begin, end) in enumerate(WINDOWS_MS):
            for side, (name, events) in enumerate(zip(("real", "synthetic"), both, strict=True)):
                axis = axes[2 * k + side]
                axis.imshow(net_map(events, 1000 * begin, 1000 * end), cmap="bwr", vmin=-5, vmax=5)
                axis.set(xticks=[], yticks=[])
                if number == 0:
                    axis.set_title(f"{name}, {begin} to {end} ms", fontsize=7)
        for name, events in zip(("real", "synthetic"), both, strict=True):
            counts = np.bincount(events.t // BIN_US, minlength=BINS)[:BINS]
            axes[-1].plot(np.arange(BINS) * BIN_US / 1000, counts, label=f"{name}: {len(events):,} events", lw=1)
        axes[-1].legend(fontsize=6, frameon=False)
        axes[-1].tick_params(labelsize=6)
    rows[0][-1].set_title("events per 5 ms, over ms", fontsize=7)
    figure.savefig(path, dpi=72)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-o", "--out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    both = pairs(arguments.folder, arguments.seed)
    print_figures([compare(real, made) for real, made in both.values()])
    if arguments.out:
        draw_sheet(arguments.out, [both[i] for i in SHOWN_IDS])


if __name__ == "__main__":
    main()
