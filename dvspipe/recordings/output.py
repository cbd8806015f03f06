"""Event files that `convert`, `cut`, `filter` and `merge` write, and what these verbs return."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..base.errors import count_noun
from ..base.texts import show_name
from ..events import Events, SensorSize
from ..formats import Recording, WriteOptions, create_writer
from ..formats.recordings import count_events


@dataclass(frozen=True)
class Conversion:
    """Event file that was written.

    Args:
        path: Event file.
        sensor: Sensor size.
        frames: Number of frames read; 0 for a recording.
        events: Number of events written.
        duration_us: Time from the first to the last frame or event in microseconds.
    """

    path: Path
    sensor: SensorSize
    frames: int
    events: int
    duration_us: int

    def __str__(self) -> str:
        duration_s = self.duration_us * 1e-6
        rate = f" ({self.events / duration_s:,.0f} per second)" if duration_s else ""
        source = f"video, from {self.frames:,} frames of" if self.frames else "recording,"
        events = count_noun(self.events, "event")
        return f"{show_name(self.path)}: {events} in {duration_s:.2f} s of {source} {self.sensor}{rate}"

    def to_record(self) -> dict[str, Any]:
        """Return the result as a dict for JSON, with the same names as `RecordingInfo`."""
        return {
            "file": str(self.path),
            "width": self.sensor.width,
            "height": self.sensor.height,
            "frames": self.frames,
            "events": self.events,
            "duration_us": self.duration_us,
        }


def write_stream(
    path: str | Path,
    chunks: Iterable[Events],
    sensor: SensorSize,
    recordings: Sequence[Recording],
    *,
    settings: Mapping[str, Any] = {},
    overwrite: bool = False,
) -> Conversion:
    """Write the events of recordings to a file, which is complete or absent.

    Args:
        path: Output file; its suffix selects the format.
        chunks: Events, in consecutive chunks.
        sensor: Sensor size of the events.
        recordings: Where the events come from; settings that are equal in all of them are stored.
        settings: Further settings to store.
        overwrite: Whether to replace an existing file.
    """
    path = Path(path)
    first, *others = [recording.attributes.get("settings") for recording in recordings]
    common = first if isinstance(first, dict) and all(other == first for other in others) else {}
    source = ", ".join(recording.path.name for recording in recordings)
    options = WriteOptions(source=source, settings={**common, **settings}, overwrite=overwrite)

    with create_writer(path, sensor, options) as writer:

        def write() -> Iterator[Events]:
            for events in chunks:
                writer.append(events)
                yield events

        written = count_events(write())
    return Conversion(path, sensor, 0, written.events, written.duration_us)
