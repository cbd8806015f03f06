"""Diagnosis of a run: what limits its result, and what the user can do about it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..datasets import DataSet
from ..datasets.config import WINDOW_KINDS
from ..encoding import BinCounts
from ..results import Finding, LayerActivity, wilson_interval
from .config import TrainConfig
from .evaluation import Evaluation
from .trainer import SATURATED_RATE, Experiment

LEARNED = 0.9  # accuracy on the training part
OVERFITTED = 0.15  # accuracy drop from training to test recordings
FEW_VALIDATED = 10


def find_data_problems(data: DataSet) -> Iterator[Finding]:
    """Yield what the parts of a data set share: copies of recordings, and films that are divided in time."""
    if data.copies:
        name, other = next(iter(data.copies.items()))
        yield Finding(
            kind="copies",
            text=f"{len(data.copies)} recordings have the same content as recordings of an earlier part, e.g. {name} "
            f"and {other}; they are not used for validation or test",
        )

    if data.in_time:
        parts = "training and validation" if data.fixed_test else "training, validation and test"
        yield Finding(
            kind="films",
            text=f"{parts} show the same films of {', '.join(data.in_time)}, divided in time, so accuracies are too "
            "high: record more films of them (files that differ only in a number count as one; group=.* separates "
            "them)",
        )


def find_outside(counts: Sequence[BinCounts], config: TrainConfig) -> Iterator[Finding]:
    """Yield a finding if many events are outside the steps of the spike tensors."""
    total = BinCounts(
        events=sum(count.events for count in counts),
        before=sum(count.before for count in counts),
        beyond=sum(count.beyond for count in counts),
    )
    lost = total.explain_outside(config, "the events of the training recordings")
    if lost is None:
        return

    if config.by == "time" and config.data in WINDOW_KINDS:
        lost += f"; window_us={config.tensor_us} splits longer recordings into several samples"
    yield Finding(kind="outside", text=lost)


def diagnose(
    experiment: Experiment, layers: Sequence[LayerActivity], trained: Evaluation, tested: Evaluation
) -> Iterator[Finding]:
    """Yield what limits the result of a run, most important first; nothing if nothing does.

    Args:
        experiment: Data and settings of the run.
        layers: Activity of the layers for the test recordings.
        trained: Predictions for the training part.
        tested: Predictions for the test part.
    """
    yield from find_data_problems(experiment.data)
    yield from find_outside(experiment.parts.train.counts(), experiment.config)

    for layer in layers:
        rate = layer.rate
        if rate == 0:
            yield Finding(kind="silent", text=f"{layer.name} did not spike for any test recording")
        elif rate is not None and rate > SATURATED_RATE:
            yield Finding(kind="saturated", text=f"{layer.name} spiked in {rate:.0%} of the steps: spikes say little")

    # A small test part has a wide interval: a drop within it may be chance.
    _, highest = wilson_interval(tested.correct, len(tested.labels))
    drop = trained.accuracy - tested.accuracy
    if trained.accuracy >= max(LEARNED, highest) and drop >= OVERFITTED:
        yield Finding(
            kind="overfitted",
            text=f"overfitting: training accuracy {trained.accuracy:.0%}, test accuracy {tested.accuracy:.0%}; more, "
            "or more varied, recordings help most",
        )

    validated = len(experiment.data.validation)
    if 0 < validated < FEW_VALIDATED:
        yield Finding(
            kind="validation",
            text=f"only {validated} validation samples to choose the epoch and calibrate probabilities",
        )


def describe_test(data: DataSet) -> Iterator[str]:
    """Yield notes that qualify a test result."""
    yield "The test part was used once, at the end; papers often report the epoch with the best test accuracy."
    if not data.validation:
        yield "The probabilities are not calibrated, because no recordings are held out for it."

    if data.synthetic and data.synthetic_test:
        yield "Synthetic: rendered scenes, simulated events. The result says little about real cameras."
    elif data.synthetic:
        yield "The training and validation recordings are synthetic; the test recordings are not."
