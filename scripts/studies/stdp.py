"""Draw the STDP rules: `python scripts/studies/stdp.py -o docs/images/stdp.png`.

The figure shows the learning window of the pair rule, and the weight change by 60 pairs over their rate, for the pair
and the triplet rule. `--run RUN` also draws the kernels of a run of mnist-stdp, as in the report of the run, to a file
beside the figure.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import torch

from dvspipe.report.charts import draw_kernels
from dvspipe.report.style import ACCENT, ORANGE, SMALL, grid_axes, new_figure, save_figure
from dvspipe.results import ActivityRecord, RunFolder
from dvspipe.rules import PairRule, TripletRule, apply_stdp

PAIR, TRIPLET = PairRule(bound="none"), TripletRule()
LAGS_MS = range(-60, 61)
RATES_HZ = (1, 5, 10, 15, 20, 25, 30, 35, 40, 45, 50)
LAG_MS, PAIRS, STEP_S = 10, 60, 1e-4  # protocol of Sjoestroem et al. 2001


def change(rule: PairRule | TripletRule, lag_ms: int, rate_hz: float, pairs: int) -> float:
    """Return the weight change by pairs of spikes, where the post spike follows the pre spike after `lag_ms`."""
    per_ms = round(1e-3 / STEP_S)
    starts = torch.tensor([round(number / rate_hz / STEP_S) for number in range(pairs)]) + 60 * per_ms
    pre, post = torch.zeros(2, int(starts[-1]) + 70 * per_ms, 1)
    pre[starts], post[starts + lag_ms * per_ms] = 1, 1
    return float(apply_stdp(torch.zeros(1, 1, dtype=torch.float64), pre, post, rule, dt_s=STEP_S)[0])


def draw_rules(path: Path) -> None:
    figure = new_figure(width=9, height=3)
    window, rates = figure.subplots(1, 2)
    grid_axes(window, "Pair rule: change of a weight by a pair of spikes")
    window.plot(LAGS_MS, [100 * change(PAIR, lag, 1, 1) for lag in LAGS_MS], color=ACCENT, linewidth=1.6)
    window.set_xlabel("post spike after pre spike, ms", **SMALL)
    window.set_ylabel("change, %", **SMALL)
    grid_axes(rates, f"Change by {PAIRS} pairs, {LAG_MS} ms apart")
    for rule, colour, name in ((PAIR, ACCENT, "pair"), (TRIPLET, ORANGE, "triplet")):
        for lag, style in ((LAG_MS, "-"), (-LAG_MS, "--")):
            values = [change(rule, lag, rate, PAIRS) for rate in RATES_HZ]
            rates.plot(RATES_HZ, values, style, color=colour, linewidth=1.6, label=f"{name}, {lag:+d} ms")
    rates.legend(frameon=False, fontsize=8, labelcolor="linecolor")
    rates.set_xlabel("pairs per second", **SMALL)
    save_figure(figure, path)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--out", type=Path, required=True, metavar="FILE.png")
    parser.add_argument("--run", type=Path, metavar="RUN")
    given = parser.parse_args(arguments)
    draw_rules(given.out)
    if given.run is not None:
        kernels = ActivityRecord.read(RunFolder(given.run).activity).kernels
        draw_kernels(kernels, given.out.with_name(f"{given.out.stem}-kernels.png"))


if __name__ == "__main__":
    main()
