"""Functions of `dvspipe` as methods of `Events`: `events.filter(...)` is `dvspipe.filter(events, ...)`.

The functions belong to later rooms, which `events` cannot import. A method finds its function by its public name when
it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, Literal, Self, cast

from numpy.typing import NDArray

from ..base.config import Settings
from .sensor import RegionLike

if TYPE_CHECKING:
    from ..results import Prediction

GivenSettings = Settings | Mapping[str, object]
"""Settings as a model, or as a mapping of keys and values. Settings can also be keyword arguments."""


class EventMethods:
    """Functions of `dvspipe` that take one recording, as methods of `Events`; their arguments and errors apply."""

    __slots__ = ()

    def save(self, path: str | Path, *, compression: Literal["gzip", "blosc"] = "gzip", overwrite: bool = False) -> int:
        """Write the events in the format of the suffix, as `dvspipe.write(path, events)`; return their number.

        Args:
            path: Output file.
            compression: HDF5 compression, as in `dvspipe.write`.
            overwrite: Whether to replace an existing file.

        Raises:
            FileError: If the file exists, cannot be written, or has a suffix that dvspipe does not write.

        Example:
            >>> import tempfile
            >>> from dvspipe import Events, read
            >>> events = Events([0, 5], [3, 4], [1, 1], [True, False], "12x7")
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     events.save(f"{folder}/two.h5")
            ...     read(f"{folder}/two.h5") == events
            2
            True
        """
        return cast(int, _find("write")(path, self, compression=compression, overwrite=overwrite))

    def cut(self, start_s: float = 0.0, stop_s: float | None = None, region: RegionLike | None = None) -> Self:
        """Return a part in time and space; see `dvspipe.cut`.

        Args:
            start_s: Start time in seconds after the first event.
            stop_s: Stop time (exclusive) in seconds after the first event; None: end of the recording.
            region: Region of the sensor; its upper left corner becomes the origin. None: complete sensor.

        Example:
            >>> from dvspipe import Events
            >>> events = Events([500, 700_500], [3, 4], [1, 1], [True, False], "12x7")
            >>> events.cut(start_s=0.5, region="5x4+2+1")
            Events(1 events, sensor 5x4, t 700500 to 700500 us)
        """
        return cast(Self, _find("cut")(self, start_s, stop_s, region))

    def filter(self, config: GivenSettings | None = None, *, hot_pixels: bool = False, **settings: object) -> Self:
        """Return the events without noise; see `dvspipe.filter`.

        Args:
            config: `FilterConfig`, or a mapping.
            hot_pixels: Whether to remove all events of hot pixels.
            settings: Settings of `FilterConfig`: `refractory_us`, `activity_us`.

        Example:
            >>> from dvspipe import Events
            >>> events = Events([0, 100, 900], [3, 3, 3], [1, 1, 1], [True, True, True], "12x7")
            >>> events.filter(refractory_us=500).t.tolist()
            [0, 900]
        """
        return cast(Self, _find("filter")(self, config, hot_pixels=hot_pixels, **settings))

    def windows(self, window_us: int) -> Iterator[tuple[int, Self]]:
        """Yield start time and events of each window that has events; see `dvspipe.windows`.

        Args:
            window_us: Length of a window in microseconds, > 0.

        Example:
            >>> from dvspipe import Events
            >>> events = Events([0, 5, 25], [3, 4, 4], [1, 1, 6], [1, 0, 1], "12x7")
            >>> [(start_us, len(window)) for start_us, window in events.windows(10)]
            [(0, 2), (20, 1)]
        """
        return cast(Iterator[tuple[int, Self]], _find("windows")(self, window_us))

    def check(self, settings: GivenSettings | None = None, **named: Any) -> Any:
        """Return the `CheckReport` of `dvspipe.check`: gaps, hot pixels and other unusual properties.

        Args:
            settings: `CheckSettings`, or a mapping.
            named: Other arguments of `dvspipe.check`, and settings of `CheckSettings`.

        Example:
            >>> from dvspipe import Events
            >>> [finding.kind for finding in Events.empty("12x7").check().findings]
            ['empty']
        """
        return _find("check")(self, settings=settings, **named)

    def view(self, path: str | Path | None = None, settings: GivenSettings | None = None, **named: object) -> None:
        """Write a video, a GIF, a sheet of pictures or a chart, or show the events in the viewer; see `dvspipe.view`.

        Args:
            path: Output file; its suffix selects the format. None: show the events in the rerun viewer.
            settings: `PreviewSettings`, or a mapping.
            named: Other arguments of `dvspipe.view`, such as `chart`, and settings of `PreviewSettings`.

        Example:
            >>> from dvspipe import Events
            >>> events = Events([0, 900], [3, 4], [1, 1], [True, False], "12x7")
            >>> events.view("events.webm", speed=0.01)  # doctest: +SKIP
        """
        _find("view")(self, path, settings, **named)

    def plot(self, kind: str = "xyt") -> Any:
        """Return a matplotlib figure; see `dvspipe.plot`.

        Args:
            kind: `xyt`, `raster` or `rate`.

        Example:
            >>> from dvspipe import Events
            >>> Events([0, 5], [3, 4], [1, 1], [1, 0], "12x7").plot("rate").savefig("rate.png")  # doctest: +SKIP
        """
        return _find("plot")(self, kind)

    def animate(self, settings: GivenSettings | None = None, **named: object) -> Any:
        """Return a video that a notebook plays; see `dvspipe.animate`.

        Args:
            settings: `PreviewSettings`, or a mapping.
            named: Settings of `PreviewSettings`.

        Example:
            >>> from dvspipe import Events
            >>> events = Events([0, 900], [3, 4], [1, 1], [True, False], "12x7")
            >>> len(events.animate(window_us=1000, speed=0.01).data) > 1000
            True
        """
        return _find("animate")(self, settings, **named)

    def encode(self, config: GivenSettings | None = None, **named: Any) -> NDArray[Any]:
        """Return the spike tensor [T, C, H, W]; see `dvspipe.encode`.

        Args:
            config: `BinConfig`, or a mapping.
            named: Other arguments of `dvspipe.encode`, and settings of `BinConfig`.

        Example:
            >>> from dvspipe import Events
            >>> events = Events([0, 10, 30], [0, 0, 2], [0, 0, 1], [1, 1, 0], "3x2")
            >>> events.encode(steps=2, step_us=20).shape
            (2, 2, 2, 3)
        """
        return cast(NDArray[Any], _find("encode")(self, config, **named))

    def infer(self, checkpoint: Any, config: GivenSettings | None = None, **named: Any) -> Prediction:
        """Return the prediction of a trained network; see `dvspipe.infer`.

        Args:
            checkpoint: `Classifier`, or a checkpoint: file, run folder, name of an included classifier, hub address.
            config: `InferConfig`, or a mapping.
            named: Other arguments of `dvspipe.infer`, and settings of `InferConfig`.

        Example:
            >>> from dvspipe.synthesis import GestureClip, record_gesture
            >>> events = record_gesture(GestureClip(1, person=0, clip=0, seed=0))
            >>> events.infer("gesture-synthetic").class_name
            'right_hand_wave'
        """
        return cast("Prediction", _find("infer")(checkpoint, self, config, **named))

    def to_torch(self) -> Any:
        """Return the events as a torch tensor; see `dvspipe.torch.to_tensor`.

        Returns:
            int64 [N, 4] with the columns t in microseconds, x, y and p (1 ON, 0 OFF).

        Example:
            >>> from dvspipe import Events
            >>> Events([0, 5], [3, 4], [1, 1], [True, False], "12x7").to_torch()
            tensor([[0, 3, 1, 1],
                    [5, 4, 1, 0]])
        """
        return _find("torch.to_tensor")(self)


def _find(name: str) -> Callable[..., Any]:
    """Return the public function `dvspipe.<name>`."""
    return cast(Callable[..., Any], resolve_name(f"dvspipe.{name}"))
