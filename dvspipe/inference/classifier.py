"""Classify recordings of any length with a trained network, in bounded memory."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Iterator
from dataclasses import replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, DataError, count_noun
from ..base.progress import NamedStep, Progress, ignore_progress
from ..checkpoints.checkpoint import ClassifierConfig, as_arrays, digest_of, load_checkpoint, pin_checkpoint
from ..encoding import BinConfig
from ..formats import RecordingLike
from ..framing import EventSource, FramingConfig, RegionConfig, open_source
from ..hooks import Adviser, Film, plugins
from ..results import Basis
from ..results import Prediction as Prediction  # also a name of `dvspipe.inference`
from ..results import Timeline as Timeline
from ..results.timeline import find_centers
from .answers import find_answer, find_peak_span, find_reason
from .config import InferConfig
from .reading import Reader
from .segments import SegmentConfig, find_segments, is_quiet
from .stateful import Output, StatefulRun, group_steps
from .windows import encode_steps, find_start

if TYPE_CHECKING:
    from torch.nn import Module

    from .windows import WindowSpikes

log = logging.getLogger(__name__)

MAX_WINDOWS = 16  # windows per forward pass
MAX_OUTPUT_BYTES = 12 << 20  # output of the first layer per forward pass


class Classifier:
    """A trained network that classifies recordings and videos.

    Most users call `Classifier.load` and `predict`.

    Args:
        config: Classes, sensor, encoding, architecture and framing of the network.
        network: Network with its weights; it is set to evaluation mode.
        checkpoint: Checkpoint that the network was loaded from; None if it was built in memory.
        adviser: What the pictures of videos say about the classes; see `InferConfig.joints`.

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
        network: Module,
        checkpoint: str | None = None,
        *,
        adviser: Adviser | None = None,
    ) -> None:
        self.config = config
        self.adviser = adviser
        self.checkpoint = checkpoint

        from ..networks import streams  # they import torch, which takes seconds
        from .torch_runner import TorchRunner

        self.streams = streams(network)  # whether it can continue with a state

        # The memory of a forward pass is bounded by the output of the first layer.
        grid = config.bins.grid(config.sensor)
        channels = config.network.channels[0]
        image_bytes = 4 * grid.width * grid.height * max(config.bins.input_channels, channels)
        self.max_images = max(1, MAX_OUTPUT_BYTES // image_bytes)  # time steps of all windows per forward pass
        self.runner = TorchRunner(network.eval(), max_images=self.max_images)

    @property
    def network(self) -> Module:
        """Network in PyTorch, in evaluation mode."""
        return self.runner.network

    def __repr__(self) -> str:
        name = self.checkpoint or "in memory"
        config = self.config
        shape = f"{len(config.classes)} classes, sensor {config.sensor}, {config.bins.steps} steps"

        return f"Classifier({name!r}, {config.network.network}, {shape})"

    def to_record(self) -> ClassifierConfig:
        """Return the configuration, for `--json`."""
        return self.config

    @cached_property
    def digest(self) -> str:
        """SHA-256 of configuration and weights."""
        return digest_of({"config": self.config.model_dump_json()}, as_arrays(self.network.state_dict()))

    @classmethod
    def load(cls, path: str | Path, device: str = "cpu", *, network: Module | None = None) -> Classifier:
        """Load a classifier from a checkpoint.

        Args:
            path: Checkpoint file, folder of a training run, name of an included checkpoint, or model on the Hugging
                Face hub: `hf://user/name` or `hf://user/name@revision` (needs the extra `hub`).
            device: PyTorch device that the network runs on, such as `cuda:0`.
            network: Your own network, for a checkpoint of one; the weights are loaded into it.

        Raises:
            CheckpointError: If the file is missing or not a checkpoint, or the hub cannot be reached.
            ConfigError: If the weights are of your own network, and `network` is missing or another one.

        Example:
            >>> Classifier.load("gesture").config.classes[:2]
            ('hand_clapping', 'right_hand_wave')
        """
        name = pin_checkpoint(path)
        config, loaded = load_checkpoint(name, device, network)
        adviser = plugins().hook.advise(checkpoint=name, classes=config.classes)
        return cls(config, loaded, name, adviser=adviser)

    def predict(
        self,
        recording: RecordingLike,
        config: InferConfig = InferConfig(),
        *,
        progress: Progress | None = None,
    ) -> Prediction:
        """Classify a recording or video.

        Args:
            recording: File of any readable format, video (converted to events first), or events in memory.
            config: Settings of windows, segments and region, and metadata that the file lacks.
            progress: Callback with the finished and total time; see `classify`.

        Returns:
            `class_name` is the class of the complete recording, one of `self.config.classes`; `segments` are the
            classes over time. Networks have no class "none of these": check `certain`, and segments of the class
            `uncertain`.

        Raises:
            ConfigError: If the configuration does not fit the network, for example if the window is not a multiple of
                the network's time step.
            FileError: If the file is missing, corrupted or of an unknown format.
            VideoError: If the video cannot be decoded.
            DataError: If the recording has no events, is shorter than half a window, or comes from another sensor than
                the network's and needs `config.fit`.

        Example:
            >>> from dvspipe import Classifier
            >>> from dvspipe.synthesis import GestureClip, record_gesture
            >>> classifier = Classifier.load("gesture")
            >>> prediction = classifier.predict(record_gesture(GestureClip(1, person=0, clip=0, seed=0)))
            >>> prediction.class_name in classifier.config.classes, 0 <= prediction.probability <= 1
            (True, True)
            >>> [segment.t_start_us for segment in prediction.segments][0] == prediction.t_first_us
            True
        """
        search = NamedStep(progress or ignore_progress, "search", 0, 2)
        source = self.open(recording, config, progress=search)
        return self.classify(source, config, progress and NamedStep(progress, "classify", 1, 2))

    def framed(self, config: RegionConfig) -> FramingConfig:
        """Return the framing of the training, with the settings of a configuration.

        Example:
            >>> from dvspipe import Classifier, InferConfig
            >>> Classifier.load("gesture").framed(InferConfig(roi="full")).roi
            'full'
        """
        given = {name: value for name, value in config.given.items() if name in FramingConfig.model_fields}
        return FramingConfig(**given).with_defaults(self.config.framing)

    def open(
        self,
        recording: RecordingLike,
        config: InferConfig = InferConfig(),
        *,
        name: str | None = None,
        progress: Progress = ignore_progress,
    ) -> EventSource:
        """Open a recording or video to classify it.

        Args:
            recording: File, or events in memory.
            config: Settings of the classification. Used here: region of interest, fit to the network's sensor, part of
                a video, and metadata that the file lacks.
            name: Name of a video that decides the noise of its events; None: its file name.
            progress: Called with the amount searched for the region of interest and the total.

        Raises:
            FileError: If the file is missing or cannot be read.
            DataError: If the recording comes from another sensor than the network's and needs `config.fit`.
        """
        framing = self.framed(config)
        if name is not None:
            framing = framing.for_recording(name)
        is_advised = self.choose_adviser(config) is not None
        file_or_events = Path(recording) if isinstance(recording, str) else recording

        source = open_source(file_or_events, self.config.sensor, framing, is_advised=is_advised, progress=progress)
        for warning in source.warnings:
            log.warning("%s", warning)
        return source

    def classify(
        self, source: EventSource, config: InferConfig = InferConfig(), progress: Progress | None = None
    ) -> Prediction:
        """Classify an opened recording in sliding windows, or with one continuous network state (`config.stateful`).

        Args:
            source: Result of `open`.
            config: Settings of windows and segments.
            progress: Callback with the finished and total time in microseconds. The total is an estimate for videos,
                and 0 if unknown.

        Raises:
            ConfigError: If the configuration does not fit the network.
            FileError: If the recording is corrupted.
            DataError: If the recording has no events or is shorter than half a window.
        """
        film = source.film
        adviser = self.choose_adviser(config, source.name, is_film=film is not None)
        bins = self.window_bins(config)
        hop_us = self.hop_us(config)

        reader = Reader(source, bins.step_us, NamedStep(progress or ignore_progress, "events"))
        with self.runner.count_activity() as activity:
            run = self._run_steps if config.stateful else self._run_windows
            outputs = list(run(reader, bins, hop_us))

        timeline = self._to_timeline(outputs, reader, bins, config)

        basis: Basis = "events"
        explain = None
        if film is not None and adviser is not None:
            timeline, basis = _combine(timeline, adviser, film)
            explain = partial(adviser.explain, film)
            if config.joints and basis == "events":
                log.warning("%s: shows nobody for long enough; classified by events alone", source.name)

        # Quiet windows do not count, unless all are quiet.
        classes = self.config.classes
        quiet = is_quiet(timeline)
        used = quiet if quiet.all() else ~quiet
        t_first_us = reader.first_us
        t_end_us = reader.last_us + 1
        rules = self.choose_segments(config, is_film=film is not None)
        segments = find_segments(timeline, classes, rules, t_first_us=t_first_us, t_end_us=t_end_us)
        answer = find_answer(timeline, segments, classes, used)

        # The film may say why nothing is certain, where the first guess is most probable; otherwise the predictions do.
        reason = ""
        if answer.segment is None and explain is not None:
            reason = explain(classes[answer.label], *find_peak_span(timeline, answer.label, used))
        if answer.segment is None and not reason:
            reason = find_reason(answer, timeline, classes, used, rules, duration_us=t_end_us - t_first_us)

        return Prediction(
            file=source.name,
            label=answer.label,
            class_name=classes[answer.label],
            probability=answer.probability,
            certain=answer.segment is not None,
            t_start_us=None if answer.segment is None else answer.segment.t_start_us,
            t_end_us=None if answer.segment is None else answer.segment.t_end_us,
            reason=reason,
            probabilities=tuple(timeline.probabilities[used].mean(axis=0).tolist()),
            events=reader.steps.total,
            t_first_us=t_first_us,
            t_last_us=reader.last_us,
            windows=len(timeline),
            rates=reader.rates.summarize(),
            picture=str(source.picture),
            looked_at=source.looked_at,
            classified_us=reader.classified_us,
            layers=activity(),
            trained_on=self.config.trained_on,
            basis=basis,
            video=film is not None,
            synthetic=source.synthetic,
            warnings=tuple(source.warnings),
            segments=segments,
            timeline=timeline,
            classes=classes,
        )

    def choose_segments(self, config: InferConfig, *, is_film: bool) -> SegmentConfig:
        """Return the settings of segments; films have the threshold that was chosen on films, also without joints."""
        if self.adviser is None or not is_film:
            return config
        return config.with_enter(self.adviser.enter)

    def choose_adviser(self, config: InferConfig, name: str = "", *, is_film: bool = True) -> Adviser | None:
        """Return what advises on a source; None: events alone.

        Args:
            config: Settings.
            name: Name of the source in messages.
            is_film: Whether the source has pictures.

        Raises:
            ConfigError: If `config.joints` asks for joints, and the source has no pictures or the classifier no
                adviser, or if the classifier knows pictures alone, and there are none.
        """
        if self.adviser is not None and self.adviser.is_alone and (config.joints is False or not is_film):
            found = "events" if not is_film else "joints=false"
            raise ConfigError(
                f"{name or self.checkpoint}: the classifier knows joints alone (found {found}, expected a video)"
            )
        if config.joints and not is_film:
            raise ConfigError(f"{name}: joints need a video (found events); use joints=false to classify events alone")
        if config.joints and self.adviser is None:
            raise ConfigError(
                f"joints: {self.checkpoint or 'the classifier'} has no joint network (expected the extra people, and "
                "gesture or a classifier that learn made); use joints=false to classify events alone"
            )

        return self.adviser if is_film and config.joints is not False else None

    def window_bins(self, config: InferConfig) -> BinConfig:
        """Return the encoding of a window: as in training, with `config.window_us` if given.

        Raises:
            ConfigError: If a length is not a multiple of the network's time step, is given although the network's
                windows are not defined by time, or the network cannot be stateful.
        """
        bins = self.config.bins
        step_us = bins.step_us
        if config.stateful and not self.streams:
            raise ConfigError("stateful: the network needs complete windows; use stateful=false to classify windows")

        lengths = {"window_us": config.window_us, "hop_us": config.hop_us, "stateful": config.stateful}
        given = [name for name, value in lengths.items() if value]
        if bins.by != "time":
            if given:
                raise ConfigError(f"{given[0]}: has no meaning for windows by {bins.by} (expected windows by time)")
            return bins

        for name, length_us in (("window_us", config.window_us), ("hop_us", config.hop_us)):
            is_free = name == "hop_us" and not config.stateful
            if length_us is not None and (length_us < step_us or (length_us % step_us and not is_free)):
                raise ConfigError(
                    f"{name} = {length_us}: does not fit the network's time step (expected a multiple of {step_us} us)"
                )

        return bins if config.window_us is None else BinConfig(**bins.given | {"steps": config.window_us // step_us})

    def hop_us(self, config: InferConfig) -> int | None:
        """Return the time between predictions; None if the network's windows are not defined by time."""
        bins = self.window_bins(config)
        if bins.by != "time":
            return None
        if config.hop_us is not None:
            return config.hop_us
        if config.stateful:
            return bins.step_us

        # The hop of the training belongs to its windows, and is not used for other ones.
        trained_us = self.config.hop_us if config.window_us is None else None
        return trained_us or bins.tensor_us

    def _run_windows(self, reader: Reader, bins: BinConfig, hop_us: int | None) -> Iterator[Output]:
        """Classify sliding windows; the network state is reset for each window."""
        batch_size = max(1, min(MAX_WINDOWS, self.max_images // bins.steps))
        windows = reader.windows(bins, hop_us)
        while batch := list(itertools.islice(windows, batch_size)):
            spikes = cast("WindowSpikes", np.stack([window.spikes for window in batch], axis=1))
            for window, logits in zip(batch, self.runner.classify(spikes), strict=True):
                reader.classified_us += window.end_us - window.start_us
                yield Output(window.start_us, window.end_us, logits, window.events)

    def _run_steps(self, reader: Reader, bins: BinConfig, hop_us: int | None) -> Iterator[Output]:
        """Classify with one continuous network state; see `StatefulRun`."""
        assert hop_us is not None
        start_us, stream = find_start(reader.parts())
        run = StatefulRun(self.runner, bins, start_us=start_us, hop=hop_us // bins.step_us)
        steps = encode_steps(stream, bins, start_us=start_us, pause_steps=bins.steps)

        # A group can have one step more than its size; see `group_steps`.
        group_size = max(2, min(bins.steps, self.max_images - 1))
        for block in group_steps(steps, group_size):
            reader.classified_us += len(block) * bins.step_us
            yield from run.add(block)
        yield from run.finish()

    def _to_timeline(self, outputs: list[Output], reader: Reader, bins: BinConfig, config: InferConfig) -> Timeline:
        """Join the outputs over time; without any, the recording is too short or empty, which is an error."""
        if not outputs:
            raise _explain_nothing(reader, bins, self.framed(config))
        start_us = np.array([output.start_us for output in outputs], np.int64)
        end_us = np.array([output.end_us for output in outputs], np.int64)
        logits = np.stack([output.logits for output in outputs])

        counts = np.array([output.events for output in outputs], np.int64)
        events = reader.steps.between(start_us, end_us) if config.stateful else counts

        # Half of the weight of a running mean with the time constant T is older than T log 2.
        hop_us = self.hop_us(config)
        lag_us = round(bins.tensor_us * math.log(2)) if config.stateful else bins.tensor_us // 2

        # Whether a time is quiet depends on the events near the centre of its window, not on all of them.
        nearby_events = events
        if hop_us is not None:
            half_us = max(hop_us, bins.tensor_us // 4) // 2
            centers_us = find_centers(start_us, end_us, hop_us=hop_us, lag_us=lag_us)
            first_us = np.maximum(centers_us - half_us, start_us)
            nearby_events = reader.steps.between(first_us, np.minimum(centers_us + half_us, end_us))

        return Timeline(
            t_start_us=start_us,
            t_end_us=end_us,
            events=events,
            nearby_events=nearby_events,
            probabilities=self.config.probabilities(logits),
            familiar=self.config.is_familiar(logits),
            hop_us=hop_us,
            lag_us=lag_us,
            stateful=config.stateful,
        )


def as_classifier(classifier: Classifier | str | Path) -> Classifier:
    """Return a classifier unchanged, and load a checkpoint; see `Classifier.load`."""
    return classifier if isinstance(classifier, Classifier) else Classifier.load(classifier)


def _combine(timeline: Timeline, adviser: Adviser, film: Film) -> tuple[Timeline, Basis]:
    """Combine the predictions by events with what the pictures say."""
    probabilities = adviser.combine(film, timeline.probabilities, timeline.t_start_us, timeline.t_end_us)

    basis = name_basis(timeline.probabilities, probabilities, is_alone=adviser.is_alone)
    return replace(timeline, probabilities=probabilities), basis


def name_basis(by_events: NDArray[np.float32], combined: NDArray[np.float32], *, is_alone: bool) -> Basis:
    """Return the inputs of a prediction.

    Args:
        by_events: Probabilities by events.
        combined: Probabilities by events and pictures.
        is_alone: Whether the classifier knows pictures alone.
    """
    if is_alone:
        return "joints"

    # Without a change, no window shows the person; with one, also windows without a person become less certain.
    return "events" if np.array_equal(combined, by_events) else "joints and events"


def _explain_nothing(reader: Reader, bins: BinConfig, framing: FramingConfig) -> DataError:
    """Return the error for a recording without windows, with advice that can change this."""
    source = reader.source
    region = str(source.looked_at[0])
    events = f"{reader.steps.total:,} of {count_noun(reader.rates.total, 'event')} in {region} of {source.picture}"
    lasts_s = (reader.last_us - reader.first_us) * 1e-6

    problem = f"{source.name}: {events} reach the network, in {lasts_s:.3g} s"
    problem += f" (expected half a window of {bins.tensor_us * 1e-6:.3g} s)"

    if reader.steps.total and bins.by == "time":
        problem += "; use window_us=MICROSECONDS for a shorter window"
    if framing.roi != "full" and region != f"{source.picture}+0+0":
        problem += "; use roi=full for the complete picture"
    return DataError(problem)
