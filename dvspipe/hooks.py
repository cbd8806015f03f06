"""What an extra of dvspipe, or another package, may add: the map of what can be extended.

A plug-in is a module with functions of the names below, each marked with `hookimpl`. The extras of dvspipe are the
folders with a `plugin.py`; other packages name their module as an entry point of the group `dvspipe`. A plug-in is
imported whenever dvspipe looks for one, so it imports nothing heavy: its functions import what they need.

    [project.entry-points.dvspipe]
    evx = "dvspipe_evx.plugin"
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from pkgutil import resolve_name
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import pluggy

from .base.errors import ConfigError

if TYPE_CHECKING:  # the list of commands needs no numpy
    import numpy as np
    from numpy.typing import NDArray

    from .base.progress import Progress
    from .events import Events, SensorSize
    from .results import Part, Prediction, RecordingFolder, WindowRow
    from .video.frames import Frame
    from .video.video import Video

GROUP = "dvspipe"
"""Group of the entry points of other packages."""
PACKAGE = Path(__file__).parent

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


class Command(NamedTuple):
    """Command of the command line: its name, function (`package.module:function`), text, and heading in the help."""

    name: str
    target: str
    summary: str
    heading: str


class FileFormat(NamedTuple):
    """Format of recordings.

    Args:
        name: Name, as `dvspipe info` shows it.
        suffixes: Suffixes of files, lower case, with the dot.
        recognises: Whether a file has this format, from its first 4096 bytes.
        read: Opens a file: its sensor, or None if it does not store one, and a function that reads the events from the
            start as structured arrays with the fields t (microseconds), x, y and p, a million events at a time. Both
            raise a ValueError or an OSError for a bad file.
        write: Context manager that opens a file for a sensor, and gives the function that writes the next events; None
            if the format is only read.
    """

    name: str
    suffixes: tuple[str, ...]
    recognises: Callable[[bytes], bool]
    read: Callable[[Path], tuple[SensorSize | None, Callable[[], Iterator[NDArray[np.void]]]]]
    write: Callable[[Path, SensorSize], AbstractContextManager[Callable[[Events], object]]] | None = None


class LabelledRecording(NamedTuple):
    """Recording of a data set.

    Args:
        name: Name in messages, unique in the data set.
        label: Index of its class.
        group: Person or source; recordings of a group are in the same part.
        load: Function that loads the events; picklable.
        version: Text that changes with the events, to find them in a cache.
        part: Part of the data set; parts without recordings are drawn from the training part.
    """

    name: str
    label: int
    group: str
    load: Callable[[], Events]
    version: str
    part: Part = "train"


class LabelledRecordings(NamedTuple):
    """Recordings of a kind of data set, with the title of the data set, its classes and its sensor."""

    title: str
    classes: tuple[str, ...]
    sensor: SensorSize
    recordings: Sequence[LabelledRecording]
    synthetic: bool = False


OpenKind = Callable[[Path | None, int, Mapping[str, Any]], LabelledRecordings]
"""Function that opens a data set, from `root`, `seed` and the options."""


@dataclass(frozen=True, eq=False)
class Film:
    """Opened film of a person; the same object for all hooks, which may remember what they found in it.

    Args:
        name: Name in messages.
        open: Opens the complete pictures.
        progress: Called with the amount done and the total.
        is_advised: Whether `Adviser.combine` follows, which needs more pictures per second than a region.
    """

    name: str
    open: Callable[[], Video]
    progress: Progress
    is_advised: bool = False


class SquarePath(NamedTuple):
    """Square of constant size that moves in the pictures of a film.

    Args:
        t_us: Start time of each position in microseconds, int64 [N].
        center: Column and row of the centre at each position, float64 [N, 2].
        side: Side of the square in pixels.
    """

    t_us: NDArray[np.int64]
    center: NDArray[np.float64]
    side: float


class Adviser(Protocol):
    """What the pictures of a film say about its gestures."""

    @property
    def enter(self) -> float:
        """Probability that starts a certain segment of a film; it replaces the default of events."""

    @property
    def is_alone(self) -> bool:
        """Whether the classifier knows pictures alone; then recordings without pictures are refused."""

    def combine(
        self, film: Film, probabilities: NDArray[np.float32], start_us: NDArray[np.int64], end_us: NDArray[np.int64]
    ) -> NDArray[np.float32]:
        """Combine the probabilities of N windows by events, [N, K]; unchanged if the film shows nobody."""

    def explain(self, film: Film, class_name: str, start_us: int, end_us: int) -> str:
        """Return why a gesture between two times is not certain; empty if nothing is wrong with the film."""

    def watch(self) -> Watcher:
        """Start to watch a live film."""


class Watcher(Protocol):
    """What the frames of a live film say about its gestures, from the past alone."""

    @property
    def region(self) -> SquarePath | None:
        """Region that a network should see now; None: none is found."""

    def warm_up(self) -> None:
        """Load what the first frame needs."""

    def add(self, frame: Frame) -> None:
        """See the next frame."""

    def combine(self, probabilities: NDArray[np.float32], t_us: int) -> NDArray[np.float32]:
        """Combine the probabilities by events at a time, [K]; unchanged if the film shows nobody."""


@dataclass(frozen=True, eq=False)
class RecordingView:
    """Complete pictures of a recording, to draw it once.

    Args:
        sensor: Sensor of the events.
        parts: Consecutive parts of the recording.
        frames: Times in microseconds and RGB frames, uint8 [H, W, 3], of a film with the same content; None: not a
            film.
    """

    sensor: SensorSize
    parts: Iterable[Events]
    frames: Iterator[tuple[int, NDArray[np.uint8]]] | None = None


@hookspec
def commands() -> Sequence[Command] | None:
    """Return commands of the command line.

    Example::

        return [Command("blink", "dvspipe_blink.command:blink", "Count the blinks in a recording.", "Recordings")]
    """


@hookspec
def functions() -> Mapping[str, str] | None:
    """Return public functions of `dvspipe` by name.

    Example::

        return {"count_blinks": "dvspipe_blink.counting:count_blinks"}  # dvspipe.count_blinks
    """


@hookspec
def formats() -> Sequence[FileFormat] | None:
    """Return formats of recordings; formats of dvspipe recognise a file first.

    Example::

        return [FileFormat("evx", (".evx",), lambda head: head.startswith(b"EVX1"), read, write)]
    """


@hookspec
def data_kinds() -> Mapping[str, OpenKind] | None:
    """Return kinds of data sets by name, as in the setting `data`.

    Example::

        return {"blinks": lambda root, seed, options: LabelledRecordings("blinks", ("open", "shut"), sensor, listed)}
    """


@hookspec(firstresult=True)
def find_region(film: Film) -> SquarePath | None:
    """Return the region of a film that a network sees; None: none is found, and the moving events decide.

    Example::

        return SquarePath(np.array([0]), np.array([[320.0, 240.0]]), side=400.0)  # the middle
    """


@hookspec(firstresult=True)
def advise(checkpoint: str, classes: tuple[str, ...]) -> Adviser | None:
    """Return what advises a checkpoint with these classes on films; None: films are classified by events alone.

    Example::

        return LipReader(classes) if checkpoint == "words" else None
    """


@hookspec
def report(record: object, folder: Path) -> Path | None:
    """Write a page for a record into its folder, and return its path; None: not for this record.

    A `TrainingRun` comes with the folder of the run, and an `InferenceRun` with the folder of its predictions.

    Example::

        return write_page(record, folder / "mine.html") if isinstance(record, TrainingRun) else None
    """


@hookspec(firstresult=True)
def draw(
    folder: RecordingFolder, prediction: Prediction, windows: tuple[WindowRow, ...], view: RecordingView
) -> bool | None:
    """Draw pictures of a classified recording in its folder, maybe in a worker process; return True if that is done.

    Example::

        write_chart(windows, folder.path / "windows.png")
        return True
    """


@hookspec(firstresult=True)
def export(checkpoint: str, out: Path, overwrite: bool) -> Sequence[Path] | None:
    """Write a network in another form than NIR and ONNX, and return the files; None: not this form.

    Example::

        return write_vhdl(checkpoint, out) if out.suffix == ".vhd" else None
    """


@cache
def plugins() -> pluggy.PluginManager:
    """Load all plug-ins: the extras of dvspipe, and then other packages.

    Raises:
        ConfigError: If the plug-in of another package cannot be loaded.
    """
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(import_module(__name__))
    for file in sorted(PACKAGE.glob("*/plugin.py")):
        manager.register(import_module(f"{__package__}.{file.parent.name}.plugin"))

    for point in entry_points(group=GROUP):
        try:
            manager.register(point.load(), point.name)
        except Exception as error:  # the code of another package may raise anything
            package = "an unnamed package" if point.dist is None else f"{point.dist.name} {point.dist.version}"
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise ConfigError(f"plug-in {point.name} of {package}: cannot be loaded ({reason})") from error

    return manager


def find_function(name: str) -> Callable[..., Any] | None:
    """Return a public function of a plug-in; None if no plug-in has it."""
    for named in plugins().hook.functions():
        if name in named:
            found: Callable[..., Any] = resolve_name(named[name])
            return found
    return None
