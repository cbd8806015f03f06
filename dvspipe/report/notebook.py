"""Notebook output: values as matplotlib figures and as videos."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..base.errors import Brief
from ..events import Events
from ..formats import RecordingLike, as_events
from ..results import Prediction, TrainingRun
from .config import PlotKind, PreviewSettings, plan_playback
from .pages import data_address
from .plots import PlotSource, plot_source
from .previews import write_preview
from .timelines import plot_timeline
from .training_charts import plot_curves

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Figure

MAX_PLAY_S = 20.0  # maximum length of an animation
ANIMATION_FPS = 25.0
ANIMATION_SIDE_PX = 320


@dataclass(frozen=True, repr=False)
class Animation(Brief):
    """Video of events that a notebook plays."""

    data: bytes

    def _repr_html_(self) -> str:
        address = data_address("video/webm", self.data)
        return f'<video controls autoplay loop muted playsinline style="max-width:100%" src="{address}"></video>'


def plot(value: RecordingLike | TrainingRun | Prediction, kind: PlotKind = "xyt") -> Figure:
    """Plot a value as a matplotlib figure.

    Args:
        value: Events or a file; a prediction (probabilities, segments and event rate over time); or a training run
            (loss, accuracy and spike rates over epochs).
        kind: Chart type, for events only. `xyt`: each event in space and time; of too many events, every n-th is
            drawn. `rate`: events per second.

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


def animate(value: RecordingLike, settings: PreviewSettings | None = None) -> Animation:
    """Render events as a video that a notebook plays.

    Args:
        value: Events to show; also a file.
        settings: Preview settings. None: real time, or slower or faster to make the video last between 2 and 20 s.

    Example:
        >>> import dvspipe
        >>> events = dvspipe.Events([0, 900], [3, 4], [1, 1], [True, False], sensor=(12, 7))
        >>> video = dvspipe.animate(events, dvspipe.PreviewSettings(window_us=1000, speed=0.01))
        >>> video._repr_html_()[:6], len(video.data) > 1000  # VP8 in WebM
        ('<video', True)
    """
    events = as_events(value)
    chosen = _animation_settings(events) if settings is None else settings

    with TemporaryDirectory() as folder:
        video = write_preview([events], events.sensor, Path(folder) / "events.webm", chosen)
        return Animation(video.read_bytes())


def _animation_settings(events: Events) -> PreviewSettings:
    duration_s = events.duration_us / 1e6
    return plan_playback(duration_s, max_play_s=MAX_PLAY_S, fps=ANIMATION_FPS, side_px=ANIMATION_SIDE_PX)
