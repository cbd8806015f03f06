"""Compile the kernels of all commands in advance; numba caches them on disk."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from ..base.config import build
from ..base.files import TemporaryFolder
from ..events.filter_config import FilterConfig
from ..events.filters import count_pixels, filter_events, find_hot_pixels, start_filter
from ..formats import read, write, written_suffixes
from ..formats.rosbag_writer import BAG_SUFFIX
from ..parallel import Progress, ignore_progress
from ..recordings.config import ConvertConfig
from ..recordings.conversion import convert_video
from ..simulator import simulate
from ..simulator.config import SimulatorConfig, list_presets, read_preset
from ..simulator.upsampling import QUARTER_FROM_PX
from ..verbs.inspection import check, compare
from ..video.frames import Frame
from ..video.opencv import cv2
from ..video.writing import write_video

WIDTH = 72
HEIGHT = 48
FRAMES = 12
FRAME_US = 100_000
PAN_PX = 3  # per frame; enough for temporal upsampling with `auto`
TRAINED = ("gesture", "nmnist")  # configurations trained for one step


def warm_up(progress: Progress = ignore_progress) -> Iterator[str]:
    """Compile the kernels of each stage by running it on a tiny video, and yield the names of finished stages.

    Kernels that are already compiled for this version and this kind of CPU are only loaded.

    Args:
        progress: Callback called with the number of stages done and in total.

    Raises:
        FileError: If the folder of temporary files is not writable.
    """
    with TemporaryFolder() as folder:
        path = Path(folder)
        write_video(path / "video.webm", moving_bar())

        for number, (name, use) in enumerate(STAGES.items()):
            progress(number, len(STAGES))
            use(path)
            yield name

        progress(len(STAGES), len(STAGES))


def moving_bar() -> Iterator[Frame]:
    """Yield frames of a bright bar that moves over a grey gradient."""
    ground = np.tile(np.linspace(60, 160, WIDTH).astype(np.uint8), (HEIGHT, 1))

    for number in range(FRAMES):
        picture = ground.copy()
        picture[:, 4 + 4 * number : 12 + 4 * number] = 230
        yield Frame(FRAME_US * number, picture)


def pan(width: int) -> Iterator[Frame]:
    """Yield two frames of a camera that pans over a texture: its flow is clear everywhere."""
    texture = np.random.default_rng(0).integers(0, 256, (HEIGHT, width + PAN_PX)).astype(np.uint8)
    texture = cv2.normalize(cv2.GaussianBlur(texture, (0, 0), PAN_PX), None, 20, 230, cv2.NORM_MINMAX)

    for number in range(2):
        yield Frame(FRAME_US * number, np.ascontiguousarray(texture[:, PAN_PX * number :][:, :width]))


def _convert(folder: Path) -> None:
    for preset in list_presets():
        simulator = build(SimulatorConfig, read_preset(preset), preset)
        convert_video(folder / "video.webm", folder / "events.h5", ConvertConfig(simulator=simulator), overwrite=True)

        for width in (WIDTH, QUARTER_FROM_PX):  # kernels differ with the resolution of the flow
            for _ in simulate(pan(width), simulator, upsample="auto"):
                pass


def _use_files(folder: Path) -> None:
    events = read(folder / "events.h5")

    for suffix in set(written_suffixes()) - {BAG_SUFFIX}:  # no kernels, and rosbags may be missing
        write(folder / f"copy{suffix}", events)
        read(folder / f"copy{suffix}", sensor=events.sensor)


def _examine(folder: Path) -> None:
    events = read(folder / "events.h5")
    check(folder / "events.h5")

    config = FilterConfig(refractory_us=1000, activity_us=10_000)
    hot = find_hot_pixels(count_pixels([events], events.sensor))
    filtered, _ = filter_events(events, start_filter(events.sensor, config, hot=hot))

    compare(events, filtered)


def _classify(folder: Path) -> None:
    from ..checkpoints.checkpoint import shipped_checkpoints
    from ..inference import Classifier

    # Event files and videos use different kernels.
    for name in shipped_checkpoints():
        classifier = Classifier.load(name)
        classifier.classify(folder / "events.h5", {"fit": "scale"})
        classifier.classify(folder / "video.webm")


def _classify_live(folder: Path) -> None:
    from ..inference import Classifier, InferConfig
    from ..streaming import LiveSession, open_live

    classifier = Classifier.load("gesture-films")
    for name, config in (("events.h5", InferConfig(fit="scale")), ("video.webm", InferConfig())):
        list(LiveSession(open_live(folder / name, speed=100), classifier, config))


def _train(_: Path) -> None:
    from ..events import SensorSize
    from ..training import TrainConfig, measure_step

    for name in TRAINED:
        measure_step(TrainConfig.read(name), SensorSize(34, 34), ("a", "b"))


def _render(folder: Path) -> None:
    from ..synthesis import GestureClip, film_gesture, record_gesture

    record_gesture(GestureClip(0, person=0, clip=0, seed=0, duration_us=FRAME_US))
    film_gesture(folder / "person", GestureClip(0, person=0, clip=0, seed=0, duration_us=FRAME_US))


STAGES: Mapping[str, Callable[[Path], None]] = {
    "sensors and videos": _convert,
    "event files": _use_files,
    "checks, filters and comparison": _examine,
    "classification": _classify,
    "live streams": _classify_live,
    "training": _train,
    "rendered people": _render,
}
