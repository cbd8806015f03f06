"""Classify recordings of any length with a trained network, in bounded memory."""

from __future__ import annotations

import itertools
import logging
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from numpy.typing import NDArray

from ..base.errors import (
    CheckpointError,
    ConfigError,
    DataError,
    EventError,
    brief,
    count_noun,
)
from ..base.progress import NamedStep, Progress, ignore_progress
from ..checkpoints.checkpoint import (
    ClassifierConfig,
    as_arrays,
    digest_of,
    load_checkpoint,
    pin_checkpoint,
)
from ..encoding import BinConfig
from ..events import Events
from ..formats import RecordingLike
from ..framing import EventSource, open_source
from ..hooks import Adviser, plugins
from ..networks.module_source import NO_MODULES, ModuleSource
from ..recordings.config import FilmConfig
from ..results import Basis, LayerActivity
from ..results import Prediction as Prediction  # also a name of `dvspipe.inference`
from ..results import Timeline as Timeline
from ..results.timeline import find_centers
from .answers import find_answer, find_peak, find_reason
from .config import InferConfig
from .reading import Reader, StepCounts
from .segments import SegmentConfig, find_segments, is_quiet
from .stateful import InputSpan, StatefulRun, StepOutput, group_steps
from .windows import Window, encode_complete, encode_steps, find_start, slide, split_by_events

if TYPE_CHECKING:
    from torch.nn import Module

    from ..networks import Network
    from .windows import WindowSpikes

log = logging.getLogger(__name__)

MIN_PART = 0.5  # a window counts if the recording covers this share of the time or events that it adds
MAX_WINDOWS = 16  # windows per forward pass
MAX_OUTPUT_BYTES = 12 << 20  # output of the first layer per forward pass
MODULE_CHANNELS = 12  # assumption for the unknown first layer of a custom module

OnWindows = Callable[[Sequence[Window], NDArray[np.float32]], object]
"""Callback with a batch of N windows and their logits, float32 [N, K]."""


class Classifier:
    """A trained network that classifies recordings and videos.

    Most users call `Classifier.load` and `predict`.

    Args:
        config: Classes, sensor, encoding, architecture and framing of the network.
        network: Network with its weights; it is set to evaluation mode.
        checkpoint: Checkpoint that the network was loaded from; None if it was built in memory.
        modules: Source of a custom network (`network = module`); worker processes load the network from it.
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
        config: ClassifierConfig | str | Path | None = None,
        network: Network | None = None,
        checkpoint: str | None = None,
        modules: ModuleSource = NO_MODULES,
        *,
        adviser: Adviser | None = None,
    ) -> None:
        if network is None or not isinstance(config, ClassifierConfig):
            name = str(config) if isinstance(config, str | Path) else "gesture"
            raise CheckpointError(f"Classifier: found no network; use Classifier.load({name!r}) for a checkpoint")

        self.config = config
        self.modules = modules
        self.adviser = adviser
        self.checkpoint = checkpoint

        from .torch_runner import TorchRunner  # imports torch, which takes seconds

        # The memory of a forward pass is bounded by the output of the first layer.
        grid = config.bins.grid(config.sensor)
        channels = MODULE_CHANNELS if config.network.network == "module" else config.network.channels[0]
        image_bytes = 4 * grid.width * grid.height * max(config.bins.input_channels, channels)
        self.max_images = max(1, MAX_OUTPUT_BYTES // image_bytes)  # time steps of all windows per forward pass
        self.runner = TorchRunner(network.eval(), max_images=self.max_images, counted=config.bins.dtype.kind == "u")

    @property
    def network(self) -> Network:
        """Network in PyTorch, in evaluation mode."""
        return self.runner.network

    def __repr__(self) -> str:
        name = self.checkpoint or "in memory"
        config = self.config
        shape = f"{len(config.classes)} classes, sensor {config.sensor}, {config.bins.steps} steps"

        return f"Classifier({name!r}, {config.network.network}, {shape})"

    @cached_property
    def digest(self) -> str:
        """SHA-256 of configuration and weights."""
        return digest_of({"config": self.config.model_dump_json()}, as_arrays(self.network.state_dict()))

    @classmethod
    def load(
        cls,
        path: str | Path,
        device: str = "cpu",
        *,
        trust: str | Sequence[str] = (),
        network: Module | None = None,
    ) -> Classifier:
        """Load a classifier from a checkpoint.

        Args:
            path: Checkpoint file, folder of a training run, name of an included checkpoint, or model on the Hugging
                Face hub: `hf://user/name` or `hf://user/name@revision` (needs the extra `hub`).
            device: PyTorch device that the network runs on, such as `cuda:0`.
            trust: Packages allowed to run code, for checkpoints with `network = module`.
            network: Your own network for such a checkpoint; the weights are loaded into it.

        Raises:
            CheckpointError: If the file is missing or not a checkpoint, or the hub cannot be reached.
            ConfigError: If the network is a module that cannot be built, or its package is not trusted.

        Example:
            >>> Classifier.load("gesture").config.classes[:2]
            ('hand_clapping', 'right_hand_wave')
        """
        name = pin_checkpoint(path)
        modules = ModuleSource.of(trust, network)
        loaded = load_checkpoint(name, device, modules)

        adviser = plugins().hook.advise(checkpoint=name, classes=loaded.config.classes)
        return cls(loaded.config, loaded.network, name, modules, adviser=adviser)

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
            config: Settings of windows, segments and framing, and metadata that the file lacks.
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

    def framed(self, config: InferConfig) -> InferConfig:
        """Complete a configuration with the framing and hop that the network was trained with.

        Example:
            >>> from dvspipe import Classifier, InferConfig
            >>> Classifier.load("gesture").framed(InferConfig(roi="full")).roi
            'full'
        """
        framed = config.with_defaults(self.config.framing)

        # The hop of the training belongs to its windows, and is not used for other ones.
        is_set = framed.hop_us is not None or framed.window_us is not None or framed.stateful
        return framed if is_set else framed.model_copy(update={"hop_us": self.config.hop_us})

    def find_overrides(self, config: InferConfig, *, videos: bool = True) -> tuple[str, ...]:
        """List the framing settings that differ from the training, as texts with both values.

        Args:
            config: Settings of the classification.
            videos: Whether videos are classified; if not, video settings have no effect and are omitted.

        Example:
            >>> from dvspipe import Classifier, InferConfig
            >>> Classifier.load("gesture").find_overrides(InferConfig(fit="crop"))
            ("fit = 'crop' (trained with None)",)
        """
        used = self.framed(config).to_record()
        return tuple(
            f"{name} = {brief(used[name])} (trained with {brief(before)})"
            for name, before in self.config.framing.for_checkpoint().given.items()
            if used[name] != before and (videos or name not in FilmConfig.model_fields)
        )

    def open(
        self,
        recording: str | Path | Events,
        config: InferConfig = InferConfig(),
        *,
        progress: Progress = ignore_progress,
    ) -> EventSource:
        """Open a recording or video to classify it.

        Args:
            recording: File, or events in memory.
            config: Settings of the classification. Used here: region of interest, fit to the network's sensor,
                conversion of videos (default: as in the training), and metadata that the file lacks.
            progress: Called with the amount searched for the region of interest and the total.

        Raises:
            FileError: If the file is missing or cannot be read.
            DataError: If the recording comes from another sensor than the network's and needs `config.fit`.
            EventError: If `recording` is neither a file nor events.
        """
        config = self.framed(config)

        if not isinstance(recording, str | Path | Events):
            raise EventError(f"recording: found {type(recording).__name__}, expected a file or Events")
        file_or_events = recording if isinstance(recording, Events) else Path(recording)

        is_advised = self.choose_adviser(config) is not None
        source = open_source(
            file_or_events,
            self.config.sensor,
            config,
            is_advised=is_advised,
            progress=progress,
        )
        for warning in source.warnings:
            log.warning("%s", warning)

        return source

    def classify(
        self,
        recording: EventSource | str | Path | Events,
        config: InferConfig = InferConfig(),
        progress: Progress | None = None,
        on_windows: OnWindows | None = None,
    ) -> Prediction:
        """Classify a recording in sliding windows, or with one continuous network state (`config.stateful`).

        Args:
            recording: Result of `open`, or anything that `open` accepts.
            config: Settings of windows and segments.
            progress: Callback with the finished and total time in microseconds. The total is an estimate for videos,
                and 0 if unknown.
            on_windows: Callback with windows and their logits, in order; not called with `config.stateful`.

        Raises:
            ConfigError: If the configuration does not fit the network.
            FileError: If the recording is corrupted.
            DataError: If the recording has no events or is shorter than half a window.
        """
        config = self.framed(config)
        source = recording if isinstance(recording, EventSource) else self.open(recording, config)

        film = source.film
        adviser = self.choose_adviser(config, source.name, is_film=film is not None)
        bins = self.window_bins(config)

        reader = Reader(source, bins.step_us, NamedStep(progress or ignore_progress, "events"))

        with self.runner.count_activity() as activity:
            if config.stateful:
                outputs = self._classify_stateful(bins, config, reader)
            else:
                outputs = self._classify_windows(bins, config, reader, on_windows)

        if not reader.events:
            raise _no_events_error(reader, config)
        if not outputs.spans:
            raise _too_short_error(source.name, bins, reader)

        layers = activity()
        timeline = self._to_timeline(outputs, bins.tensor_us, reader.steps)
        segments = self.choose_segments(config, is_film=film is not None)
        if film is None or adviser is None:
            return self._summarize(reader, timeline, segments, layers)

        # Without a change, no window shows the person; with one, also windows without a person become less certain.
        probabilities = adviser.combine(film, timeline.probabilities, timeline.t_start_us, timeline.t_end_us)
        is_changed = not np.array_equal(probabilities, timeline.probabilities)
        if config.joints and not is_changed:
            log.warning("%s: shows nobody for long enough; classified by events alone", source.name)

        basis: Basis = "joints and events" if is_changed else "events"
        timeline = replace(timeline, probabilities=probabilities)
        return self._summarize(reader, timeline, segments, layers, basis, partial(adviser.explain, film))

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
                adviser.
        """
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
        network = self.config.network
        step_us = bins.step_us

        reason = ""
        if network.network == "module" and not network.has_explicit_state:
            reason = f"call = {network.call} does not return its state (expected sequence_state or step_state)"
        elif network.spikes_once:
            reason = f"network = {network.network} needs complete windows, as its neurons spike at most once"
        if config.stateful and reason:
            raise ConfigError(f"stateful: {reason}; use stateful=false to classify windows")

        if bins.by != "time":
            names = [name for name in ("window_us", "hop_us", "stateful") if getattr(config, name)]
            if names:
                unit = "number of events" if bins.by == "events" else "recording"
                raise ConfigError(
                    f"{names[0]}: cannot be set, because the network's windows are defined by {unit}, not by time"
                )
            return bins

        if config.window_us is not None:
            steps = _count_steps("window", config.window_us, step_us)
            bins = BinConfig(**bins.given | {"steps": steps})

        if config.hop_us is not None and config.stateful:
            _count_steps("hop", config.hop_us, step_us)
        if config.hop_us is not None and config.hop_us < step_us:
            raise ConfigError(
                f"hop of {config.hop_us / 1000:g} ms: shorter than the network's time step of {step_us / 1000:g} ms"
            )

        return bins

    def _classify_windows(
        self, bins: BinConfig, config: InferConfig, reader: Reader, on_windows: OnWindows | None
    ) -> _Outputs:
        """Classify sliding windows; the network state is reset for each window."""
        batch_size = max(1, min(MAX_WINDOWS, self.max_images // bins.steps))
        hop_us = (config.hop_us or bins.tensor_us) if bins.by == "time" else None
        outputs = _Outputs([], [], hop_us, lag_us=bins.tensor_us // 2)

        covered = (
            window for window in _encode_windows(bins, config, reader) if _is_covered(window, bins, hop_us, reader)
        )
        while batch := list(itertools.islice(covered, batch_size)):
            outputs.spans.extend(InputSpan(window.start_us, window.end_us, window.events) for window in batch)

            spikes = cast("WindowSpikes", np.stack([window.spikes for window in batch], axis=1))
            outputs.logits.append(self.runner.classify(spikes))
            if on_windows:
                on_windows(batch, outputs.logits[-1])

        reader.classified_us = sum(span.end_us - span.start_us for span in outputs.spans)
        return outputs

    def _classify_stateful(self, bins: BinConfig, config: InferConfig, reader: Reader) -> _Outputs:
        """Classify with one continuous network state; see `StatefulRun`."""
        step_us = bins.step_us
        hop = (config.hop_us or step_us) // step_us

        # Half of the weight of a running mean with the time constant T is older than T log 2.
        lag_us = round(bins.tensor_us * math.log(2))
        outputs = _Outputs([], [], hop * step_us, lag_us=lag_us, stateful=True)

        start_us, stream = find_start(reader.parts())
        run = StatefulRun(self.runner, bins, len(self.config.classes), start_us=start_us, hop=hop)
        steps = encode_steps(stream, bins, start_us=start_us, pause_steps=bins.steps)

        # A group can have one step more than its size; see `group_steps`.
        group_size = max(2, min(bins.steps, self.max_images - 1))
        for block in group_steps(steps, group_size):
            outputs.add(run.add(block))
            reader.classified_us += len(block) * step_us

        outputs.add(run.finish())
        return outputs

    def _to_timeline(self, outputs: _Outputs, window_us: int, steps: StepCounts) -> Timeline:
        start_us, end_us, events = np.array(outputs.spans, np.int64).reshape(-1, 3).T
        logits = np.concatenate(outputs.logits)
        hop_us = outputs.hop_us
        lag_us = outputs.lag_us

        # Whether a time is quiet depends on the events near the centre of its window, not on all of them.
        nearby_events = events
        if hop_us is not None:
            half_us = max(hop_us, window_us // 4) // 2
            centers_us = find_centers(start_us, end_us, hop_us=hop_us, lag_us=lag_us)
            nearby_events = steps.between(
                np.maximum(centers_us - half_us, start_us), np.minimum(centers_us + half_us, end_us)
            )

        return Timeline(
            t_start_us=start_us,
            t_end_us=end_us,
            events=events,
            nearby_events=nearby_events,
            probabilities=self.config.probabilities(logits),
            familiar=self.config.is_familiar(logits),
            hop_us=hop_us,
            lag_us=lag_us,
            stateful=outputs.stateful,
        )

    def _summarize(
        self,
        reader: Reader,
        timeline: Timeline,
        config: SegmentConfig,
        layers: tuple[LayerActivity, ...],
        basis: Basis = "events",
        explain: Callable[[str, int, int], str] = lambda *_: "",
    ) -> Prediction:
        """Combine the predictions over time into a prediction for the recording.

        Of an uncertain answer, `explain` returns what the film says about a class between two times.
        """
        # Quiet windows do not count, unless all are quiet.
        quiet = is_quiet(timeline)
        used = quiet if quiet.all() else ~quiet
        mean = timeline.probabilities[used].mean(axis=0)

        classes = self.config.classes
        t_first_us = reader.first_us
        t_end_us = reader.last_us + 1
        segments = find_segments(timeline, classes, config, t_first_us=t_first_us, t_end_us=t_end_us)
        answer = find_answer(timeline, segments, classes, used)

        reason = ""
        if answer.segment is None:
            is_short = 4 * (t_end_us - t_first_us) < 3 * timeline.window_us  # digits of N-MNIST end a little early
            peak = find_peak(timeline, answer.label, used)
            span_us = int(timeline.t_start_us[peak]), int(timeline.t_end_us[peak])
            reason = explain(classes[answer.label], *span_us)
            reason = reason or find_reason(answer, timeline, classes, used, config, short=is_short)

        return Prediction(
            file=reader.source.name,
            label=answer.label,
            class_name=classes[answer.label],
            probability=answer.probability,
            certain=answer.segment is not None,
            t_start_us=None if answer.segment is None else answer.segment.t_start_us,
            t_end_us=None if answer.segment is None else answer.segment.t_end_us,
            reason=reason,
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
            basis=basis,
            video=reader.source.film is not None,
            synthetic=reader.source.synthetic,
            truncated_at_us=reader.truncated_at_us,
            warnings=tuple(reader.source.warnings),
            segments=segments,
            timeline=timeline,
            classes=classes,
        )


def as_classifier(classifier: Classifier | str | Path, *, trust: str | Sequence[str] = ()) -> Classifier:
    """Return a classifier unchanged, and load a checkpoint; see `Classifier.load`."""
    if isinstance(classifier, Classifier):
        return classifier
    return Classifier.load(classifier, trust=trust)


@dataclass(frozen=True, eq=False)
class _Outputs:
    """Network outputs over time; see `Timeline` for `hop_us`, `lag_us` and `stateful`."""

    spans: list[InputSpan]
    logits: list[NDArray[np.float32]]  # arrays [n, K], N rows in total
    hop_us: int | None
    lag_us: int
    stateful: bool = False

    def add(self, outputs: Iterable[StepOutput]) -> None:
        for output in outputs:
            self.spans.append(output.span)
            self.logits.append(output.logits[None])


def _encode_windows(bins: BinConfig, config: InferConfig, reader: Reader) -> Iterator[Window]:
    if bins.by == "recording":
        return encode_complete(reader.parts, bins)
    if bins.by == "events":
        return split_by_events(reader.parts(), bins)
    return slide(reader.parts(), bins, config.hop_us or bins.tensor_us)


def _is_covered(window: Window, bins: BinConfig, hop_us: int | None, reader: Reader) -> bool:
    """Return whether the recording covers at least MIN_PART of the time or events that the window adds."""
    # The first window adds all of its time, later ones only their hop: the rest was in the windows before.
    if hop_us is not None:
        added_us = bins.tensor_us if window.start_us <= reader.first_us else min(hop_us, bins.tensor_us)
        return reader.last_us - window.start_us >= bins.tensor_us - MIN_PART * added_us

    return bins.by == "recording" or window.events >= MIN_PART * bins.tensor_events


def _no_events_error(reader: Reader, config: InferConfig) -> DataError:
    """Return the error for a recording without events; the region of a film is named, because only it is simulated."""
    source = reader.source
    region = source.looked_at[0]
    if not reader.recorded and (region.width, region.height) != (source.picture.width, source.picture.height):
        return DataError(
            f"{source.name}: has no events in the region {region} of {source.picture}; use roi=full to classify the "
            "complete picture"
        )

    if not reader.recorded:
        return DataError(f"{source.name}: has no events")

    reason = "is in the region" if config.fit == "crop" or config.roi not in (None, "full") else "remains after scaling"
    return DataError(f"{source.name}: none of its {count_noun(reader.recorded, 'event')} {reason}")


def _too_short_error(name: str, bins: BinConfig, reader: Reader) -> DataError:
    if bins.by == "events":
        extent = f"has {count_noun(reader.events, 'event')}"
        return DataError(f"{name}: {extent}, less than half the network's window of {bins.tensor_events:,}")

    lasts_us = reader.last_us - reader.first_us
    extent = f"lasts {lasts_us * 1e-6:.3g} s, less than half the window of {bins.tensor_us * 1e-6:.3g} s"

    shorter_us = max(1, lasts_us // bins.step_us) * bins.step_us
    return DataError(f"{name}: {extent}; use window_us={shorter_us} to choose a shorter window")


def _count_steps(name: str, length_us: int, step_us: int) -> int:
    """Return the number of steps in `length_us`, which must be a multiple of the step."""
    steps, remainder = divmod(length_us, step_us)

    if remainder:
        nearest = " and ".join(f"{step_us * count / 1000:.15g} ms" for count in (steps, steps + 1) if count)
        raise ConfigError(
            f"{name} of {length_us / 1000:.15g} ms: not a multiple of the network's time step of {step_us / 1000:g} ms "
            f"(nearest: {nearest})"
        )

    return steps
