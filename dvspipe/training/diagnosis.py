"""Diagnosis of a run: what limits its result and what to do about it, a line each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..base.gestures import OTHER
from ..datasets import DataSet, SpikeTensors
from ..datasets.config import WINDOW_KINDS
from ..encoding import BinCounts
from ..results import LayerActivity, wilson_interval
from .config import TrainConfig
from .evaluation import Evaluation

SATURATED_RATE = 0.5  # spikes per neuron and step
LEARNED = 0.9  # accuracy on the training part
OVERFITTED = 0.15  # accuracy drop from training to test recordings
FEW_VALIDATED = 10


def find_data_problems(data: DataSet) -> Iterator[str]:
    """Yield what the classes lack, and what the parts share: copies, films divided in time, and pieces of a source."""
    if len(data.classes) == 2 and OTHER not in data.classes:
        yield (
            f"the network always says {' or '.join(data.classes)}; to let it say no gesture, add a third folder, "
            f"{OTHER}, with recordings of everything else"
        )
    if data.copies:
        name, other = next(iter(data.copies.items()))
        yield (
            f"{len(data.copies)} recordings have the same content as recordings of an earlier part, e.g. {name} and "
            f"{other}; they are not used for validation or test"
        )
    if data.in_time:
        yield (
            f"several parts show the same films of {', '.join(data.in_time)}, divided in time, so accuracies are too "
            "high: record more films (files that differ only in a number count as one; group=.* separates them)"
        )
    elif data.pieces:
        tested = len({sample.file for sample in data.test})
        yield (
            f"{len(data.pieces)} of {tested} test recordings name the same source as training recordings, such as "
            f"{min(data.pieces)}: if they are pieces of one recording, the accuracy is too high, so keep these in one "
            "part (group=PATTERN finds it in file names); if several recordings have this name, ignore this"
        )


def find_outside(tensors: SpikeTensors, config: TrainConfig) -> Iterator[str]:
    """Yield a line if many events are outside the steps of the spike tensors."""
    counts = tensors.counts()
    total = BinCounts(
        events=sum(count.events for count in counts),
        before=sum(count.before for count in counts),
        beyond=sum(count.beyond for count in counts),
    )
    lost = total.explain_outside(config, "the events of the training recordings")
    if lost is not None and config.by == "time" and config.data in WINDOW_KINDS:
        lost += f"; window_us={config.tensor_us} splits longer recordings into several samples"
    if lost is not None:
        yield lost


def diagnose(layers: Sequence[LayerActivity], data: DataSet, trained: Evaluation, tested: Evaluation) -> Iterator[str]:
    """Yield what limits the result of a run, from its predictions for the training and the test part."""
    for layer in layers:
        rate = layer.rate
        if rate == 0:
            yield f"{layer.name} did not spike for any test recording; lower its threshold or tau_mem_s"
        elif rate is not None and rate > SATURATED_RATE:
            yield f"{layer.name} spiked in {rate:.0%} of the steps, so spikes say little; raise tau_mem_s"

    # A small test part has a wide interval: a drop within it may be chance.
    _, highest = wilson_interval(tested.correct, len(tested.labels))
    drop = trained.accuracy - tested.accuracy
    if trained.accuracy >= max(LEARNED, highest) and drop >= OVERFITTED:
        yield (
            f"overfitting: training accuracy {trained.accuracy:.0%}, test accuracy {tested.accuracy:.0%}; more, or "
            "more varied, recordings help most"
        )

    validated = len(data.validation)
    if 0 < validated < FEW_VALIDATED:
        yield f"only {validated} validation samples choose the epoch and calibrate the probabilities; record more"
