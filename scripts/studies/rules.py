"""Train the same network by each rule and print a table of accuracies.

python scripts/studies/rules.py nmnist NMNIST -o RUNS                 recordings of N-MNIST
python scripts/studies/rules.py synthetic MADE --test NMNIST -o RUNS  dvspipe synth nmnist -o MADE --exclude NMNIST ...
python scripts/studies/rules.py gestures MADE -o RUNS                 dvspipe synth gestures -o MADE

All rules share one configuration that suits them: standardised weights, a subtracting reset without gradient, and a
loss at each step. `bptt_batch` uses the usual settings of BPTT instead; `bptt_first` and `eprop` use only the first
block. `stdp` and `first_spike` have their own networks. Their neurons spike at most once per recording and cannot
represent movement, so these rules are trained on digits only.

The first seed is trained with each learning rate. The rate with the best validation accuracy is used for all seeds.
Complete runs are not repeated; interrupted runs resume.
"""

from __future__ import annotations

import argparse
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dvspipe import train
from dvspipe.base.config import build
from dvspipe.base.overrides import parse_overrides
from dvspipe.base.trees import merge_settings
from dvspipe.base.yaml_files import read_yaml
from dvspipe.datasets import DataConfig
from dvspipe.results import EpochRow, RunFolder, TestResult, TrainingRun
from dvspipe.training import TrainConfig
from dvspipe.training.resuming import check_config

NEEDED = ("network.norm=weight", "network.reset=subtract", "network.detach_reset=true", "optimiser.loss=each_step")
USUAL = ("network.norm=batch", "network.reset=zero", "network.detach_reset=false", "optimiser.loss=mean")
SEEDS = (0, 1, 2)


@dataclass(frozen=True)
class Task:
    """Data set and training settings of a comparison.

    Args:
        config: Included configuration for all gradient-based rules.
        settings: Overrides of the configuration, KEY=VALUE.
        first: Overrides that reduce the network to its first block.
        rates: Learning rates to choose from.
        others: Included configuration and overrides of rules with their own network.
    """

    config: str
    settings: tuple[str, ...]
    first: tuple[str, ...]
    rates: tuple[float, ...]
    others: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


FIRST_SPIKES = (
    "mnist-first-spike",
    "data.kind=nmnist",
    "bins.steps=20",
    "bins.step_us=5000",
    "network.tau_syn_s=0.05",
    "network.tau_readout_s=0.01",
)
"""Settings of `first_spike`. The steps cover the first of the three movements of N-MNIST's camera."""
TASKS = {
    "nmnist": Task(
        "nmnist-ottt",
        (),
        ("network.channels=[12]", "network.padded=[true]"),
        (0.002, 0.004, 0.008),
        {
            "stdp": ("nmnist-stdp",),
            "first_spike": (*FIRST_SPIKES, "data.views=4", "augment.shift_px=3", "optimiser.epochs=30"),
        },
    ),
    "synthetic": Task(
        "nmnist-ottt",
        ("data.views=1", "data.validation=0.05", "augment.shift_px=1", "optimiser.epochs=4"),
        ("network.channels=[12]", "network.padded=[true]"),
        (0.002, 0.004, 0.008),
        {
            "stdp": ("nmnist-stdp", "data.views=1", "data.validation=0.05", "stdp.passes=1", "optimiser.epochs=2"),
            "first_spike": (*FIRST_SPIKES, "data.validation=0.05", "augment.shift_px=1"),
        },
    ),
    "gestures": Task("gesture", ("baseline=false",), ("network.channels=[16]",), (0.002, 0.004, 0.008)),
}


def list_rules(task: Task) -> dict[str, tuple[str, ...]]:
    """Return the included configuration and the overrides, KEY=VALUE, of each rule."""
    same = (task.config, *task.settings, *NEEDED)
    return {
        "bptt_batch": (task.config, *task.settings, *USUAL, "optimiser.rule=bptt"),
        "bptt": (*same, "optimiser.rule=bptt"),
        "segment": (*same, "optimiser.rule=bptt", "optimiser.segment=8"),
        **{rule: (*same, f"optimiser.rule={rule}") for rule in ("ottt", "sltt", "stllr", "decolle")},
        "bptt_first": (*same, *task.first, "optimiser.rule=bptt"),
        "eprop": (*same, *task.first, "optimiser.rule=eprop"),
        **task.others,
    }


def configure(rule: Sequence[str], settings: Sequence[str]) -> TrainConfig:
    """Return the configuration of a rule with further overrides."""
    name, *changes = rule
    over = parse_overrides([*changes, *settings])
    return build(TrainConfig, merge_settings(read_yaml(name), over, {"data": DataConfig}), name)


def train_once(config: TrainConfig, folder: Path) -> TrainingRun:
    """Train, resume or load the run in a folder."""
    place = RunFolder(folder)
    started = place.config.is_file()
    if started:
        check_config(config, place, changed=False)
        if TestResult.find(place.test) is not None:
            return TrainingRun.read(place)
    return train(config, folder, command="python scripts/studies/rules.py", resume=started)


def chosen_epoch(run: TrainingRun) -> EpochRow:
    return run.epochs[run.test.chosen_epoch - 1]


def train_rule(
    rule: Sequence[str], settings: Sequence[str], rates: Sequence[float], seeds: Sequence[int], out: Path
) -> tuple[str, list[TrainingRun]]:
    """Return the learning rate with the best validation accuracy for the first seed, and the runs of all seeds."""

    def run(rate: float, seed: int) -> TrainingRun:
        config = configure(rule, [*settings, f"seed={seed}", f"optimiser.learning_rate={rate:g}"])
        return train_once(config, out / f"{rate:g}" / str(seed))

    tried = {rate: chosen_epoch(run(rate, seeds[0])) for rate in rates}
    best = max(tried, key=lambda rate: (tried[rate].val_accuracy, -tried[rate].val_loss))
    return f"{best:g}", [run(best, seed) for seed in seeds]


def describe(rule: str, rate: str, runs: Sequence[TrainingRun]) -> str:
    """Return the row of a rule in the table."""
    tests = [run.test.accuracy for run in runs]
    validated = statistics.mean(run.test.val_accuracy for run in runs if run.test.val_accuracy is not None)
    seconds = statistics.median(row.seconds for run in runs for row in run.epochs)
    each = ", ".join(f"{100 * accuracy:.1f}" for accuracy in tests)
    mean = statistics.mean(tests)
    return f"| {rule} | {'' if rule == 'stdp' else rate} | {validated:.1%} | {each} | {mean:.1%} | {seconds:.1f} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("root", type=Path)
    parser.add_argument("--test", type=Path, help="folder of test recordings")
    parser.add_argument("-o", "--out", type=Path, required=True)
    parser.add_argument("--rules", nargs="+", help="rules to train (default: all)")
    parser.add_argument("--rates", nargs="+", type=float, help="learning rates to choose from")
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    parser.add_argument(
        "--set", nargs="+", default=[], metavar="KEY=VALUE", help="overrides, for example optimiser.epochs=2"
    )
    given = parser.parse_args()
    task = TASKS[given.task]
    settings = [f"data.root={given.root}", *([f"data.test_root={given.test}"] if given.test else []), *given.set]
    rules = list_rules(task)
    seeds = ", ".join(map(str, given.seeds))
    print(
        f"| rule | learning rate | validation | test, seeds {seeds} | mean | s per epoch |\n|---|---|---|---|---|---|"
    )

    for name in given.rules or rules:
        rates = given.rates or task.rates
        if name == "stdp":  # its learning rates are separate settings
            rates = rates[:1]
        rate, runs = train_rule(rules[name], settings, rates, given.seeds, given.out / given.task / name)
        print(describe(name, rate, runs), flush=True)


if __name__ == "__main__":
    main()
