"""A trained classifier on recordings."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from .checkpoint import ClassifierConfig, load_checkpoint
from .encoding import BinConfig, cut_windows, encode_events
from .errors import DataError
from .events import Events
from .files import write_beside
from .formats import open_recording
from .networks import SpikingNetwork

LEAST_PART = 0.5  # of a window that the last one must cover to count, unless it is the only one
BATCH_WINDOWS = 16


@dataclass(frozen=True)
class Prediction:
    """What a classifier says of a recording.

    Args:
        file: The recording.
        label: The most probable class's integer.
        class_name: Its name.
        probability: Its probability.
        probabilities: Of all classes, in their order; the mean over the recording's windows.
        events: Number of events in those windows.
        windows: Number of windows of the training length.
        trained_on: What the classifier learned from.
    """

    file: str
    label: int
    class_name: str
    probability: float
    probabilities: tuple[float, ...]
    events: int
    windows: int
    trained_on: str


class Classifier:
    """A trained network that answers for recordings.

    Example:
        >>> Classifier.load("best.safetensors").predict("recording.h5").class_name  # doctest: +SKIP
        'arm_roll'
    """

    def __init__(self, config: ClassifierConfig, network: SpikingNetwork) -> None:
        self.config = config
        self.network = network.eval()

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "cpu") -> Classifier:
        """The classifier in a checkpoint.

        Raises:
            CheckpointError: The file is not one.
        """
        return cls(*load_checkpoint(path, device))

    def predict(self, path: str | os.PathLike[str]) -> Prediction:
        """The label of a recording, over consecutive windows, each as much as the network learned from.

        Raises:
            FileError: The recording is missing or damaged.
            DataError: It comes from another sensor than the network's, or holds no events.
        """
        path = Path(path)
        recording = open_recording(path)
        if recording.sensor_source == "guessed":
            recording = open_recording(path, sensor=self.config.sensor)
        if recording.sensor != self.config.sensor:
            raise DataError(
                f"{path}: comes from a sensor of {recording.sensor}, the network is for {self.config.sensor}"
            )
        bins = self.config.bins
        probabilities: list[NDArray[np.float32]] = []
        waiting: list[NDArray[Any]] = []
        events = 0
        for start_us, part in _judged(cut_windows(recording.chunks(), bins), bins):
            events += len(part)
            waiting.append(encode_events(part, bins, start_us=start_us))
            if len(waiting) == BATCH_WINDOWS:
                probabilities += self._judge(waiting)
                waiting = []
        if not events:
            raise DataError(f"{path}: the recording holds no events")
        probabilities += self._judge(waiting)
        mean = np.mean(probabilities, axis=0)
        label = int(mean.argmax())
        return Prediction(
            file=str(path),
            label=label,
            class_name=self.config.classes[label],
            probability=float(mean[label]),
            probabilities=tuple(float(p) for p in mean),
            events=events,
            windows=len(probabilities),
            trained_on=self.config.trained_on,
        )

    def _judge(self, tensors: Sequence[NDArray[Any]]) -> list[NDArray[np.float32]]:
        """Class probabilities [K] of each spike tensor [T, C, H, W]."""
        if not tensors:
            return []
        device = next(self.network.parameters()).device
        with torch.no_grad():
            potentials, _ = self.network(torch.from_numpy(np.stack(tensors, axis=1)).to(device))
        return list(potentials.mean(0).softmax(1).cpu().numpy())


def _judged(found: Iterable[tuple[int, Events]], bins: BinConfig) -> Iterator[tuple[int, Events]]:
    """The windows, less a last one too short to judge, unless it is the only one."""
    before: tuple[int, Events] | None = None
    for window in found:
        if before is not None:
            yield before
        first, before = before is None, window
    if before is not None and (first or _share(bins, *before) >= LEAST_PART):
        yield before


def _share(bins: BinConfig, start_us: int, part: Events) -> float:
    """How much of a window its events fill."""
    if bins.by == "time":
        return (int(part.t[-1]) - start_us) / bins.window_us
    return len(part) / bins.window_events if bins.by == "events" else 1.0


def write_predictions(folder: Path, predictions: Sequence[Prediction]) -> None:
    """Writes predictions.csv (file, label, class, probability, events) and predictions.jsonl (all there is).

    Raises:
        FileError: The folder cannot be written to.
    """
    with write_beside(folder / "predictions.csv") as beside, beside.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["file", "label", "class", "probability", "events"])
        for said in predictions:
            writer.writerow([said.file, said.label, said.class_name, f"{said.probability:.6f}", said.events])
    with write_beside(folder / "predictions.jsonl") as beside, beside.open("w", encoding="utf-8") as file:
        for said in predictions:
            record = asdict(said)
            record["class"] = record.pop("class_name")
            file.write(json.dumps(record) + "\n")
