"""A trained classifier on recordings of any length, in bounded memory."""

from __future__ import annotations

import itertools
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import log
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from ..checkpoint import ClassifierConfig, load_checkpoint
from ..config import build
from ..encoding import BinConfig
from ..errors import ConfigError, DataError
from ..events import Events, SensorSize
from ..formats import NO_HINTS, Hints
from ..networks import LayerActivity, SpikingNetwork, State, count_activity
from .answers import Answers, RateCurve, Segment, find_segments, middle_us
from .config import InferConfig
from .source import EventSource, open_source
from .windows import Step, StepCounts, Window, begin_of, divide_by_events, encode_steps, slide, take_whole

LEAST_PART = 0.5  # of a window that a recording must still cover for it to count
MOST_WINDOWS = 16  # that are judged together
MOST_BYTES = 12 << 20  # of the outputs of the first layer at one time

Progress = Callable[[int, int], object]
"""Called with the number of events done and in all (0 where unknown)."""


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a classifier says of a recording.

    Args:
        file: The recording.
        label: The most probable class's integer.
        class_name: Its name.
        probability: Its probability.
        certain: Whether that is enough to say so, by `SegmentConfig.enter`.
        probabilities: Of all classes, in their order; the mean over the answers that rest on enough events.
        events: Number of events that the network's sensor has.
        first_us: Time of the first of them.
        last_us: Time of the last.
        answers: What it says from moment to moment.
        segments: What it shows from when to when.
        rates: Events over time, as recorded.
        judged_us: How much time went through the network, that of windows that overlap again for each.
        layers: What each layer of the network did.
        counted: Whether its inputs are numbers of events, whose operations are additions.
        trained_on: What the classifier learned from.
    """

    file: str
    label: int
    class_name: str
    probability: float
    certain: bool
    probabilities: tuple[float, ...]
    events: int
    first_us: int
    last_us: int
    answers: Answers
    segments: tuple[Segment, ...]
    rates: RateCurve
    judged_us: int
    layers: tuple[LayerActivity, ...]
    counted: bool
    trained_on: str

    @property
    def windows(self) -> int:
        """Number of answers."""
        return len(self.answers)


class _Seen:
    """What has come of a recording so far.

    Attributes:
        recorded: Number of its events.
        rates: Of those.
        events: Number of those that the network's sensor has.
        first_us: Time of the first of them.
        last_us: Time of the last.
        steps: How many of them each step holds.
        judged_us: How much time went through the network.
    """

    def __init__(self, source: EventSource, step_us: int, progress: Progress | None) -> None:
        self._source, self._step_us, self._progress = source, step_us, progress
        self.judged_us = 0
        self._begin()

    def _begin(self) -> None:
        self.recorded, self.rates = 0, RateCurve()
        self.events, self.first_us, self.last_us = 0, 0, 0
        self.steps = StepCounts(self._step_us)

    def parts(self) -> Iterator[Events]:
        """The events of the network's sensor, from the first on, again at every call."""
        self._begin()
        for part in self._source.fitted(self._see):
            self.steps.add(part)
            if len(part):
                self.first_us = self.first_us if self.events else int(part.t[0])
                self.events, self.last_us = self.events + len(part), int(part.t[-1])
            yield part

    def _see(self, part: Events) -> None:
        self.rates.add(part)
        self.recorded += len(part)
        if self._progress:
            self._progress(self.recorded, max(self.recorded, self._source.events))


class Classifier:
    """A trained network that answers for recordings.

    Example:
        >>> Classifier.load("best.safetensors").predict("recording.h5").class_name  # doctest: +SKIP
        'arm_roll'
    """

    def __init__(self, config: ClassifierConfig, network: SpikingNetwork) -> None:
        self.config = config
        self.network = network.eval()
        grid = config.bins.grid(config.sensor)
        image_bytes = 4 * grid.width * grid.height * max(config.bins.channels, config.network.channels[0])
        self._images = max(1, MOST_BYTES // image_bytes)  # that go through the network together

    @classmethod
    def load(cls, path: str | os.PathLike[str], device: str = "cpu") -> Classifier:
        """The classifier in a checkpoint.

        Raises:
            CheckpointError: The file is not one.
        """
        return cls(*load_checkpoint(path, device))

    def predict(
        self,
        recording: str | os.PathLike[str] | Events,
        config: InferConfig = InferConfig(),
        *,
        sensor: SensorSize | None = None,
        hints: Hints = NO_HINTS,
        progress: Progress | None = None,
    ) -> Prediction:
        """What a recording or video shows; arguments and errors as `open` and `judge`."""
        return self.judge(self.open(recording, config, sensor=sensor, hints=hints), config, progress)

    def open(
        self,
        recording: str | os.PathLike[str] | Events,
        config: InferConfig = InferConfig(),
        *,
        sensor: SensorSize | None = None,
        hints: Hints = NO_HINTS,
    ) -> EventSource:
        """A recording or video, ready to be judged.

        Args:
            recording: A file, or events in memory.
            config: Which part of it, how it fits the network's sensor, and how a video becomes events.
            sensor: Its sensor, where the file does not name it.
            hints: What else the file does not say.

        Raises:
            FileError: It is missing, or not readable.
            DataError: It comes from another sensor than the network's, and `config.fit` does not say what to do.
        """
        given = recording if isinstance(recording, Events) else Path(recording)
        return open_source(given, self.config.sensor, config, sensor=sensor, hints=hints)

    def judge(
        self, source: EventSource, config: InferConfig = InferConfig(), progress: Progress | None = None
    ) -> Prediction:
        """What a recording shows, over windows that slide over it, or with the network's state running on.

        Args:
            source: The recording.
            config: Windows and segments.
            progress: Told how far it is.

        Raises:
            ConfigError: The configuration does not fit the network.
            FileError: The recording is damaged.
            DataError: It holds no events, or covers less than half of a window.
        """
        bins = self.window_bins(config)
        seen = _Seen(source, bins.step_us, progress)
        with count_activity(self.network) as layers, torch.no_grad():
            answers = (self._run_on if config.stateful else self._slide)(bins, config, seen)
        if not seen.events:
            raise DataError(f"{source.name}: {_why_none(seen.recorded, config)}")
        if not len(answers):
            raise DataError(f"{source.name}: {_too_short(bins, seen)}")
        heard = ~answers.quiet(config.segments)
        mean = answers.probabilities[heard if heard.any() else ~heard].mean(axis=0)
        label = int(mean.argmax())
        classes = self.config.classes
        return Prediction(
            file=source.name,
            label=label,
            class_name=classes[label],
            probability=float(mean[label]),
            certain=bool(mean[label] >= config.segments.enter),
            probabilities=tuple(float(p) for p in mean),
            events=seen.events,
            first_us=seen.first_us,
            last_us=seen.last_us,
            answers=answers,
            segments=find_segments(answers, classes, config.segments, seen.first_us, seen.last_us + 1),
            rates=seen.rates,
            judged_us=seen.judged_us,
            layers=tuple(layers),
            counted=bins.dtype == np.uint8,
            trained_on=self.config.trained_on,
        )

    def window_bins(self, config: InferConfig) -> BinConfig:
        """How a window becomes a spike tensor: as the network learned, but perhaps of another length.

        Raises:
            ConfigError: The network's windows are not made by time, or the length is not a whole number of its steps.
        """
        bins, step_us = self.config.bins, self.config.bins.step_us
        if bins.by != "time":
            given = [name for name in ("window_us", "hop_us", "stateful") if getattr(config, name)]
            if given:
                cut = "number of events" if bins.by == "events" else "whole recordings"
                raise ConfigError(f"{given[0]}: the network's windows are made by {cut}, not by time")
            return bins
        if config.window_us is not None:
            steps = _whole_steps("window", config.window_us, step_us)
            bins = build(BinConfig, bins.model_dump() | {"steps": steps}, "window")
        if config.hop_us is not None and config.stateful:
            _whole_steps("hop", config.hop_us, step_us)
        if config.hop_us is not None and config.hop_us < step_us:
            raise ConfigError(
                f"a hop of {config.hop_us / 1000:g} ms is shorter than the network's step of {step_us / 1000:g} ms"
            )
        return bins

    def _slide(self, bins: BinConfig, config: InferConfig, seen: _Seen) -> Answers:
        """The answers for windows, each from a state of rest."""
        together = max(1, min(MOST_WINDOWS, self._images // bins.steps))
        rows: list[tuple[int, int, int]] = []
        logits: list[NDArray[np.float32]] = []
        judged = (window for window in _windows(bins, config, seen) if _covers(window, bins, seen))
        while batch := list(itertools.islice(judged, together)):
            rows += [(window.start_us, window.end_us, window.events) for window in batch]
            seen.judged_us += sum(window.end_us - window.start_us for window in batch)
            outputs, _ = self._forward(np.stack([window.spikes for window in batch], axis=1), None)
            logits.append(outputs.mean(axis=0))
        hop_us = (config.hop_us or bins.window_us) if bins.by == "time" else None
        return self._answers(rows, logits, hop_us, bins, seen)

    def _run_on(self, bins: BinConfig, config: InferConfig, seen: _Seen) -> Answers:
        """The answers of a network whose state runs on; it begins anew after a pause of more than a window.

        An answer is the mean of the outputs so far, and from a window's length on the exponential moving mean: output n
        moves it by 1 / n of the difference, at least by 1 / T. So the first window's last answer is that of the window,
        and with a window as long as the recording the last is that of the whole recording.
        """
        T, step_us = bins.steps, bins.step_us
        hop = (config.hop_us or step_us) // step_us
        start_us, stream = begin_of(seen.parts())
        rows: list[tuple[int, int, int]] = []
        logits: list[NDArray[np.float32]] = []
        state: State | None = None
        mean, count, begun_us, last = np.zeros(0, np.float32), 0, 0, -1
        recent: deque[int] = deque(maxlen=T)
        for block in _blocks(encode_steps(stream, bins, start_us, T), max(1, min(T, self._images))):
            if block[0].begins:
                state, count, begun_us = None, 0, start_us + block[0].number * step_us
                mean = np.zeros(len(self.config.classes), np.float32)
                recent.clear()
            outputs, state = self._forward(np.stack([step.spikes for step in block])[:, None], state)
            seen.judged_us += len(block) * step_us
            for step, output in zip(block, outputs[:, 0], strict=True):
                count += 1
                mean = mean + np.float32(max(1 / count, 1 / T)) * (output - mean)
                recent.append(step.events)
                last, end_us = step.number, start_us + (step.number + 1) * step_us
                row = max(begun_us, end_us - bins.window_us), end_us, sum(recent)
                if (last + 1) % hop == 0:
                    rows.append(row)
                    logits.append(mean[None])
        if (last + 1) % hop:  # the recording's end
            rows.append(row)
            logits.append(mean[None])
        return self._answers(rows, logits, hop * step_us, bins, seen, round(bins.window_us * log(2)))

    def _answers(
        self, rows: list[tuple[int, int, int]], logits: list[NDArray[np.float32]], hop_us: int | None, bins: BinConfig,
        seen: _Seen, lag_us: int | None = None,
    ) -> Answers:  # fmt: skip
        start_us, end_us, events = np.array(rows, np.int64).reshape(-1, 3).T
        joined = np.concatenate([np.zeros((0, len(self.config.classes)), np.float32), *logits])
        probabilities = torch.from_numpy(joined / np.float32(self.config.temperature)).softmax(1).numpy()
        runs_on = lag_us is not None
        lag_us = bins.window_us // 2 if lag_us is None else lag_us
        near = events
        if hop_us is not None:
            half_us = max(hop_us, bins.window_us // 4) // 2
            at_us = middle_us(start_us, end_us, hop_us, lag_us)
            near = seen.steps.between(np.maximum(at_us - half_us, start_us), np.minimum(at_us + half_us, end_us))
        return Answers(start_us, end_us, events, near, probabilities, hop_us, lag_us, runs_on)

    def _forward(self, spikes: NDArray[np.generic], state: State | None) -> tuple[NDArray[np.float32], State | None]:
        """The network's outputs [T, B, K] of spike tensors [T, B, C, H, W], and its state; in pieces that fit."""
        device = next(self.network.parameters()).device
        together = max(1, self._images // spikes.shape[1])
        outputs = []
        for first in range(0, len(spikes), together):
            output, state = self.network(torch.from_numpy(spikes[first : first + together]).to(device), state)
            outputs.append(output.float().cpu().numpy())
        return np.concatenate(outputs), state


def _blocks(steps: Iterable[Step], most: int) -> Iterator[list[Step]]:
    """Consecutive steps together, at most so many; one that begins anew begins a block."""
    block: list[Step] = []
    for step in steps:
        if block and (step.begins or len(block) == most):
            yield block
            block = []
        block.append(step)
    if block:
        yield block


def _windows(bins: BinConfig, config: InferConfig, seen: _Seen) -> Iterator[Window]:
    """The windows of a recording, made as the bins say."""
    if bins.by == "recording":
        return take_whole(seen.parts, bins)
    if bins.by == "events":
        return divide_by_events(seen.parts(), bins)
    return slide(seen.parts(), bins, config.hop_us or bins.window_us)


def _covers(window: Window, bins: BinConfig, seen: _Seen) -> bool:
    """Whether a recording, of which all was seen that this window needs, reaches into its second half."""
    if bins.by == "time":
        return seen.last_us - window.start_us >= LEAST_PART * bins.window_us
    return bins.by == "recording" or window.events >= LEAST_PART * bins.window_events


def _why_none(recorded: int, config: InferConfig) -> str:
    if not recorded:
        return "the recording holds no events"
    where = "is left when they are scaled" if config.fit == "scale" else "lies in the region that is looked at"
    return f"of its {recorded:,} events none {where}"


def _too_short(bins: BinConfig, seen: _Seen) -> str:
    if bins.by == "events":
        return f"holds {seen.events:,} events, less than half of the network's window of {bins.window_events:,}"
    lasts_s, window_s = (seen.last_us - seen.first_us) * 1e-6, bins.window_us * 1e-6
    return f"lasts {lasts_s:.3g} s, less than half of the window of {window_s:.3g} s; --window MS takes a shorter one"


def _whole_steps(what: str, length_us: int, step_us: int) -> int:
    """How many steps a time is."""
    steps, rest = divmod(length_us, step_us)
    if rest:
        near = [step_us * number / 1000 for number in (steps, steps + 1) if number]
        raise ConfigError(
            f"a {what} of {length_us / 1000:g} ms is no whole number of the network's steps of {step_us / 1000:g} ms; "
            f"{' and '.join(f'{ms:g}' for ms in near)} ms {'are' if len(near) > 1 else 'is'}"
        )
    return steps
