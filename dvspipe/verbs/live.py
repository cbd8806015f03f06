"""Verb that classifies live streams."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Unpack

from ..base.config import as_settings
from ..base.files import claim_output
from ..events import SensorSize, SensorSizeLike
from ..formats import NO_HINTS, Hints, HintsLike
from ..inference.config import InferConfig, InferKeywords

if TYPE_CHECKING:
    from ..inference import Classifier
    from ..streaming import LiveSession


def live(
    source: str | Path | int,
    checkpoint: Classifier | str | Path = "gesture",
    config: InferConfig | Mapping[str, object] | None = None,
    *,
    speed: float = 1.0,
    loop: bool = False,
    record: str | Path | None = None,
    overwrite: bool = False,
    sensor: SensorSizeLike | None = None,
    hints: HintsLike = NO_HINTS,
    trust: str | Sequence[str] = (),
    **named: Unpack[InferKeywords],
) -> LiveSession:
    """Classify a webcam, or a replayed file, while it runs: iterate over the session for its predictions.

    Leave the loop to stop, or call `stop` of the session, also in another thread.

    Args:
        source: Webcam: 0, 1, ...; or a video or recording to replay.
        checkpoint: Run folder, .safetensors file, name of an included checkpoint, or hf://USER/NAME. In Python
            also a `Classifier`.
        config: Settings of inference, also a mapping; `hop_us` is the time between predictions, by default about
            100,000.
        speed: Speed of a replay, > 0; 1: as recorded.
        loop: Start a replay again at its end.
        record: Event file (.h5, ...) for what the network sees. None: not recorded.
        overwrite: Replace an existing file of `record`.
        sensor: Sensor size, for a recording that does not store it.
        hints: Other metadata that a recording does not store.
        trust: Packages allowed to run code for networks with `network.kind = module`.
        named: Settings of `InferConfig` by name.

    Raises:
        DvspipeError: As in `Classifier.load`, `open_live` and `LiveSession`.

    Example:
        >>> for answer in live("clap.mp4", speed=2.0):  # doctest: +SKIP
        ...     print(answer.t_us, answer.class_name, answer.probability)
    """
    from ..formats import WriteOptions, create_writer
    from ..inference import as_classifier
    from ..streaming import LiveSession, open_live, with_hop
    from ..streaming.framing import live_settings

    # Refuse an existing file before the source is opened, which can be a webcam.
    if record is not None:
        claim_output(Path(record), overwrite=overwrite)

    classifier = as_classifier(checkpoint, trust=trust)
    chosen = with_hop(as_settings(InferConfig, config, named, live), classifier)

    opened = open_live(
        str(source),
        live_settings(classifier.framed(chosen)),
        speed=speed,
        loops=loop,
        sensor=None if sensor is None else SensorSize.of(sensor),
        hints=as_settings(Hints, hints),
    )

    options = WriteOptions(source=Path(str(source)).name, overwrite=overwrite)
    writer = None if record is None else create_writer(Path(record), classifier.config.sensor, options)
    return LiveSession(opened, classifier, chosen, writer=writer)
