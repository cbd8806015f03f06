"""The run folder of a training: its files, an epoch, and the result of the test."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..files import read_bytes
from .activity import ActivityRecord
from .scores import Scores
from .tables import Cell, Record, Row, read_rows

MAX_SETTINGS = 3  # to try first


@dataclass(frozen=True)
class RunFolder:
    """The files of a training run, by their names; the one list of them.

    Args:
        path: The folder, such as runs/train/nmnist.
    """

    path: Path

    @property
    def config(self) -> Path:
        """The resolved configuration, YAML."""
        return self.path / "args.yaml"

    @property
    def split(self) -> Path:
        """The names of the recordings in each part, JSON."""
        return self.path / "split.json"

    @property
    def epochs_csv(self) -> Path:
        """A row per epoch; the columns of `EpochRow`."""
        return self.path / "results.csv"

    @property
    def epochs(self) -> Path:
        """An `EpochRow` per line; results.csv has its columns."""
        return self.path / "metrics.jsonl"

    @property
    def test(self) -> Path:
        """A `TestResult`."""
        return self.path / "test.json"

    @property
    def activity(self) -> Path:
        """An `ActivityRecord`."""
        return self.path / "activity.json"

    @property
    def best(self) -> Path:
        """Checkpoint of the epoch that was best on the validation part."""
        return self.path / "weights" / "best.safetensors"

    @property
    def last(self) -> Path:
        """Checkpoint of the last epoch."""
        return self.path / "weights" / "last.safetensors"

    @property
    def state(self) -> Path:
        """State of the training after its last complete epoch, from which it resumes."""
        return self.path / "weights" / "state.safetensors"

    @property
    def curves(self) -> Path:
        """Loss, accuracy and spike rates over epochs, a picture."""
        return self.path / "curves.png"

    @property
    def confusion_matrix(self) -> Path:
        """The confusion matrix of the test, a picture."""
        return self.path / "confusion_matrix.png"

    @property
    def examples(self) -> Path:
        """Spikes and membranes for some test recordings, a picture."""
        return self.path / "examples.png"

    @property
    def wrong(self) -> Path:
        """The most certain wrong predictions of the test, a picture."""
        return self.path / "wrong.png"

    @property
    def kernels(self) -> Path:
        """The kernels that STDP trained, a picture."""
        return self.path / "kernels.png"

    @property
    def report(self) -> Path:
        """The page that shows the run."""
        return self.path / "report.html"

    @property
    def tensorboard(self) -> Path:
        """The folder of TensorBoard's event files."""
        return self.path / "tensorboard"

    @property
    def baseline(self) -> RunFolder:
        """The epochs and weights of the baseline network."""
        return RunFolder(self.path / "baseline")

    def result_files(self) -> tuple[Path, ...]:
        """Return what a run leaves at its end, its report included."""
        pictures = self.curves, self.confusion_matrix, self.examples, self.wrong, self.kernels
        return self.test, self.activity, *pictures, self.report

    def epoch_files(self) -> tuple[Path, ...]:
        """Return what a run leaves after each epoch."""
        return self.epochs_csv, self.epochs, self.best, self.last, self.state

    def clear(self, *, keep_epochs: bool) -> None:
        """Remove the results of an earlier run, and its epochs and weights unless they are kept."""
        removed = self.result_files()
        if not keep_epochs:
            removed += self.epoch_files() + self.baseline.epoch_files()
        for path in removed:
            path.unlink(missing_ok=True)


class EpochRow(Row):
    """A line of metrics.jsonl and a row of results.csv: one epoch of training."""

    columns: ClassVar[tuple[str, ...]] = (
        "epoch",
        "train_loss",
        "train_accuracy",
        "val_loss",
        "val_accuracy",
        "learning_rate",
        "seconds",
        "data_seconds",
    )

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean loss over the training part, while the weights change."""
    train_accuracy: float
    """Accuracy over the training part, while the weights change, 0 to 1."""
    val_loss: float
    """Mean cross-entropy over the validation part after the epoch."""
    val_accuracy: float
    """Accuracy over the validation part after the epoch, 0 to 1; of a fitted readout, as in `TestResult`."""
    learning_rate: float
    """Learning rate of the last step."""
    seconds: float
    """Duration of the epoch in seconds of wall-clock time."""
    data_seconds: float
    """How much of it was spent waiting for data."""
    rates: dict[str, float]
    """Spikes per neuron and step of each layer, in the last batch; columns `rate_<layer>` of the CSV file."""
    convergence: dict[str, float] = Field(default_factory=dict)
    """Mean of w * (1 - w) over the weights of each layer that STDP trains; columns `convergence_<layer>`."""

    def cells(self) -> dict[str, Cell]:
        """Return the value of each column."""
        of_layers = {f"rate_{name}": rate for name, rate in self.rates.items()}
        of_layers |= {f"convergence_{name}": mean for name, mean in self.convergence.items()}
        return super().cells() | of_layers

    def is_better_than(self, other: EpochRow) -> bool:
        """Return whether the validation result is better than that of another epoch: accuracy first, then loss."""
        return (self.val_accuracy, -self.val_loss) > (other.val_accuracy, -other.val_loss)


def find_best(rows: Sequence[EpochRow]) -> EpochRow:
    """Return the epoch with the best validation result, the first of equals."""
    return reduce(lambda best, row: row if row.is_better_than(best) else best, rows)


class BaselineResult(Record):
    """How a ReLU network of the same shape on the sum of the steps does on the same test part."""

    accuracy: float
    """Test accuracy, 0 to 1."""
    samples: int
    """Number of test recordings."""
    correct: int
    """Number of right predictions."""
    chosen_epoch: int
    """Epoch that was best on the validation part."""
    val_accuracy: float
    """Its accuracy there."""


FindingKind = Literal[
    "copies",
    "names",
    "few",
    "untested",
    "outside",
    "silent",
    "saturated",
    "unconverged",
    "updates",
    "counting",
    "overfitted",
    "validation",
]
"""What is wrong with a run; see `training.diagnosis`."""


class Finding(Record):
    """Something that limits the result of a run, and the settings that change it."""

    kind: FindingKind
    """What kind of problem it is."""
    text: str
    """What was found, in one sentence."""
    settings: tuple[str, ...]
    """Settings to try, KEY=VALUE, or KEY alone if the value depends on what the recordings are."""


class EvaluationResult(Scores):
    """What `dvspipe eval` reports of a checkpoint on a part of a data set."""

    data: str
    """The recordings, in a few words."""
    synthetic: bool
    """Whether they are synthetic."""
    trained_on: str
    """What the classifier was trained on."""


class TestResult(Scores):
    """test.json: the test of the chosen epoch."""

    __test__ = False  # not a class of tests

    title: str
    """Name of the data set."""
    synthetic: bool
    """Whether the training part is synthetic."""
    synthetic_test: bool
    """Whether the test part is synthetic."""
    data: str
    """The test recordings, in a few words."""
    chosen_epoch: int
    """Epoch that was best on the validation part."""
    val_accuracy: float
    """Its accuracy there, 0 to 1; of a fitted readout, that on training recordings that the fit leaves out."""
    event_count_accuracy: float
    """Test accuracy of a linear classifier that sees only the number of events, 0 to 1."""
    train_accuracy: float | None = None
    """Accuracy of the chosen epoch on the training part, in evaluation, 0 to 1; None in runs of version 0.1."""
    readout_fitted: bool = False
    """Whether only the readout of a checkpoint was fitted, in one step without epochs."""
    correct_before: int | None = None
    """Number of right predictions of the checkpoint whose readout was fitted; None with other rules or classes."""
    baseline: BaselineResult | None
    """The result of the baseline network; None if none was trained."""
    findings: tuple[Finding, ...] = ()
    """What limits the result, the most important first."""
    notes: tuple[str, ...]
    """What a reader should know, a sentence each."""
    command: str
    """The command that repeats the run."""
    versions: dict[str, str]
    """Versions of dvspipe and of the libraries that decide its results."""
    machine: dict[str, str]
    """Python, system, processor, and GPU if one was used."""

    @property
    def settings_to_try(self) -> tuple[str, ...]:
        """The first settings to try, KEY=VALUE; none while a class has too few recordings, which no setting helps."""
        if any(finding.kind == "few" for finding in self.findings):
            return ()
        first: dict[str, str] = {}
        for setting in (each for finding in self.findings for each in finding.settings):
            key, equals, _ = setting.partition("=")
            if equals:
                first.setdefault(key, setting)
        return tuple(first.values())[:MAX_SETTINGS]

    @property
    def kind_of_data(self) -> str:
        """Words that accompany every result with synthetic data; empty without."""
        if self.synthetic and self.synthetic_test:
            return "synthetic data"
        if self.synthetic:
            return "synthetic training data"
        return "synthetic test data" if self.synthetic_test else ""


@dataclass(frozen=True)
class TrainingRun:
    """A complete training run, as a report shows it.

    Args:
        folder: Its files.
        settings: The resolved configuration, YAML.
        epochs: A row per epoch.
        test: The test of the chosen epoch.
        activity: What the network did with the test recordings.
    """

    folder: RunFolder
    settings: str
    epochs: tuple[EpochRow, ...]
    test: TestResult
    activity: ActivityRecord

    @property
    def checkpoint(self) -> Path:
        """The weights of the epoch that was chosen on the validation part."""
        return self.folder.best

    @property
    def choice(self) -> str:
        """How the epoch was chosen, in words that follow its number."""
        best = find_best(self.epochs)
        if best.epoch == self.test.chosen_epoch:
            return "chosen on the validation part"
        return (
            f"the latest that the few validation recordings do not show to be worse than epoch {best.epoch} "
            f"({self.test.val_accuracy:.1%} and {best.val_accuracy:.1%} of them right)"
        )

    @classmethod
    def read(cls, folder: RunFolder) -> TrainingRun:
        """Return the run in a folder.

        Raises:
            FileError: A file is missing, or holds something else.
        """
        return cls(
            folder,
            read_bytes(folder.config).decode("utf-8", errors="replace"),
            read_rows(folder.epochs, EpochRow),
            TestResult.read(folder.test),
            ActivityRecord.read(folder.activity),
        )
