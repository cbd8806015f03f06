"""Classify a live stream: the function of the command `live`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Unpack

from ..base.arguments import checked
from ..base.config import as_settings
from ..base.files import claim_output
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike, WriteOptions, Writer, create_writer
from ..formats.stream_words import StreamFormat
from ..inference.classifier import Classifier, InferConfig, InferKeywords, as_classifier
from .answers import LiveAnswer
from .framing import live_settings
from .session import LiveSession
from .sources import LiveSource, open_live
from .streams import is_stream

DEFAULT_EVERY_US = 100_000
"""Time between predictions; rounded to steps of the network."""


@checked
def live(
    source: str | Path | int,
    checkpoint: Classifier | str | Path = "gesture-synthetic",
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    speed: float = 1.0,
    loop: bool = False,
    record: str | Path | None = None,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    stream_format: StreamFormat | None = None,
    **named: Unpack[InferKeywords],
) -> Iterator[LiveAnswer]:
    """Classify a camera, a stream, or a replayed file while it runs; yield predictions until it ends.

    Leave the loop to stop. `LiveSession` can also be stopped by another thread.

    Args:
        source: Camera number, video, recording or stream; see `open_live`.
        checkpoint: Classifier, or a checkpoint as in `Classifier.load`.
        config: Settings of inference, also a mapping; `hop_us` is the time between predictions, by default about
            100,000.
        speed: Speed of a replay, > 0; 1: as recorded.
        loop: Whether a replay starts again at its end.
        record: Event file for what the network sees; None: not recorded.
        overwrite: Whether to replace an existing `record`.
        sensor: Sensor size, for a recording or stream that does not store it.
        hints: Other metadata that a recording does not store.
        stream_format: Format of a stream; None: EVT 2.0 on standard input, AEStream over UDP.
        named: Settings of `InferConfig` by name.

    Raises:
        DvspipeError: As in `Classifier.load`, `open_live` and `LiveSession`.

    Example:
        >>> for answer in live("clap.mp4", speed=2.0):  # doctest: +SKIP
        ...     print(answer.t_us, answer.class_name, answer.probability)
    """
    classifier = as_classifier(checkpoint)
    chosen = with_hop(as_settings(InferConfig, config, named, live), classifier)
    name = str(source)
    opened = open_source_for(
        classifier,
        name,
        chosen,
        speed=speed,
        loops=loop,
        sensor=None if sensor is None else SensorSize.of(sensor),
        hints=as_settings(Hints, hints),
        stream_format=stream_format,
    )
    writer = None if record is None else create_live_writer(Path(record), name, classifier, overwrite=overwrite)
    return LiveSession(opened, classifier, chosen, writer=writer).run()


def open_source_for(
    classifier: Classifier,
    source: str,
    config: InferConfig,
    *,
    speed: float,
    loops: bool,
    sensor: SensorSize | None,
    hints: Hints,
    stream_format: StreamFormat | None,
) -> LiveSource:
    """Open the source of a live stream for a classifier, as in `open_live`."""
    return open_live(
        source,
        live_settings(classifier.framed(config)),
        speed=speed,
        loops=loops,
        sensor=sensor or (classifier.config.sensor if is_stream(source) else None),
        hints=hints,
        stream_format=stream_format,
    )


def with_hop(config: InferConfig, classifier: Classifier, every_us: int | None = None) -> InferConfig:
    """Return the settings with a `hop_us`; None: about `DEFAULT_EVERY_US`, in steps of the network."""
    if config.hop_us is not None:
        return config
    bins = classifier.config.bins
    every_us = every_us or max(1, round(DEFAULT_EVERY_US / bins.step_us)) * bins.step_us
    return config.model_copy(update={"hop_us": every_us if bins.by == "time" else None})


def create_live_writer(path: Path, source: str, classifier: Classifier, *, overwrite: bool) -> Writer:
    """Create the writer of the events that a classifier sees."""
    claim_output(path, overwrite=overwrite)
    options = WriteOptions(source=Path(source).name, overwrite=overwrite)
    return create_writer(path, classifier.config.sensor, options)
