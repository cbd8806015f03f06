"""Diagnosis of a run: what limits its result.

Each function `find_...` checks one thing, and yields a `Finding` if it limits the result. `diagnose` calls those
that apply after the test of a run; the public ones are also called before the training. `test_notes` says how the
result was measured.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ..checkpoints.checkpoint import FEW_CALIBRATED
from ..datasets import DataSet, count_recordings
from ..datasets.config import WINDOW_KINDS
from ..encoding import BinCounts
from ..results import Finding, LayerActivity, wilson_interval
from .config import TrainConfig

UNCONVERGED = 0.05  # limit of mean w (1 - w): uniformly drawn weights have 1 / 6, converged STDP weights nearly 0
SATURATED_RATE = 0.5  # spikes per neuron and step
LEARNED = 0.9  # accuracy on the training part
OVERFITTED = 0.15  # accuracy drop from training to test recordings
FEW_VALIDATED = 10
LISTED = 3  # names in a text
FEWEST_DRAWN = 2  # recordings per class; training needs all of them


@dataclass(frozen=True)
class RunOutcome:
    """Result of a run after its test."""

    config: TrainConfig
    data: DataSet
    counts: Sequence[BinCounts]
    updates: int
    layers: Sequence[LayerActivity]
    train_accuracy: float
    correct: int
    count_accuracy: float
    convergence: Mapping[str, float]

    @property
    def accuracy(self) -> float:
        """Test accuracy."""
        return self.correct / len(self.data.test)


def diagnose(outcome: RunOutcome) -> tuple[Finding, ...]:
    """Find what limits the result of a run, most important first; empty if nothing does."""
    findings_by_check = (
        find_copies(outcome.data),
        find_same_films(outcome.data),
        _find_small_classes(outcome.data),
        _find_untested(outcome),
        find_outside(outcome.counts, outcome.config),
        _find_rates(outcome),
        _find_unconverged(outcome),
        _find_updates(outcome),
        _find_counting(outcome),
        _find_overfitting(outcome),
        _find_few_validated(outcome),
    )
    return tuple(finding for findings in findings_by_check for finding in findings)


def test_notes(outcome: RunOutcome) -> tuple[str, ...]:
    """Return notes that qualify a test result, one sentence or two each."""
    data = outcome.data
    counts = outcome.counts
    events = sum(count.events for count in counts)
    saturated = sum(count.saturated for count in counts)
    outside = sum(count.before + count.beyond for count in counts)

    parts = data.parts.values()
    are_alone = all(len(part) == len({sample.group for sample in part}) for part in parts)
    groups = "one group per recording (group keeps a person's together)" if are_alone else "no group in two parts"
    if data.in_time:
        groups = f"films of {', '.join(data.in_time)} divided in time between the parts"

    chosen = f"{len(data.validation)} for validation (choice of the epoch)"
    if not data.validation:
        chosen = "none for validation (the last epoch is used)"

    notes = [
        f"{count_recordings(data.train, 'training')}, {chosen}, and {len(data.test)} for the test, {groups}. The test "
        "part was used once, at the end; papers often report the epoch with the best test accuracy.",
        f"A linear classifier on the number of events alone reaches {outcome.count_accuracy:.1%} on the same test "
        f"recordings; chance is {1 / len(data.classes):.1%}.",
        f"Of {events:,} events of the training recordings, {outside / max(1, events):.1%} are outside the steps of the "
        f"spike tensors, and {saturated / max(1, events):.1%} exceed the largest count.",
    ]

    if not data.validation:
        notes.append("The probabilities are not calibrated, because no recordings are held out for it.")
    elif 0 < len(data.validation) < FEW_CALIBRATED:
        notes.append(
            f"The probabilities are rough: they are calibrated on only {len(data.validation)} validation samples. "
            "Their mean there is not above the 95 % interval of the accuracy."
        )
    if not outcome.layers:
        notes.append(
            "Spikes and operations per layer are not recorded: the layers of networks with network = module are "
            "unknown."
        )

    if data.synthetic and data.synthetic_test:
        notes.append("Synthetic: rendered scenes, simulated events. The result says little about real cameras.")
    elif data.synthetic:
        notes.append("The training and validation recordings are synthetic; the test recordings are not.")

    return tuple(notes)


def find_copies(data: DataSet) -> Iterator[Finding]:
    """Yield a finding if some recordings are copies of others, and therefore belong to no part."""
    if data.copies:
        name, other = next(iter(data.copies.items()))
        yield Finding(
            kind="copies",
            text=f"{len(data.copies)} recordings have the same content as recordings of an earlier part, e.g. {name} "
            f"and {other}; they are not used for validation or test",
        )


def find_same_films(data: DataSet) -> Iterator[Finding]:
    """Yield a finding if films of some classes are in several parts."""
    if data.in_time:
        parts = "training and validation" if data.fixed_test else "training, validation and test"
        measured = "the validation accuracy" if data.fixed_test else "the test accuracy"
        yield Finding(
            kind="films",
            text=f"too few films of {_list(data.in_time)} to keep each in one part: {parts} show the same films, "
            f"divided in time, and {measured} is too good for other films; record more films of them (files that "
            "differ only in a number count as one film; group=.* separates them)",
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


def _find_small_classes(data: DataSet) -> Iterator[Finding]:
    counts = Counter(sample.label for sample in data.samples)
    few = [f"{data.classes[label]} ({count})" for label, count in sorted(counts.items()) if count <= FEWEST_DRAWN]

    if few:
        yield Finding(
            kind="few",
            text=f"too few recordings of {_list(few)} for training and test: record more before changing settings",
        )


def _find_untested(outcome: RunOutcome) -> Iterator[Finding]:
    data = outcome.data
    untested = sorted({sample.label for sample in data.train} - {sample.label for sample in data.test})
    if untested:
        yield Finding(
            kind="untested",
            text=f"no test recordings of {_list([data.classes[label] for label in untested])}; their accuracy is "
            "unknown, add recordings of them",
        )


def _find_rates(outcome: RunOutcome) -> Iterator[Finding]:
    silent = [layer.name for layer in outcome.layers if layer.rate == 0]
    saturated = [layer.name for layer in outcome.layers if (layer.rate or 0) > SATURATED_RATE]

    if silent:
        yield Finding(
            kind="silent",
            text=f"{_list(silent)} did not spike for any test recording; the readout gets no input",
        )

    if saturated:
        yield Finding(
            kind="saturated",
            text=f"{_list(saturated)} spiked in more than {SATURATED_RATE:.0%} of the steps of the test recordings; "
            "their spikes carry little information",
        )


def _find_unconverged(outcome: RunOutcome) -> Iterator[Finding]:
    names = [name for name, mean in outcome.convergence.items() if mean > UNCONVERGED]
    if names:
        yield Finding(
            kind="unconverged",
            text=f"the weights of {_list(names)} have not converged: STDP saw too few recordings, and the weights "
            "are nearly random",
        )


def _find_updates(outcome: RunOutcome) -> Iterator[Finding]:
    if outcome.train_accuracy >= LEARNED:
        return

    yield Finding(
        kind="updates",
        text=f"the weights were updated only {outcome.updates} times; the accuracy on the training recordings "
        f"themselves is {outcome.train_accuracy:.0%}",
    )


def _find_counting(outcome: RunOutcome) -> Iterator[Finding]:
    if outcome.count_accuracy <= outcome.accuracy:
        return

    yield Finding(
        kind="counting",
        text=f"a linear classifier on the number of events alone has a higher test accuracy: "
        f"{outcome.count_accuracy:.1%}, the network {outcome.accuracy:.1%}",
    )


def _find_overfitting(outcome: RunOutcome) -> Iterator[Finding]:
    _, highest = wilson_interval(outcome.correct, len(outcome.data.test))
    drop = outcome.train_accuracy - outcome.accuracy

    # A small test part has a wide interval: a drop within it may be chance.
    if outcome.train_accuracy < LEARNED or drop < OVERFITTED or highest > outcome.train_accuracy:
        return

    yield Finding(
        kind="overfitted",
        text=f"overfitting: training accuracy {outcome.train_accuracy:.0%}, test accuracy {outcome.accuracy:.0%}; more "
        "recordings, or more varied recordings, help most",
    )


def _find_few_validated(outcome: RunOutcome) -> Iterator[Finding]:
    data = outcome.data
    if 0 < len(data.validation) < FEW_VALIDATED:
        yield Finding(
            kind="validation",
            text=f"only {len(data.validation)} validation samples to choose the epoch and calibrate probabilities",
        )


def _list(names: Sequence[str]) -> str:
    listed = ", ".join(names[:LISTED])

    return listed if len(names) <= LISTED else f"{listed} and {len(names) - LISTED} more"
