"""A trained classifier for recordings of any length, in bounded memory."""

from __future__ import annotations

import itertools
import logging
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..checkpoints.checkpoint import (
    Checkpoint,
    ClassifierConfig,
    digest_of,
    pin_checkpoint,
    read_checkpoint,
    upload_checkpoint,
)
from ..checkpoints.hub import SCHEME, HubModel
from ..checkpoints.model_card import write_card
from ..config import as_settings, build, find_differences, show_value
from ..encoding import BinConfig
from ..errors import ConfigError, DataError, EventError, Remedy, VideoError, count_noun
from ..events import Events, SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints
from ..framing import EventSource, open_source
from ..labels import GESTURES
from ..networks import (
    NO_MODULES,
    ClassMoments,
    ModuleConfig,
    ModuleSource,
    Network,
    State,
    count_activity,
    summarize_layers,
)
from ..parallel import Progress
from ..pose import track_pictures
from ..results import LayerActivity, Prediction, Timeline
from ..results.timeline import find_centers
from .config import InferConfig
from .joints import JOINT_LOOKS_HZ, included_classifier
from .rates import RateHistogram, StepCounts
from .segments import find_segments, is_quiet
from .windows import Step, Window, encode_complete, encode_steps, find_start, slide, split_by_events

log = logging.getLogger(__name__)

MIN_PART = 0.5  # of what a window adds that a recording must have for the window to count
MAX_WINDOWS = 16  # that are classified together
MAX_OUTPUT_BYTES = 12 << 20  # of the outputs of the first layer at a time
MODULE_CHANNELS = 12  # assumed of the first layer of a module, which is not known

OnWindows = Callable[[Sequence[Window], NDArray[np.float32]], object]
"""Called with windows that were classified together, and their logits [N, K]."""


class Classifier:
    """A trained network that classifies recordings.

    Args:
        config: What the network is.
        network: The network.
        checkpoint: The checkpoint that it was loaded from; None if there is none.
        moments: Those of its training recordings, which `adapt` needs; None if they are not known.
        modules: Where the network comes from if it is a module of yours, so that processes can load it too.

    Example:
        >>> import numpy as np
        >>> from dvspipe import Classifier, Events
        >>> classifier = Classifier.load("nmnist-synthetic")
        >>> rng = np.random.default_rng(0)
        >>> t, (x, y) = np.arange(0, 300_000, 300), rng.integers(0, 34, (2, 1000))
        >>> prediction = classifier.predict(Events(t, x, y, rng.integers(0, 2, 1000), classifier.config.sensor))
        >>> prediction.class_name in classifier.config.classes
        True
    """

    def __init__(
        self,
        config: ClassifierConfig,
        network: Network,
        checkpoint: str | None = None,
        moments: ClassMoments | None = None,
        modules: ModuleSource = NO_MODULES,
    ) -> None:
        self.config, self.modules = config, modules
        self.network = network.eval()
        self.checkpoint, self.moments = checkpoint, moments
        grid = config.bins.grid(config.sensor)
        channels = MODULE_CHANNELS if isinstance(config.network, ModuleConfig) else config.network.channels[0]
        image_bytes = 4 * grid.width * grid.height * max(config.bins.channels, channels)
        self.max_images = max(1, MAX_OUTPUT_BYTES // image_bytes)  # that go through the network together

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the configuration and the weights."""
        return digest_of({"config": self.config.model_dump_json()}, self.network.state_dict())

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        *,
        trust: str | Sequence[str] = (),
        network: nn.Module | None = None,
    ) -> Classifier:
        """Return the classifier in a checkpoint.

        Args:
            path: A file, the folder of a training run, the name of a checkpoint that comes with dvspipe, or one on the
                Hugging Face hub, `hf://user/name` or `hf://user/name@revision` (the extra `hub`).
            device: Where the network runs.
            trust: Packages whose code may run, for a checkpoint of `network.kind = module`.
            network: Your own network for such a checkpoint, whose weights are loaded into it.

        Raises:
            CheckpointError: The file is missing or not a checkpoint, or the hub cannot be reached.
            ConfigError: The network is a module whose package is not trusted, or that cannot be made.
        """
        modules = ModuleSource.of(trust, network)
        name = pin_checkpoint(path)
        loaded = read_checkpoint(name, device, modules)
        return cls(loaded.config, loaded.network, name, loaded.moments, modules)

    def push_to_hub(self, name: str, *, license: str = "unknown", private: bool = False) -> str:  # noqa: A002
        """Write the classifier to the Hugging Face hub (the extra `hub`), and return its name there with the commit.

        The repository gets the weights, the configuration, and a model card made from the records of the training run
        that the classifier was loaded from. You have to be logged in (`hf auth login`).

        Args:
            name: `user/name`; a new repository is made if there is none.
            license: Licence of the weights as the hub names it, such as `mit` or `cc-by-4.0`.
            private: Whether a new repository is private.

        Raises:
            CheckpointError: The hub cannot be reached, or refuses.
            FileError: The records of the run are corrupted.
            ConfigError: Its configuration is.

        Example:
            >>> Classifier.load("runs/train/mine").push_to_hub("user/mine", license="mit")  # doctest: +SKIP
            'hf://user/mine@3f8c1b0'
        """
        from ..training.records import find_records  # training takes time to import, and only this needs it

        model = HubModel.parse(name if name.startswith(SCHEME) else SCHEME + name)
        card = write_card(model.name, self.config, find_records(self.checkpoint), license)
        checkpoint = Checkpoint(self.config, self.network, self.moments)
        return str(upload_checkpoint(model, checkpoint, card, private=private))

    def predict(
        self,
        recording: str | Path | Events,
        config: InferConfig | Mapping[str, object] = InferConfig(),
        *,
        sensor: SensorSizeLike | None = None,
        hints: Hints = NO_HINTS,
        progress: Progress | None = None,
    ) -> Prediction:
        """Return the prediction for a recording or video: one of the classes that the network was trained on.

        Args:
            recording: A file of any readable format, a video, which is simulated first, or events in memory.
            config: Windows, segments, and how the recording fits the network's sensor; also as plain keys and values.
            sensor: Its sensor, for a file that does not name it.
            hints: What else the file does not say.
            progress: Called with the time done and in all, as in `classify`.

        Returns:
            The class of the complete recording, `class_name`, one of `self.config.classes`, and what is shown when. The
            network has no class for "none of them": look at `certain` and at the segments that are `uncertain`.

        Raises:
            ConfigError: The configuration does not fit the network, such as a window that is no multiple of its step.
            FileError: The file is missing, corrupted, or of an unknown format.
            VideoError: The video cannot be decoded.
            DataError: It comes from another sensor than the network's and `config.fit` is None, or it has no events, or
                less than half of a window.

        Example:
            >>> from dvspipe import Classifier
            >>> from dvspipe.synthesis import GestureClip, record_gesture
            >>> classifier = Classifier.load("gesture-synthetic")
            >>> prediction = classifier.predict(record_gesture(GestureClip(1, person=0, clip=0, seed=0)))
            >>> prediction.class_name in classifier.config.classes, 0 <= prediction.probability <= 1
            (True, True)
            >>> [segment.t_start_us for segment in prediction.segments][0] == prediction.t_first_us
            True
        """
        return self.classify(self.open(recording, config, sensor=sensor, hints=hints), config, progress)

    def framed(self, config: InferConfig | Mapping[str, object] = InferConfig()) -> InferConfig:
        """Return a configuration with the framing and hop of the training for each setting that is not given.

        Args:
            config: Settings, also as plain keys and values.

        Example:
            >>> Classifier.load("gesture-synthetic").framed({"roi": "full"}).roi
            'full'
        """
        framed = as_settings(InferConfig, config).with_defaults(self.config.framing)
        is_given = framed.hop_us is not None or framed.window_us is not None or framed.stateful
        return framed if is_given else framed.model_copy(update={"hop_us": self.config.hop_us})

    def find_overrides(self, config: InferConfig | Mapping[str, object], *, videos: bool = True) -> tuple[str, ...]:
        """Return each setting of the framing that differs from the training, as text with both values.

        Args:
            config: Settings, also as plain keys and values.
            videos: Whether videos are classified; otherwise settings of videos change nothing and are left out.
        """
        trained = self.config.framing.model_dump(mode="json")
        used = self.framed(config).model_dump(mode="json", include=set(trained))
        return tuple(
            f"{key} = {show_value(now)} (trained with {show_value(before)})"
            for key, before, now in find_differences(trained, used)
            if videos or not key.startswith("video.")
        )

    def open(
        self,
        recording: str | Path | Events,
        config: InferConfig | Mapping[str, object] = InferConfig(),
        *,
        sensor: SensorSizeLike | None = None,
        hints: Hints = NO_HINTS,
    ) -> EventSource:
        """Open a recording or video to classify it.

        Args:
            recording: A file, or events in memory.
            config: Which part of it to use, how to fit it to the network's sensor, and how a video becomes events, for
                what differs from the training; also as plain keys and values.
            sensor: Its sensor, for a file that does not name it.
            hints: What else the file does not say.

        Raises:
            FileError: It is missing or cannot be read.
            DataError: It comes from another sensor than the network's, and `config.fit` does not say what to do.
            EventError: It is neither a file nor events.
        """
        config = self.framed(config)
        if not isinstance(recording, str | Path | Events):
            raise EventError(f"recording: found {type(recording).__name__}, expected a file or Events")
        given = recording if isinstance(recording, Events) else Path(recording)
        size = None if sensor is None else SensorSize.of(sensor)
        source = open_source(given, self.config.sensor, config, sensor=size, hints=hints)
        for warning in source.warnings:
            log.warning("%s", warning)
        return source

    def classify(
        self,
        recording: EventSource | str | Path | Events,
        config: InferConfig | Mapping[str, object] = InferConfig(),
        progress: Progress | None = None,
        on_windows: OnWindows | None = None,
    ) -> Prediction:
        """Return the prediction for a recording, by sliding windows or with the network's state kept.

        Args:
            recording: What `open` returns, or takes.
            config: Windows and segments, also as plain keys and values.
            progress: Called with the time done and in all, in microseconds; the latter is 0 if unknown, and an estimate
                for a video.
            on_windows: Called with the windows and their logits, in order; not with `config.stateful`.

        Raises:
            ConfigError: The configuration does not fit the network.
            FileError: The recording is corrupted.
            DataError: It has no events, or less than half of a window.
        """
        config = self.framed(config)
        source = recording if isinstance(recording, EventSource) else self.open(recording, config)
        if config.pose:
            self._check_pose(source)
        bins = self.window_bins(config)
        reader = _Reader(source, bins.step_us, progress)
        with count_activity(self.network) as counters, torch.no_grad():
            if config.stateful:
                outputs = self._classify_stateful(bins, config, reader)
            else:
                outputs = self._classify_windows(bins, config, reader, on_windows)
        if not reader.events:
            raise DataError(f"{source.name}: {_explain_no_events(reader, config)}")
        if not outputs.spans:
            raise _too_short(source.name, bins, reader)
        layers = summarize_layers(counters, counted=bins.dtype.kind == "u")
        timeline = self._to_timeline(outputs, bins.window_us, reader.steps)
        return self._summarize(reader, _add_joints(timeline, source) if config.pose else timeline, config, layers)

    def _check_pose(self, source: EventSource) -> None:
        """Check that joints can be combined with the events.

        Raises:
            ConfigError: The classes are not those of the network for joints, or the source has no pictures.
        """
        remedy = Remedy("config.pose", False, "classify events alone")
        if self.config.classes != GESTURES:
            raise ConfigError(
                f"pose: needs a classifier of the {len(GESTURES)} classes of DVS128 Gesture (found "
                f"{len(self.config.classes)} classes, the first is {self.config.classes[0]})",
                remedy,
            )
        if source.film is None:
            raise ConfigError(f"{source.name}: pose needs the pictures of a video (found events)", remedy)

    def window_bins(self, config: InferConfig) -> BinConfig:
        """Return how a window becomes a spike tensor: as in training, but perhaps of another length.

        Raises:
            ConfigError: The network's windows are not made by time, or the length is not a multiple of its time step.
        """
        bins, step_us = self.config.bins, self.config.bins.step_us
        network = self.config.network
        if config.stateful and isinstance(network, ModuleConfig) and not network.has_explicit_state:
            raise ConfigError(
                f"stateful: network.call = {network.call} does not return its state (expected sequence_state or "
                "step_state)",
                Remedy("config.stateful", False, "classify windows"),
            )
        if config.stateful and self.config.network.spikes_once:
            raise ConfigError(
                f"stateful: network.kind = {self.config.network.kind} needs complete windows, as its neurons spike at "
                "most once",
                Remedy("config.stateful", False, "classify windows"),
            )
        if bins.by != "time":
            given = [name for name in ("window_us", "hop_us", "stateful") if getattr(config, name)]
            if given:
                unit = "number of events" if bins.by == "events" else "recording"
                raise ConfigError(f"{given[0]}: the network's windows are made by {unit}, not by time")
            return bins
        if config.window_us is not None:
            steps = _divide("window", config.window_us, step_us)
            bins = build(BinConfig, bins.model_dump() | {"steps": steps}, "window")
        if config.hop_us is not None and config.stateful:
            _divide("hop", config.hop_us, step_us)
        if config.hop_us is not None and config.hop_us < step_us:
            raise ConfigError(
                f"hop of {config.hop_us / 1000:g} ms: shorter than the network's time step of {step_us / 1000:g} ms"
            )
        return bins

    def _classify_windows(
        self, bins: BinConfig, config: InferConfig, reader: _Reader, on_windows: OnWindows | None
    ) -> _Outputs:
        """Return the outputs for windows; the state of each starts at rest."""
        together = max(1, min(MAX_WINDOWS, self.max_images // bins.steps))
        hop_us = (config.hop_us or bins.window_us) if bins.by == "time" else None
        outputs = _Outputs([], [], hop_us, lag_us=bins.window_us // 2)
        windows = (each for each in _windows(bins, config, reader) if _is_covered(each, bins, hop_us, reader))
        while batch := list(itertools.islice(windows, together)):
            outputs.spans.extend(_Span(window.start_us, window.end_us, window.events) for window in batch)
            logits, _ = self._forward(torch.from_numpy(np.stack([window.spikes for window in batch], axis=1)), None)
            outputs.logits.append(logits.mean(axis=0))
            if on_windows:
                on_windows(batch, outputs.logits[-1])
        reader.classified_us = sum(span.end_us - span.start_us for span in outputs.spans)
        return outputs

    def _classify_stateful(self, bins: BinConfig, config: InferConfig, reader: _Reader) -> _Outputs:
        """Return the outputs of a network whose state is kept, except over pauses of more than a window.

        A prediction is a running mean of outputs (see `_RunningMean`). The last prediction of the first window is thus
        that of the window, and if the window is as long as the recording, the last one is that of the recording.
        """
        step_us = bins.step_us
        hop = (config.hop_us or step_us) // step_us
        outputs = _Outputs([], [], hop * step_us, lag_us=round(bins.window_us * math.log(2)), stateful=True)
        start_us, stream = find_start(reader.parts())
        state: State | None = None
        mean = _RunningMean(bins, len(self.config.classes), start_us)
        steps = encode_steps(stream, bins, start_us=start_us, pause_steps=bins.steps)
        for block in _group(steps, max(1, min(bins.steps, self.max_images))):
            if block[0].is_first:
                state = None
                mean = _RunningMean(bins, len(self.config.classes), start_us + block[0].number * step_us)
            logits, state = self._forward(torch.from_numpy(np.stack([step.spikes for step in block])[:, None]), state)
            reader.classified_us += len(block) * step_us
            for step, output in zip(block, logits[:, 0], strict=True):
                mean.add(output, step.events)
                if (step.number + 1) % hop == 0:
                    outputs.add(mean)
        if mean.steps and (not outputs.spans or outputs.spans[-1].end_us < mean.end_us):  # the end of the recording
            outputs.add(mean)
        return outputs

    def _to_timeline(self, outputs: _Outputs, window_us: int, steps: StepCounts) -> Timeline:
        start_us, end_us, events = np.array(outputs.spans, np.int64).reshape(-1, 3).T
        logits = np.concatenate(outputs.logits)
        hop_us, lag_us = outputs.hop_us, outputs.lag_us
        nearby = events
        if hop_us is not None:
            half_us = max(hop_us, window_us // 4) // 2
            center_us = find_centers(start_us, end_us, hop_us=hop_us, lag_us=lag_us)
            nearby = steps.between(np.maximum(center_us - half_us, start_us), np.minimum(center_us + half_us, end_us))
        return Timeline(
            t_start_us=start_us,
            t_end_us=end_us,
            events=events,
            nearby_events=nearby,
            probabilities=self.config.probabilities(logits),
            familiar=self.config.is_familiar(logits),
            hop_us=hop_us,
            lag_us=lag_us,
            stateful=outputs.stateful,
        )

    def _summarize(
        self, reader: _Reader, timeline: Timeline, config: InferConfig, layers: tuple[LayerActivity, ...]
    ) -> Prediction:
        """Return the prediction for a recording by its predictions over time."""
        quiet = is_quiet(timeline, config.segments)
        shown = quiet if quiet.all() else ~quiet
        mean = timeline.probabilities[shown].mean(axis=0)
        label = int(mean.argmax())
        classes = self.config.classes
        t_first_us, t_end_us = reader.first_us, reader.last_us + 1
        return Prediction(
            file=reader.source.name,
            label=label,
            class_name=classes[label],
            probability=float(mean[label]),
            certain=bool(mean[label] >= config.segments.enter and 2 * timeline.familiar[shown].sum() >= shown.sum()),
            probabilities=tuple(float(p) for p in mean),
            events=reader.events,
            t_first_us=reader.first_us,
            t_last_us=reader.last_us,
            windows=len(timeline),
            rates=reader.rates.summarize(),
            picture=str(reader.source.picture),
            looked_at=reader.source.looked_at,
            classified_us=reader.classified_us,
            layers=layers,
            trained_on=self.config.trained_on,
            basis="joints and events" if config.pose else "events",
            synthetic=reader.source.synthetic,
            segments=find_segments(timeline, classes, config.segments, t_first_us=t_first_us, t_end_us=t_end_us),
            timeline=timeline,
            classes=classes,
        )

    def _forward(self, spikes: torch.Tensor, state: State | None) -> tuple[NDArray[np.float32], State | None]:
        """Return the network's outputs [T, B, K] for spikes [T, B, C, H, W], and its state; in pieces that fit."""
        device = next(self.network.parameters()).device
        together = max(1, self.max_images // spikes.shape[1]) if self.network.streams else len(spikes)
        outputs = []
        for first in range(0, len(spikes), together):
            output, state = self.network(spikes[first : first + together].to(device), state)
            outputs.append(output.float().cpu().numpy())
        return np.concatenate(outputs), state


def _add_joints(timeline: Timeline, source: EventSource) -> Timeline:
    """Return predictions by joints and events; those of times without a person stay as they are."""
    assert source.film is not None  # checked before
    film = source.film()
    try:
        track = track_pictures(film.pictures(), film.size, {"max_fps": JOINT_LOOKS_HZ}, name=source.name)
    except VideoError as error:
        log.warning("%s; classified by events alone", error)
        return timeline
    combined = included_classifier().combine(timeline.probabilities, track, timeline.t_start_us, timeline.t_end_us)
    return replace(timeline, probabilities=combined)


class _Reader:
    """Reads a recording and counts its events.

    Attributes:
        recorded: Number of events so far.
        rates: Their number over time.
        events: Number of events on the network's sensor so far.
        first_us: Time of the first of them.
        last_us: Time of the last.
        steps: Their number in each step.
        classified_us: Time that went through the network.
    """

    def __init__(self, source: EventSource, step_us: int, progress: Progress | None) -> None:
        self.source, self._step_us, self._progress = source, step_us, progress
        self.classified_us = 0
        self._start()

    def _start(self) -> None:
        self.recorded, self.rates, self._done_us = 0, RateHistogram(), 0
        self.events, self.first_us, self.last_us = 0, 0, 0
        self.steps = StepCounts(self._step_us)

    def parts(self) -> Iterator[Events]:
        """Yield the events on the network's sensor; each call reads the recording from its start."""
        self._start()
        for part in self.source.read_fitted(self._count_recorded):
            self.steps.add(part)
            if len(part):
                self.first_us = self.first_us if self.events else int(part.t[0])
                self.events, self.last_us = self.events + len(part), int(part.t[-1])
            yield part

    def _count_recorded(self, part: Events) -> None:
        self.rates.add(part)
        self.recorded += len(part)
        first_us, last_us = self.source.span_us or (0, 0)
        self._done_us = int(part.t[-1]) - first_us if len(part) else self._done_us
        if self._progress:
            self._progress(self._done_us, last_us - first_us)


class _Span(NamedTuple):
    """Time that a prediction is made from, and number of events in it."""

    start_us: int
    end_us: int
    events: int


@dataclass(frozen=True, eq=False)
class _Outputs:
    """What the network puts out over time; `hop_us`, `lag_us` and `stateful` are those of `Timeline`."""

    spans: list[_Span]
    logits: list[NDArray[np.float32]]  # [n, K] each, N in all
    hop_us: int | None
    lag_us: int
    stateful: bool = False

    def add(self, mean: _RunningMean) -> None:
        self.spans.append(mean.span)
        self.logits.append(mean.value[None])


class _RunningMean:
    """Mean of outputs, and the window that it stands for.

    The mean of all outputs so far, and once there are T of them, an exponential moving mean: output n changes it by
    1 / n of the difference, but at least by 1 / T.

    Args:
        bins: Length of the window, T steps.
        classes: K.
        start_us: Start of the first step.
    """

    def __init__(self, bins: BinConfig, classes: int, start_us: int) -> None:
        self._bins, self._start_us = bins, start_us
        self._recent: deque[int] = deque(maxlen=bins.steps)  # events in the last T steps
        self.value = np.zeros(classes, np.float32)
        self.steps = 0

    def add(self, output: NDArray[np.float32], events: int) -> None:
        self.steps += 1
        self.value = self.value + np.float32(max(1 / self.steps, 1 / self._bins.steps)) * (output - self.value)
        self._recent.append(events)

    @property
    def end_us(self) -> int:
        return self._start_us + self.steps * self._bins.step_us

    @property
    def span(self) -> _Span:
        return _Span(max(self._start_us, self.end_us - self._bins.window_us), self.end_us, sum(self._recent))


def _group(steps: Iterable[Step], size: int) -> Iterator[list[Step]]:
    """Yield groups of consecutive steps, at most `size`; a step after a pause starts a group."""
    group: list[Step] = []
    for step in steps:
        if group and (step.is_first or len(group) == size):
            yield group
            group = []
        group.append(step)
    if group:
        yield group


def _windows(bins: BinConfig, config: InferConfig, reader: _Reader) -> Iterator[Window]:
    if bins.by == "recording":
        return encode_complete(reader.parts, bins)
    if bins.by == "events":
        return split_by_events(reader.parts(), bins)
    return slide(reader.parts(), bins, config.hop_us or bins.window_us)


def _is_covered(window: Window, bins: BinConfig, hop_us: int | None, reader: _Reader) -> bool:
    """Return whether a recording, read as far as a window needs, covers half of what it adds to those before."""
    if hop_us is not None:
        added_us = bins.window_us if window.start_us <= reader.first_us else min(hop_us, bins.window_us)
        return reader.last_us - window.start_us >= bins.window_us - MIN_PART * added_us
    return bins.by == "recording" or window.events >= MIN_PART * bins.window_events


def _explain_no_events(reader: _Reader, config: InferConfig) -> str:
    if not reader.recorded:
        return "has no events"
    where = "is in the region" if config.fit == "crop" or config.roi not in (None, "full") else "remains after scaling"
    return f"none of its {count_noun(reader.recorded, 'event')} {where}"


def _too_short(name: str, bins: BinConfig, reader: _Reader) -> DataError:
    if bins.by == "events":
        found = f"has {count_noun(reader.events, 'event')}"
        return DataError(f"{name}: {found}, less than half of the network's window of {bins.window_events:,}")
    lasts_us = reader.last_us - reader.first_us
    found = f"lasts {lasts_us * 1e-6:.3g} s, less than half of the window of {bins.window_us * 1e-6:.3g} s"
    shorter_us = max(1, lasts_us // bins.step_us) * bins.step_us
    return DataError(f"{name}: {found}", Remedy("config.window_us", shorter_us, "choose a shorter window"))


def _divide(name: str, length_us: int, step_us: int) -> int:
    """Return the number of steps in a length of time.

    Raises:
        ConfigError: It is not a whole number.
    """
    steps, rest = divmod(length_us, step_us)
    if rest:
        nearest = " and ".join(f"{step_us * number / 1000:.15g} ms" for number in (steps, steps + 1) if number)
        raise ConfigError(
            f"{name} of {length_us / 1000:.15g} ms: not a multiple of the network's time step of {step_us / 1000:g} ms "
            f"(nearest: {nearest})"
        )
    return steps
