"""Notebook output: values as matplotlib figures, as videos, and as HTML summaries.

`plot` and `animate` are public. `describe` is called by IPython: it turns a value into a `Card`, by a function for each
type (`_summarize_...`), and the card into HTML by a template.
"""

from __future__ import annotations

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import singledispatch
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Unpack

import numpy as np
from numpy.typing import NDArray

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.errors import Brief
from ..base.files import TemporaryFolder
from ..datasets import DataSet
from ..events import Events
from ..formats import RecordingLike, as_events
from ..results import Prediction, SegmentRow, TrainingRun, wilson_interval
from .charts import plot_curves
from .config import PlotKind, PreviewKeywords, PreviewSettings, plan_playback
from .pages import data_address, environment, outline_steps, percent
from .painter import EventPainter, encode_picture, make_palette
from .plots import PlotSource, plot_source
from .previews import write_preview
from .style import readable, to_hex
from .timelines import class_colour, plot_timeline

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure

    from ..inference import Classifier

PICTURE_EVENTS = 100_000  # maximum number of events in the picture of a recording
PICTURE_SHARE = 0.1  # events in the picture, as a share of the number of pixels
PICTURE_MIN_PX = 160  # range of its longer side
PICTURE_MAX_PX = 360
PICTURE_MIN_EVENTS = 100
SAMPLED_POLARITIES = 1 << 20
CURVE_BINS = 100
CURVE_SIZE = 400, 36  # width and height in CSS pixels
MAX_BARS = 10
MAX_SPANS = 200
MAX_CLASS_NAMES = 12  # longer lists of classes are shortened
NAMED_SHARE = 0.12  # narrower parts of a timeline show no name
MAX_PLAY_S = 20.0  # maximum length of an animation
ANIMATION_FPS = 25.0
ANIMATION_PX = 256, 640  # range of the longer side
UNCERTAIN_COLOUR = "transparent"  # parts without a certain class are not coloured


class Bar(NamedTuple):
    """Bar with its name, its length as a share of the maximum, and the text after it."""

    name: str
    share: float
    text: str


class TimelinePart(NamedTuple):
    """Part of a timeline; `share` is its width relative to the timeline."""

    name: str
    share: float
    colour: str

    @property
    def is_named(self) -> bool:
        """Whether the part is wide enough to show its name."""
        return self.share >= NAMED_SHARE


class Thumbnail(NamedTuple):
    """Small PNG picture."""

    png_base64: str
    width_px: int
    caption: str


class Curve(NamedTuple):
    """Filled curve: points of an SVG polygon."""

    points: str
    caption: str


@dataclass(frozen=True, repr=False)
class Card(Brief):
    """Content of the HTML summary of a value."""

    title: str
    facts: Sequence[tuple[str, str]]
    bars: Sequence[Bar] = ()
    picture: Thumbnail | None = None
    curve: Curve | None = None
    spans: Sequence[TimelinePart] = ()
    spans_caption: str = ""


@dataclass(frozen=True, repr=False)
class Animation(Brief):
    """Video of events that a notebook plays."""

    data: bytes

    def _repr_html_(self) -> str:
        address = data_address("video/webm", self.data)
        return f'<video controls autoplay loop muted playsinline style="max-width:100%" src="{address}"></video>'


def describe(value: object) -> str:
    """Return the HTML summary of a value, without scripts and links.

    The cost does not depend on the length of a recording. `dvspipe/__init__.py` registers this function with IPython.
    """
    return environment().get_template("notebook.html").render(card=_summarize(value))


@checked
def plot(value: RecordingLike | TrainingRun | Prediction, kind: PlotKind = "xyt") -> Figure:
    """Plot a value as a matplotlib figure.

    Args:
        value: Events or a file; a prediction (probabilities, segments and event rate over time); or a training run
            (loss, accuracy and spike rates over epochs).
        kind: Chart type, for events only. `xyt`: each event in space and time. `raster`: each event by time and pixel
            number. `rate`: events per second. If there are too many events to draw, every n-th is drawn.

    Raises:
        ConfigError: If the kind is unknown.

    Example:
        >>> import dvspipe
        >>> events = dvspipe.Events([0, 5], [3, 4], [1, 1], [True, False], sensor=(12, 7))
        >>> dvspipe.plot(events, "rate").savefig("rate.png")  # doctest: +SKIP
    """
    if isinstance(value, TrainingRun):
        return plot_curves(value.epochs, title=value.test.title, chosen_epoch=value.test.chosen_epoch)
    if isinstance(value, Prediction):
        return plot_timeline(value, value.to_windows(), value.classes, value.file)

    events = as_events(value)
    span_us = (int(events.t[0]), int(events.t[-1])) if len(events) else (0, 0)
    return plot_source(kind, PlotSource([events], events.sensor, len(events), span_us))


@checked
def animate(
    value: RecordingLike,
    settings: PreviewSettings | Mapping[str, object] | None = None,
    **named: Unpack[PreviewKeywords],
) -> Animation:
    """Render events as a video that a notebook plays.

    Args:
        value: Events to show; also a file.
        settings: Preview settings, as `dvspipe.report.PreviewSettings` or as plain keys and values. None: real time, or
            slower or faster to make the video last between 2 and 20 s.
        named: Settings by name, such as `window_us=5000`; they take precedence over `settings`.

    Raises:
        ConfigError: If a setting is unknown or invalid.

    Example:
        >>> import dvspipe
        >>> events = dvspipe.Events([0, 900], [3, 4], [1, 1], [True, False], sensor=(12, 7))
        >>> video = dvspipe.animate(events, window_us=1000, speed=0.01)
        >>> video._repr_html_()[:6], len(video.data) > 1000  # VP8 in WebM
        ('<video', True)
    """
    events = as_events(value)
    is_given = settings is not None or named
    chosen = as_settings(PreviewSettings, settings, named) if is_given else _animation_settings(events)

    with TemporaryFolder() as folder:
        video = write_preview([events], events.sensor, Path(folder) / "events.webm", chosen)
        return Animation(video.read_bytes())


def _animation_settings(events: Events) -> PreviewSettings:
    return plan_playback(events.duration_us / 1e6, max_play_s=MAX_PLAY_S, fps=ANIMATION_FPS, sides_px=ANIMATION_PX)


@singledispatch
def _summarize(value: object) -> Card:
    from ..inference import Classifier  # needs torch, as does such a value

    if isinstance(value, Classifier):
        return _summarize_classifier(value)
    raise TypeError(f"there is no notebook summary of {type(value).__name__}")


@_summarize.register(Events)
def _summarize_events(events: Events) -> Card:
    facts = [("events", f"{len(events):,}"), ("sensor", f"{events.sensor.width} x {events.sensor.height}")]
    if not len(events):
        return Card("Events", facts)

    first_us = int(events.t[0])
    last_us = int(events.t[-1])
    facts.append(("time", f"{first_us:,} to {last_us:,} us ({_seconds(events.duration_us)})"))
    if events.duration_us:
        facts.append(("rate", f"{len(events) / events.duration_us * 1e6:,.0f} events/s"))

    # A sample of the polarities is enough for a percentage.
    on = float(events.p[:: -(-len(events) // SAMPLED_POLARITIES)].mean())
    facts.append(("polarity", f"{on:.0%} ON, {1 - on:.0%} OFF"))

    # `searchsorted` would convert all times to float if these were not integers.
    bins = range(CURVE_BINS)
    starts_us = [min(first_us + (events.duration_us + 1) * number // CURVE_BINS, last_us) for number in bins]
    bounds = np.append(np.searchsorted(events.t, np.array(starts_us, np.int64)), len(events))

    picture = _draw_busiest(events, bounds)
    return Card("Events", facts, picture=picture, curve=_curve(np.diff(bounds), "events over time"))


def _draw_busiest(events: Events, bounds: NDArray[np.int64]) -> Thumbnail:
    """Draw the events in the middle of the busiest bin; bin k has the events from bounds[k] to bounds[k + 1]."""
    wanted = round(PICTURE_SHARE * events.sensor.width * events.sensor.height)
    count = min(len(events), PICTURE_EVENTS, max(PICTURE_MIN_EVENTS, wanted))

    busiest = int(np.diff(bounds).argmax())
    middle = int(bounds[busiest] + bounds[busiest + 1]) // 2
    first = min(max(0, middle - count // 2), len(events) - count)
    shown = events.slice_events(first, first + count)

    # The window contains exactly these events, within the limits of the setting.
    settings = PreviewSettings(
        window_us=min(10**9, max(100, shown.duration_us + 1)), min_side_px=PICTURE_MIN_PX, max_side_px=PICTURE_MAX_PX
    )

    end_us = int(shown.t[-1]) + 1
    since_us = int(shown.t[0]) - int(events.t[0])
    painter = EventPainter(events.sensor, settings)
    picture = painter.draw(shown, end_us, since_us).to_rgb(make_palette("light"))

    _, width_px, _ = picture.shape
    png = base64.b64encode(encode_picture(picture, optimize=True)).decode()
    return Thumbnail(png, width_px, f"{count:,} events in {_seconds(shown.duration_us)}, ON red and OFF blue")


def _curve(values: NDArray[np.int64] | NDArray[np.float64], caption: str) -> Curve:
    """Return a step curve, scaled from 0 to the largest value."""
    largest = max(1e-12, float(values.max(initial=0)))  # against a division by zero
    return Curve(" ".join(outline_steps(values / largest, CURVE_SIZE)), caption)


@_summarize.register(Prediction)
def _summarize_prediction(prediction: Prediction) -> Card:
    facts = [
        ("recording", prediction.file),
        ("events", f"{prediction.events:,} on the network's sensor"),
        ("duration", _seconds(prediction.t_last_us - prediction.t_first_us)),
        ("windows", f"{prediction.windows:,}"),
        ("trained on", prediction.trained_on),
    ]

    bars = []
    for label in np.argsort(-np.asarray(prediction.probabilities), kind="stable")[:MAX_BARS].tolist():
        probability = prediction.probabilities[label]
        bars.append(Bar(readable(prediction.classes[label]), probability, percent(probability)))

    title = f"Prediction: {prediction.answer}, {percent(prediction.probability)}"
    spans = _spans(prediction.segments, len(prediction.classes))
    return Card(title, facts, bars=bars, spans=spans, spans_caption="segments over time" if spans else "")


def _spans(segments: Sequence[SegmentRow], K: int) -> list[TimelinePart]:
    """Return segments as parts of a timeline, or nothing if there are too many to be visible."""
    if not segments or len(segments) > MAX_SPANS:
        return []

    total_us = max(1, segments[-1].t_end_us - segments[0].t_start_us)
    parts = []
    for segment in segments:
        share = (segment.t_end_us - segment.t_start_us) / total_us
        parts.append(TimelinePart(readable(segment.class_name), share, _colour(segment.label, K)))
    return parts


def _colour(label: int | None, K: int) -> str:
    if label is None:
        return UNCERTAIN_COLOUR
    red, green, blue = (round(255 * share) for share in class_colour(label, K))
    return to_hex((red, green, blue))


@_summarize.register(TrainingRun)
def _summarize_run(run: TrainingRun) -> Card:
    test = run.test
    low, high = wilson_interval(test.correct, test.samples)
    validated = "none, weights" if test.val_accuracy is None else percent(test.val_accuracy)
    facts = [
        ("data", test.title + (f" ({test.kind_of_data})" if test.kind_of_data else "")),
        ("test", f"{percent(test.accuracy)} of {test.samples:,} (95 %: {100 * low:.1f} to {100 * high:.1f})"),
        ("validation", f"{validated} in epoch {test.chosen_epoch} of {len(run.epochs)}"),
        ("folder", str(run.folder.path)),
    ]

    facts += [("limited by", finding.text) for finding in test.findings[:1]]

    # The curve of a single epoch would be a line without meaning.
    accuracies = np.array([row.val_accuracy for row in run.epochs if row.val_accuracy is not None], np.float64)
    caption = f"validation accuracy over epochs, at most {percent(float(accuracies.max(initial=0)))}"
    return Card("Training run", facts, curve=_curve(accuracies, caption) if len(accuracies) > 1 else None)


@_summarize.register(DataSet)
def _summarize_data(data: DataSet) -> Card:
    facts = [
        ("recordings", ", ".join(f"{len(samples):,} {part}" for part, samples in data.parts.items())),
        ("sources", f"{len({sample.group for sample in data.samples}):,} people or files"),
        ("sensor", f"{data.sensor.width} x {data.sensor.height}"),
        ("classes", f"{len(data.classes):,}"),
    ]
    facts += [("problem", text) for text in data.problems[:1]]

    counts = Counter(sample.label for sample in data.samples)
    largest = max(counts.values(), default=1)
    shown = data.classes[:MAX_CLASS_NAMES]
    bars = [Bar(readable(name), counts[label] / largest, f"{counts[label]:,}") for label, name in enumerate(shown)]

    if len(shown) < len(data.classes):
        facts.append(("shown", f"the first {len(shown)}"))
    return Card(f"Data set: {data.title}", facts, bars=bars)


def _summarize_classifier(classifier: Classifier) -> Card:
    config = classifier.config
    names = [readable(name) for name in config.classes[:MAX_CLASS_NAMES]]
    more = len(config.classes) - len(names)
    weights = sum(weight.numel() for weight in classifier.network.parameters())
    step_ms = config.bins.step_us / 1000

    facts = [
        ("classes", ", ".join(names) + (f" and {more:,} more" if more else "")),
        ("sensor", f"{config.sensor.width} x {config.sensor.height}"),
        ("network", f"{config.network.kind}, {weights:,} parameters"),
        ("window", f"{config.bins.steps} steps" + (f" of {step_ms:g} ms" if config.bins.by == "time" else "")),
        ("trained on", config.trained_on),
        ("checkpoint", classifier.checkpoint or "none"),
    ]
    return Card("Classifier", facts)


def _seconds(duration_us: int) -> str:
    return f"{duration_us / 1e6:.6g} s"
