"""Run folder of a training: its files, epochs, and the test result.

    file                       record             content
    args.yaml                                     complete configuration
    split.json                                    names of the recordings in each part
    metrics.jsonl, results.csv EpochRow           an epoch per line
    test.json                  TestResult         test of the chosen epoch
    activity.json              ActivityRecord     activity of the network on the test recordings
    weights/                                      checkpoints of the chosen and the last epoch, state for resuming
    *.png, report.html                            charts and the page of the run

`RunFolder` lists them all with their names, and `TrainingRun` is a complete run in memory. The other records are not
files of a run: `EvaluationResult` is the output of `dvspipe evaluate`, `ShippedRecord` describes included
weights.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from ..base.errors import DataError, FileError, count_noun
from ..base.files import read_bytes
from ..base.texts import Described, TextTable
from .activity import ActivityRecord
from .scores import Scores, Share, wilson_interval
from .tables import Cell, FileText, Folder, FolderFile, Record, Row, read_rows, write_csv

CHECKPOINT_SUFFIX = ".safetensors"
MAX_CONFUSIONS = 3  # listed confused classes per class


@dataclass(frozen=True)
class RunFolder(Folder):
    """Files of a training run by name.

    Args:
        path: Run folder, such as runs/train/nmnist; also a string.

    Example:
        >>> RunFolder("runs/train/nmnist").best.as_posix()
        'runs/train/nmnist/weights/best.safetensors'
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    @classmethod
    def find_free(cls, parent: Path, name: str, *, overwrite: bool = False) -> RunFolder:
        """Return the folder of a new run: `name`, or `name` with the first free number (from 2) unless overwritten.

        Example:
            >>> RunFolder.find_free(Path("runs/train"), "mine").path.as_posix()
            'runs/train/mine'
        """
        folder = parent / name
        number = 2

        while folder.exists() and not overwrite:
            folder = parent / f"{name}-{number}"
            number += 1

        return cls(folder)

    def check_unused(self, *, overwrite: bool) -> None:
        """Check that a new run can be written to the folder: it is empty, or `overwrite`.

        Raises:
            FileError: If it is a file, or a folder that is not empty.
        """
        if self.path.is_file():
            raise FileError(f"{self.path}: is a file, expected a run folder")
        if overwrite or not self.path.is_dir():
            return

        # A run that was killed while it began leaves only its split.
        names = {path.name for path in self.path.iterdir() if not path.name.startswith(".")}
        if not names <= {self.split.name}:
            resume = ", or resume to resume the run" if self.config.is_file() else ""
            raise FileError(f"{self.path}: already exists and is not empty; use overwrite to replace it{resume}")

    config = FolderFile("args.yaml")
    """Complete configuration, YAML."""
    split = FolderFile("split.json")
    """Names of the recordings in each part, JSON."""
    epochs_csv = FolderFile("results.csv")
    """One row per epoch, with the columns of `EpochRow`."""
    epochs = FolderFile("metrics.jsonl")
    """One `EpochRow` per line; results.csv has its columns."""
    test = FolderFile("test.json")
    """A `TestResult`."""
    activity = FolderFile("activity.json")
    """An `ActivityRecord`."""
    best = FolderFile("weights/best.safetensors")
    """Checkpoint of the chosen epoch."""
    joints = FolderFile("weights/joints.safetensors")
    """Joint network of gestures from films; missing in other runs."""
    last = FolderFile("weights/last.safetensors")
    """Checkpoint of the last epoch."""
    state = FolderFile("weights/state.safetensors")
    """State of the training after the last complete epoch, for resuming."""
    wrong = FolderFile("wrong.png")
    """Pictures of the most certain wrong test predictions."""
    kernels = FolderFile("kernels.png")
    """Pictures of the kernels trained by STDP."""
    report = FolderFile("report.html")
    """HTML page of the run."""

    def clear(self, *, keep_epochs: bool) -> None:
        """Delete the results of an earlier run, and its epochs and weights unless `keep_epochs`."""
        results = (self.test, self.activity, self.wrong, self.kernels, self.report)
        epochs = (self.epochs_csv, self.epochs, self.best, self.last, self.state)
        for path in results if keep_epochs else results + epochs:
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
    )

    epoch: int
    """Number of the epoch, from 1."""
    train_loss: float
    """Mean loss on the training part, measured while the weights change."""
    train_accuracy: float
    """Accuracy on the training part, measured while the weights change, 0 to 1."""
    val_loss: float | None
    """Mean cross-entropy on the validation part after the epoch; None without a validation part."""
    val_accuracy: float | None
    """Accuracy on the validation part after the epoch, 0 to 1; None without one."""
    learning_rate: float
    """Learning rate of the last step."""
    seconds: float
    """Duration of the epoch, in seconds."""
    rates: dict[str, float]
    """Spikes per neuron and step of each layer in the last batch; columns `rate_<layer>` of the CSV file."""
    convergence: dict[str, float] = Field(default_factory=dict)
    """Mean of w * (1 - w) over the weights of each layer trained by STDP; columns `convergence_<layer>`."""

    def cells(self) -> dict[str, Cell]:
        """Return the value of each CSV column."""
        rates = {f"rate_{name}": rate for name, rate in self.rates.items()}
        return super().cells() | rates | {f"convergence_{name}": mean for name, mean in self.convergence.items()}


def find_best(rows: Sequence[EpochRow]) -> EpochRow:
    """Return the epoch with the best validation result; of equal ones, the first. Without validation, it is the last.

    Raises:
        DataError: If there is no epoch.
    """
    if not rows:
        raise DataError("no epochs (expected one or more)")

    # Of equal ones, `max` returns the first.
    validated = [row for row in rows if row.val_accuracy is not None]
    return max(validated, key=lambda row: (row.val_accuracy or 0, -(row.val_loss or 0))) if validated else rows[-1]


class RecordingPrediction(Record):
    """Prediction of a classifier for a labelled recording."""

    name: FileText
    """Name of the recording, or of a part of it."""
    label: str
    """True class."""
    predicted: str
    """Predicted class."""
    probabilities: tuple[float, ...]
    """Calibrated probability of each class, in the order of `classes`."""
    recording: FileText | None = None
    """Recording or video with this clip; None: not a file, or in files of earlier versions."""

    @property
    def is_correct(self) -> bool:
        """Whether the predicted class is the true class."""
        return self.predicted == self.label


class EvaluationResult(Scores):
    """Output of `dvspipe evaluate`: result of a checkpoint on a part of a data set."""

    data: str
    """Short description of the recordings."""
    synthetic: bool
    """Whether the recordings are synthetic."""
    trained_on: str
    """Training data of the classifier."""
    predictions: tuple[RecordingPrediction, ...] = ()
    """Prediction for each recording; empty in files of earlier versions."""

    def classify_recordings(self) -> Share | None:
        """Classify each recording by the mean probabilities of its clips.

        Returns:
            None if no recording has several clips, or if one has clips of several classes.
        """
        clips = defaultdict[tuple[str, str], list[tuple[float, ...]]](list)
        for prediction in self.predictions:
            clips[prediction.recording or prediction.name, prediction.label].append(prediction.probabilities)

        has_one_class = len({recording for recording, _ in clips}) == len(clips)
        if len(clips) == len(self.predictions) or not has_one_class:
            return None

        means = {key: np.mean(probabilities, axis=0) for key, probabilities in clips.items()}
        correct = sum(self.classes[int(mean.argmax())] == label for (_, label), mean in means.items())
        return Share(correct=correct, samples=len(clips))

    def write_table(self, path: Path) -> None:
        """Write the prediction and the probabilities of each recording as CSV.

        Raises:
            FileError: If the file cannot be written.
        """
        columns = ("name", "label", "predicted", *(f"p_{name}" for name in self.classes))
        rows: list[dict[str, Cell]] = []
        for row in self.predictions:
            cells: tuple[Cell, ...] = (row.name, row.label, row.predicted, *row.probabilities)
            rows.append(dict(zip(columns, cells, strict=True)))
        write_csv(path, columns, rows)

    def describe(self) -> Sequence[str | TextTable]:
        """Return a row for each class, and the accuracy."""
        numbers = ("samples", "correct", "95 % interval")
        table = TextTable("class", *numbers, "confused with", right=numbers, optional=("95 % interval",))
        for k, (name, row) in enumerate(zip(self.classes, self.confusion, strict=True)):
            others = {other: count for other, count in zip(self.classes, row, strict=True) if other != name and count}
            confused = ", ".join(f"{other} {count}" for other, count in Counter(others).most_common(MAX_CONFUSIONS))
            low, high = wilson_interval(row[k], sum(row))
            table.add_row(name, sum(row), row[k], f"{low:.1%} to {high:.1%}", confused)

        synthetic = " (synthetic)" if self.synthetic else ""
        calibration = f"expected calibration error {self.calibration_error:.1%}"
        lines = [f"accuracy{synthetic} {self.share}: {self.data}; {calibration}"]
        if (by_recording := self.classify_recordings()) is not None:
            lines.append(f"recordings, by the mean of their clips{synthetic}: {by_recording}")
        return table, *lines


class TestResult(Scores):
    """test.json: test result of the chosen epoch."""

    __test__ = False  # not a test class of pytest

    title: str
    """Name of the data set."""
    synthetic: bool
    """Whether the training part is synthetic."""
    synthetic_test: bool
    """Whether the test part is synthetic."""
    data: str
    """Short description of the test recordings."""
    chosen_epoch: int
    """Epoch chosen on the validation part; the last without one."""
    val_accuracy: float | None
    """Validation accuracy of this epoch, 0 to 1; None without a validation part."""
    val_samples: int | None = None
    """Number of samples of the validation part; None without one, and in earlier runs."""
    train_accuracy: float | None = None
    """Accuracy of the chosen epoch on the training part, in evaluation mode, 0 to 1; None in runs of version 0.1."""
    findings: tuple[str, ...] = ()
    """What limits the result and what to do about it, a line each."""
    command: str
    """Command that repeats the run."""
    versions: dict[str, str]
    """Versions of dvspipe and of the libraries that affect its results."""
    machine: dict[str, str]
    """Python, system, processor, and GPU if one was used."""

    @property
    def kind_of_data(self) -> str:
        """Label for every result with synthetic data; empty without."""
        if self.synthetic and self.synthetic_test:
            return "synthetic data"
        if self.synthetic:
            return "synthetic training data"
        return "synthetic test data" if self.synthetic_test else ""


@dataclass(frozen=True, repr=False)
class TrainingRun(Described):
    """Complete training run, for reports.

    Args:
        folder: Files of the run.
        settings: Complete configuration, YAML.
        epochs: Metrics, one row per epoch.
        test: Test result of the chosen epoch.
        activity: Activity of the network on the test recordings.

    Example:
        >>> run = TrainingRun.read(RunFolder(Path("runs/train/nmnist")))  # doctest: +SKIP
        >>> run.test.accuracy  # doctest: +SKIP
        0.93
    """

    folder: RunFolder
    settings: str
    epochs: tuple[EpochRow, ...]
    test: TestResult
    activity: ActivityRecord

    def __repr__(self) -> str:
        epochs = count_noun(len(self.epochs), "epoch")
        return f"TrainingRun({str(self.folder.path)!r}, {epochs}, test accuracy {self.test.share})"

    def describe(self) -> Sequence[str | TextTable]:
        """Return the result of the test, and what limits it."""
        test = self.test
        kind = " (synthetic)" if test.synthetic_test else ""
        lines = [f"test accuracy{kind} {test.share}: {test.data}; epoch {test.chosen_epoch}, {self.choice}"]
        if test.val_accuracy is not None and test.val_samples is not None:
            validated = Share(correct=round(test.val_accuracy * test.val_samples), samples=test.val_samples)
            lines.append(f"validation accuracy{' (synthetic)' if test.synthetic else ''} {validated}")

        return [*lines, *(f"- {finding}" for finding in test.findings)]

    @property
    def checkpoint(self) -> Path:
        """Weights of the chosen epoch."""
        return self.folder.best

    @property
    def choice(self) -> str:
        """Reason for the choice of the epoch, as a phrase that follows its number."""
        best = find_best(self.epochs)
        if best.val_accuracy is None:
            return "the last: no validation part was held out"
        if best.epoch == self.test.chosen_epoch:
            return "chosen on the validation part"
        return f"the latest that is not significantly worse than epoch {best.epoch}, on few validation recordings"

    @classmethod
    def read(cls, folder: RunFolder | str | Path) -> TrainingRun:
        """Read the run in a folder.

        Raises:
            FileError: If a file is missing or invalid.
        """
        folder = folder if isinstance(folder, RunFolder) else RunFolder(Path(folder))
        return cls(
            folder=folder,
            settings=read_bytes(folder.config).decode("utf-8", errors="replace"),
            epochs=read_rows(folder.epochs, EpochRow),
            test=TestResult.read(folder.test),
            activity=ActivityRecord.read(folder.activity),
        )


class ShippedScore(Share):
    """Score of an included classifier on recordings outside its training data."""

    data: str
    """The recordings, as a phrase that follows "tested on"."""


class ShippedSource(Record):
    """Source of the training data of included weights."""

    name: str
    """Name, with its address."""
    used: str
    """What was used of it, and for what."""
    terms: str
    """Terms of use as its owners state them; empty: they state none."""
    citation: str
    """What its owners ask users to cite; empty: nothing."""
    commercial: bool
    """Whether these terms allow use in products."""


class ShippedRecord(Record):
    """Purpose, data, sources, scores and limits of included weights."""

    about: str
    """Purpose of the weights."""
    data: str
    """Training recordings."""
    sources: tuple[ShippedSource, ...]
    """Sources of the training recordings, and of values that were chosen on recordings."""
    commands: tuple[str, ...]
    """Commands that trained them."""
    config: str | None = None
    """Included configuration of a classifier, with its classes; it makes new recordings for a calibration or a test."""
    date: str
    """Date as YEAR-MONTH-DAY."""
    scores: tuple[ShippedScore, ...]
    """Scores, one per kind of recordings."""
    limits: tuple[str, ...]
    """Limits of the scores, one or more sentences each."""
