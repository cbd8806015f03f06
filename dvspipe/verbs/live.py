"""Verb that classifies live streams."""

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
from ..streaming import LiveSession, LiveSource, is_stream, open_live, with_hop
from ..streaming.answers import LiveAnswer
from ..streaming.framing import live_settings


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
        source: Webcam: 0, 1, ...; event-camera or event-camera:SERIAL; video or recording to replay; - for events on
            standard input; or udp://HOST:PORT for events in packets.
        checkpoint: Run folder, .safetensors file (also of dvspipe quantise), name of an included checkpoint, or
            hf://USER/NAME. In Python also a `Classifier`.
        config: Settings of inference, also a mapping; `hop_us` is the time between predictions, by default about
            100,000.
        speed: Speed of a replay, > 0; 1: as recorded.
        loop: Start a replay again at its end.
        record: Event file (.h5, ...) for what the network sees. None: not recorded.
        overwrite: Replace an existing file of `record`.
        sensor: Sensor size, for a recording or stream that does not store it.
        hints: Other metadata that a recording does not store.
        stream_format: Format of a stream. None: evt2 on standard input, aestream over UDP.
        named: Settings of `InferConfig` by name.

    Raises:
        DvspipeError: As in `Classifier.load`, `open_live` and `LiveSession`.

    Example:
        >>> for answer in live("clap.mp4", speed=2.0):  # doctest: +SKIP
        ...     print(answer.t_us, answer.class_name, answer.probability)
    """
    classifier = as_classifier(checkpoint)
    chosen = with_hop(as_settings(InferConfig, config, named, live), classifier)
    opened, writer = open_stream(
        classifier,
        str(source),
        chosen,
        speed=speed,
        loop=loop,
        record=record,
        overwrite=overwrite,
        sensor=sensor,
        hints=hints,
        stream_format=stream_format,
    )
    return LiveSession(opened, classifier, chosen, writer=writer).run()


def open_stream(
    classifier: Classifier,
    source: str,
    config: InferConfig,
    *,
    speed: float = 1.0,
    loop: bool = False,
    record: str | Path | None = None,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    stream_format: StreamFormat | None = None,
) -> tuple[LiveSource, Writer | None]:
    """Open the source of a live stream, and the writer of the events that a classifier sees; arguments as in `live`."""
    # Refuse an existing file before the source is opened, which can be a camera.
    if record is not None:
        claim_output(Path(record), overwrite=overwrite)

    size = None if sensor is None else SensorSize.of(sensor)
    opened = open_live(
        source,
        live_settings(classifier.framed(config)),
        speed=speed,
        loops=loop,
        sensor=size or (classifier.config.sensor if is_stream(source) else None),
        hints=as_settings(Hints, hints),
        stream_format=stream_format,
    )

    if record is None:
        return opened, None
    options = WriteOptions(source=Path(source).name, overwrite=overwrite)
    return opened, create_writer(Path(record), classifier.config.sensor, options)
