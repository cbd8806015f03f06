"""Measure dvspipe: `python scripts/bench/bench.py NAME [--json FILE]`. Higher is better on every line.

`python scripts/bench/bench.py all --peers auto` runs all benchmarks and compares with every peer library that can be
installed.

Each `bench_...` function is a benchmark and yields a `Figure` per line; `BENCHES` names them. A figure is a ratio or a
rate, so higher is better; where it has a target, it should reach it. Peer libraries run as scripts of this folder, in
processes of the Python that has them: peers.py, network_peers.py, learning_peers.py.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from encoders import encode_aedat2, encode_aedat3, encode_evt3, encode_evt21
from numba import njit
from numpy.typing import NDArray
from peer_environment import has_module, make_environment

from dvspipe.base.config import build
from dvspipe.base.labels import GESTURES
from dvspipe.encoding import BinConfig, ToSpikes, encode, encode_stream
from dvspipe.events import Events, SensorSize, concatenate, join_streams
from dvspipe.formats import EventWriter, open_recording, read, write
from dvspipe.formats.opening import open_source
from dvspipe.formats.prophesee_header import parse_header
from dvspipe.formats.source import HEAD_BYTES
from dvspipe.recordings.conversion import convert_video
from dvspipe.simulator import SimulatorConfig, read_preset, simulate
from dvspipe.synthesis import GESTURE_SENSOR, GestureClip, record_gesture
from dvspipe.video.config import VideoSettings
from dvspipe.video.frames import Frame
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

# Runs per measurement: by default, of works measured in turns, of conversions, of readers and writers, of sizes.
REPEATS = 5
TURNS = 15
CONVERT_REPEATS = 3
FORMAT_REPEATS = 3

SIZE_REPEATS = 5

FPS = 30
EVENTS = 10_000_000
CHUNK_EVENTS = 65_536
UPSAMPLED = ("walk.mkv", "yes.mkv", "milk.mkv", "cockatoo.mp4")
UPSAMPLED_FRAMES = 24
HOUR_FRAMES = 30, 300  # the difference of both excludes startup
SCALE_VIDEOS = 200
SCALE_FRAMES = 300
SCALE_RECORDINGS = (100, 2000)
SYNTHETIC_PEOPLE = 4
REAL_EVT3 = "recordings/faery_evt3.raw"
REAL_EVT3_EVENTS = 1_218_618

PEERS_SCRIPT = Path(__file__).with_name("peers.py")
EVENTCV_SENSOR = SimulatorConfig(
    intensity_map="linlog",
    sigma_thres=0.03,
    refractory_period=1e-4,
    cutoff_hz=200,
    leak_rate_hz=1,
    shot_noise_rate_hz=10,
)
"""eventcv's default sensor with dvspipe's setting names; both have the same default thresholds."""

PRINT_PEAK = """
import atexit, re, runpy, sys
from pathlib import Path
def show():
    print(re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1])
atexit.register(show)
sys.argv[0] = "dvspipe"
runpy.run_module("dvspipe", run_name="__main__")
"""
"""Runs the command line, then prints its peak memory in KiB (Linux). `ru_maxrss` would include the parent's memory."""

PRINT_COST = PRINT_PEAK.replace("[1])", "[1], time.process_time())").replace("runpy, sys", "runpy, sys, time")
"""The same, followed by the CPU time of the process in seconds, without its worker processes."""


@dataclass(frozen=True)
class Figure:
    """Line of a benchmark: a measured value with its target, and values that explain it."""

    name: str
    value: float
    unit: str
    target: float | None = None
    beside: dict[str, float] = field(default_factory=dict)

    def line(self) -> str:
        target = "" if self.target is None else f"   target {self.target:g}"
        beside = "".join(f"   {peer} {value:.4g}" for peer, value in self.beside.items())
        return f"{self.name:36} {self.value:10.4g} {self.unit}{target}{beside}"


@dataclass(frozen=True)
class Options:
    """Resources of a benchmark: the Python that has the peer libraries, and the folder of test data."""

    peers: str
    data: Path | None


@dataclass(frozen=True)
class Times:
    """Wall clock and CPU time of all threads, in seconds."""

    wall_s: float
    cpu_s: float


def _measure(work: Callable[[], object], repeats: int = REPEATS) -> Times:
    """Return the median times of `work`, after one warm-up run."""
    wall = []
    cpu = []
    for _ in range(repeats + 1):
        began_wall = time.perf_counter()
        began_cpu = time.process_time()
        work()
        wall.append(time.perf_counter() - began_wall)
        cpu.append(time.process_time() - began_cpu)

    return Times(statistics.median(wall[1:]), statistics.median(cpu[1:]))


def _measure_in_turns(works: dict[str, Callable[[], object]], repeats: int = TURNS) -> dict[str, Times]:
    """Return the minimum times of several tasks, run in turns to spread the load of other processes."""
    spent: dict[str, list[Times]] = {name: [] for name in works}
    for _ in range(repeats):
        for name, work in works.items():
            spent[name].append(_measure(work, 1))

    return {
        name: Times(min(times.wall_s for times in runs), min(times.cpu_s for times in runs))
        for name, runs in spent.items()
    }


def _run(command: list[str], **variables: str) -> str:
    """Return the standard output of a command; exit if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | variables, check=False)
    if done.returncode:
        sys.exit(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")

    return done.stdout


def _skip(name: str, reason: str) -> None:
    print(f"{name:36} skipped: {reason}", flush=True)


def bench_start(_options: Options) -> Iterator[Figure]:
    """Startup of the command line: allowed seconds / measured seconds."""
    python = sys.executable
    for name, allowed_s, command in (
        ("start/help_wall", 0.5, [python, "-m", "dvspipe", "--help"]),
        ("start/import_wall", 0.2, [python, "-c", "import dvspipe"]),
        ("start/convert_help_wall", 0.5, [python, "-m", "dvspipe", "convert", "--help"]),
    ):
        yield _compare_with_limit(name, allowed_s, _measure(lambda command=command: _run(command)).wall_s)

    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as folder:
        clip = Path(folder, "tiny.webm")
        cache = str(Path(folder, "kernels"))
        write_video(clip, moving_texture(64, 48, 10, 0.5))
        command = [python, "-m", "dvspipe", "convert", str(clip), "-o", str(clip.with_suffix(".h5")), "--overwrite"]

        def convert() -> None:
            _run(command, NUMBA_CACHE_DIR=cache)

        # The first conversion compiles the kernels.
        began = time.perf_counter()
        convert()
        yield _compare_with_limit("start/first_convert_wall", 15, time.perf_counter() - began)
        yield _compare_with_limit("start/second_convert_wall", 1.5, _measure(convert).wall_s)

        recording = Path(folder, "gesture.h5")
        write(recording, record_gesture(GestureClip(1, person=0, clip=0, seed=0, duration_us=2_000_000)))
        write_video(clip, moving_texture(160, 120, 450, 0.5))

        for name, target, arguments, libraries in (
            ("help", 0.5, ["-m", "dvspipe", "--help"], "cyclopts, rich.console"),
            ("convert", None, command[1:], "numpy, numba, cv2, h5py, pydantic"),
            ("infer", None, ["-m", "dvspipe", "infer", "gesture-films", str(recording)], "torch"),
        ):
            ours = _min_cpu_s([python, *arguments])
            theirs = _min_cpu_s([python, "-c", f"import {libraries}"])
            yield Figure(f"start/{name}_cpu", theirs / ours, f"of importing {libraries}", target, {"s": ours})


def _min_cpu_s(command: list[str]) -> float:
    """Return the minimum CPU time of a command in seconds; other processes can only add to it."""
    return min(_time_command(command).cpu_s for _ in range(REPEATS))


def _compare_with_limit(name: str, allowed_s: float, measured_s: float) -> Figure:
    return Figure(name, allowed_s / measured_s, f"x faster than {allowed_s} s", 1, {"seconds": measured_s})


def texture(width: int, height: int, moves_px: Iterable[float]) -> Iterator[Frame]:
    """Yield frames of a smooth random texture at 30 fps, shifted diagonally by `moves_px` from its first position."""
    rng = np.random.default_rng(0)
    field_height = 2 * height
    field_width = 2 * width
    field = np.zeros((field_height, field_width), np.float32)
    for scale in (16, 32, 64):
        coarse = rng.standard_normal((field_height // scale + 1, field_width // scale + 1)).astype(np.float32)
        field += cv2.resize(coarse, (field_width, field_height), interpolation=cv2.INTER_CUBIC)

    grey = np.exp(0.5 * field)
    grey = np.clip(grey / grey.max() * 765, 0, 255)
    for number, move_px in enumerate(moves_px):
        move = np.array([[1, 0, -move_px], [0, 1, -0.6 * move_px]], np.float32)
        yield Frame(round(number * 1e6 / FPS), cv2.warpAffine(grey, move, (width, height)).astype(np.uint8))


def moving_texture(width: int, height: int, frames: int, step_px: float) -> list[Frame]:
    """Return frames of the texture, moving by `step_px` per frame."""
    return [*texture(width, height, (number * step_px for number in range(frames)))]


def bench_simulator(options: Options) -> Iterator[Figure]:
    """Simulate frames in memory to sorted event arrays in memory, one core."""
    small = moving_texture(346, 260, 240, 0.28)
    large = moving_texture(1280, 720, 60, 0.5)
    noisy = build(SimulatorConfig, read_preset("noisy"), "noisy")
    v2e = build(SimulatorConfig, read_preset("v2e"), "v2e")

    for name, frames, config in (
        ("346x260", small, SimulatorConfig()),
        ("1280x720", large, SimulatorConfig()),
        ("346x260_noisy", small, noisy),
        ("346x260_v2e", small, v2e),
        ("346x260_still", moving_texture(346, 260, 240, 0), SimulatorConfig()),
    ):
        spent, events = _simulate(frames, config)
        pixels = _pixels(frames)
        yield Figure(f"simulator/{name}", pixels / spent.cpu_s / 1e6, "Mpixel/s")
        yield Figure(f"simulator/{name}_density", events / pixels, "events/pixel/frame")
        if name == "346x260":
            yield Figure(f"simulator/{name}_events", events / spent.cpu_s / 1e6, "M events/s", 35)

    for name, frames in (("346x260", small), ("1280x720", large)):
        yield from _compare_with_clean(f"simulator/{name}", frames, {"noisy": noisy, "v2e": v2e})
        for sensor, config in (("clean", SimulatorConfig()), ("noisy", noisy)):
            yield from _compare_threads(f"simulator/{name}_{sensor}_compare_threads", frames, config)
        yield from _compare_with_eventcv(f"simulator/{name}_eventcv", frames, options.peers)


def _pixels(frames: list[Frame]) -> int:
    """Return the number of pixels of all pairs of frames."""
    return frames[0].image.size * (len(frames) - 1)


def bench_upsampling(options: Options) -> Iterator[Figure]:
    """Upsampling by motion compensation of pairs of frames in memory, one core; peak memory for a 1080p video."""
    if options.data is None:
        return _skip("upsampling", "--data gives no videos")

    for name in UPSAMPLED:
        source = open_video(options.data / "video" / name).frames()
        frames = _copy_frames(itertools.islice(source, UPSAMPLED_FRAMES))
        noisy = build(SimulatorConfig, read_preset("noisy"), "noisy")
        works: dict[str, Callable[[], object]] = {
            "auto": partial(_upsample, frames, "auto", SimulatorConfig()),
            "off": partial(_upsample, frames, "off", SimulatorConfig()),
            "noisy": partial(_upsample, frames, "auto", noisy),
        }
        spent = _measure_in_turns(works, REPEATS)
        pair_s, plain_s, noisy_s = (spent[way].cpu_s / (len(frames) - 1) for way in ("auto", "off", "noisy"))
        title = f"upsampling/{Path(name).stem}"
        beside = {"ms a pair": 1000 * pair_s, "without": 1000 * plain_s}
        yield Figure(title, 1 / pair_s, "pairs/s", None, beside)

        noisy_beside = {"ms a pair": 1000 * noisy_s}
        yield Figure(f"{title}_noisy", pair_s / noisy_s, "x the speed without noise", 0.5, noisy_beside)

    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as folder:
        video = Path(folder, "large.webm")
        out = Path(folder, "out.h5")
        source = open_video(options.data / "video" / UPSAMPLED[-1], VideoSettings(resize="1920x1080")).frames()
        write_video(video, itertools.islice(source, UPSAMPLED_FRAMES))
        for way, target in (("auto", 1), ("off", None)):
            peak_mb = _peak_mb(video, out, "--upsample", way)
            yield Figure(f"upsampling/1080p_memory_{way}", 450 / peak_mb, "x below 450 MB", target, {"MB": peak_mb})


def _copy_frames(frames: Iterable[Frame]) -> list[Frame]:
    """Return frames that outlast their video, which reuses the memory of an image for the next one."""
    return [replace(frame, image=frame.image.copy()) for frame in frames]


def _upsample(frames: list[Frame], way: Literal["auto", "off"], config: SimulatorConfig) -> None:
    _consume(simulate(frames, config, upsample=way))


def _simulate(frames: list[Frame], config: SimulatorConfig, **options: int) -> tuple[Times, int]:
    """Return the times and the number of events."""
    run: Callable[..., Iterator[Events]] = simulate
    events = sum(len(part) for part in run(frames, config, **options))
    return _measure(lambda: [*run(frames, config, **options)]), events


def _compare_with_clean(name: str, frames: list[Frame], sensors: dict[str, SimulatorConfig]) -> Iterator[Figure]:
    """Compare other sensors with the ideal one: CPU time of the ideal sensor / of the other sensor."""
    spent = _measure_in_turns(
        {
            sensor: lambda config=config: _consume(simulate(frames, config))
            for sensor, config in {"clean": SimulatorConfig(), **sensors}.items()
        }
    )
    for sensor in sensors:
        ratio = spent[sensor].cpu_s / spent["clean"].cpu_s
        target = 0.5 if sensor == "noisy" else None
        yield Figure(f"{name}_{sensor}_to_clean", 1 / ratio, "x the ideal sensor's speed", target, {"cost": ratio})


def _compare_threads(name: str, frames: list[Frame], config: SimulatorConfig) -> Iterator[Figure]:
    """Wall clock of one thread / of two threads, and the same for two processes that each do all of the work."""
    with ProcessPoolExecutor(
        2, mp_context=get_context("spawn"), initializer=_set_input, initargs=(frames, config)
    ) as pool:
        spent = _measure_in_turns(
            {
                "one": lambda: _consume(simulate(frames, config)),
                "two": lambda: _consume(simulate(frames, config, threads=2)),
                "processes": lambda: _consume(pool.map(_simulate_input, range(2))),
            }
        )

    one = spent["one"]
    two = spent["two"]
    beside = {
        "two processes": 2 * one.wall_s / spent["processes"].wall_s,
        "CPU time of two threads / one": two.cpu_s / one.cpu_s,
        "Mpixel/s": _pixels(frames) / two.wall_s / 1e6,
    }
    yield Figure(name, one.wall_s / two.wall_s, "x one thread's speed", 1.7, beside)


_INPUT: list[tuple[list[Frame], SimulatorConfig]] = []
"""Input of a worker process of `_compare_threads`."""


def _set_input(frames: list[Frame], config: SimulatorConfig) -> None:
    _INPUT[:] = [(frames, config)]


def _simulate_input(_number: int) -> None:
    _consume(simulate(*_INPUT[0]))


def _compare_with_eventcv(name: str, frames: list[Frame], python: str) -> Iterator[Figure]:
    """Speed of dvspipe / speed of eventcv, by CPU time of one core, for the same frames in memory.

    Both use the lin-log map after sRGB, thresholds of 0.2, and no upsampling. `ideal` is an ideal sensor in both;
    `noisy` has the noise, mismatch and low-pass of eventcv's default sensor in both.
    """
    if not has_module(python, "eventcv"):
        _skip(name, f"{python} has no eventcv (--peers auto installs it)")
        return

    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as folder:
        path = Path(folder, "frames.npy")
        np.save(path, np.stack([frame.image for frame in frames]))
        peers = json.loads(
            _run([python, str(PEERS_SCRIPT), "simulate", str(path), str(REPEATS)], RAYON_NUM_THREADS="1")
        )

    ideal = _simulate(frames, SimulatorConfig(intensity_map="linlog"))
    noisy = _simulate(frames, EVENTCV_SENSOR)
    pixels = _pixels(frames)
    for way, (spent, events), target in (("ideal", ideal, 6), ("noisy", noisy, None)):
        beside = {
            "Mpixel/s": pixels / spent.cpu_s / 1e6,
            "eventcv's Mpixel/s": pixels / peers[way]["seconds"] / 1e6,
            "our events / its": events / peers[way]["events"],
        }
        yield Figure(f"{name}_{way}", peers[way]["seconds"] / spent.cpu_s, "x eventcv's speed", target, beside)


def bench_convert(options: Options) -> Iterator[Figure]:
    """Convert videos to event files, compared with its stages alone and with decoding alone; peak memory."""
    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as folder:
        out = Path(folder, "out.h5")
        if shutil.which("ffmpeg"):
            short = Path(folder, "short.mp4")
            long = Path(folder, "long.mp4")
            write_texture_clips(short, long)
            yield from _measure_stages(short, out)
            yield from _measure_peaks(short, long, out)
        else:
            _skip("convert/720p", "there is no ffmpeg to make the clip with")

        cockatoo = options.data and options.data / "video" / "cockatoo.mp4"
        if cockatoo and cockatoo.exists():
            yield _compare_with_decoding("convert/cockatoo", _time_conversion(cockatoo, out), _time_decoding(cockatoo))
        else:
            _skip("convert/cockatoo", "no video/cockatoo.mp4 in --data or DVSPIPE_TEST_DATA")


def write_texture_clips(short: Path, long: Path) -> None:
    """Write H.264 clips of 20 s and 200 s, 1280x720 at 30 fps. The texture moves forth and back, so the clip loops."""
    half = 10 * FPS
    # 0.02 events per pixel and frame
    moves_px = (0.077 * min(number, 2 * half - number) for number in range(2 * half))
    raw = ["-f", "rawvideo", "-pix_fmt", "gray", "-s", "1280x720", "-r", str(FPS), "-i", "-"]
    coded = ["-c:v", "libx264", "-pix_fmt", "yuv420p"]
    quiet = ["ffmpeg", "-v", "error"]

    with subprocess.Popen([*quiet, *raw, *coded, str(short)], stdin=subprocess.PIPE) as ffmpeg:
        assert ffmpeg.stdin
        for frame in texture(1280, 720, moves_px):
            ffmpeg.stdin.write(frame.image.tobytes())

    if ffmpeg.returncode:
        sys.exit(f"ffmpeg: exit status {ffmpeg.returncode}")

    _run([*quiet, "-stream_loop", "9", "-i", str(short), "-c", "copy", str(long)])


def _measure_peaks(short: Path, long: Path, out: Path) -> Iterator[Figure]:
    """Measure the peak memory of the command line: allowed / measured."""
    short_mb = _peak_mb(short, out)
    long_mb = _peak_mb(long, out)
    for seconds, peak_mb in ((20, short_mb), (200, long_mb)):
        yield Figure(f"convert/720p_{seconds}s_memory", 400 / peak_mb, "x below 400 MB", 1, {"MB": peak_mb})

    yield Figure("convert/720p_memory_growth", short_mb / long_mb, "peak of 20 s / of 200 s", 0.95)


def _peak_mb(source: Path, out: Path, *further: str) -> float:
    """Return the peak memory of a conversion."""
    command = [sys.executable, "-c", PRINT_PEAK, "convert", "--overwrite", "-o", str(out), str(source), *further]
    return _as_mb(_run(command).split()[-1])


def _as_mb(kib: str) -> float:
    """Return the peak memory that `PRINT_PEAK` printed."""
    return int(kib) * 1024 / 1e6


def _measure_stages(clip: Path, out: Path) -> Iterator[Figure]:
    """Compare the wall clock of a conversion with its ideal: the slowest stage, or half the CPU time of all three.

    The larger of the two is the ideal. The stages alone: decode to grey; simulate frames in memory, one thread; write
    events from memory.
    """
    total = _time_conversion(clip, out)
    decode = _time_decoding(clip)
    yield _compare_with_decoding("convert/720p", total, decode)

    frames = [*open_video(clip).frames()]
    simulating = _measure(lambda: _consume(simulate(frames)), CONVERT_REPEATS)
    parts = [*simulate(frames)]
    sensor = frames[0].size
    pixels = _pixels(frames)
    frames.clear()  # frees the memory for writing
    writing = _measure(lambda: _write(out, sensor, parts), CONVERT_REPEATS)

    stages = {"decode": decode, "simulate": simulating, "write": writing}
    slowest_s = max(stage.wall_s for stage in stages.values())
    ideal_s = max(slowest_s, sum(stage.cpu_s for stage in stages.values()) / 2)
    yield Figure("convert/720p_density", sum(map(len, parts)) / pixels, "events/pixel/frame")
    for name, stage in stages.items():
        beside = {"wall s": stage.wall_s, "cpu s": stage.cpu_s}
        yield Figure(f"convert/720p_{name}", pixels / stage.wall_s / 1e6, "Mpixel/s alone", None, beside)

    beside = {"wall s": total.wall_s, "cpu s": total.cpu_s, "ideal s": ideal_s}
    yield Figure("convert/720p_stages", 1.2 * ideal_s / total.wall_s, "x faster than 1.2 x ideal", 1, beside)


def _time_conversion(video: Path, out: Path) -> Times:
    return _measure(lambda: convert_video(video, out, overwrite=True), CONVERT_REPEATS)


def _time_decoding(video: Path) -> Times:
    return _measure(lambda: _consume(open_video(video).frames()), CONVERT_REPEATS)


def _compare_with_decoding(name: str, total: Times, decode: Times) -> Figure:
    """Wall clock of decoding alone / of the complete conversion."""
    beside = {"total s": total.wall_s, "decoding s": decode.wall_s}
    return Figure(f"{name}_decoding", decode.wall_s / total.wall_s, "x decoding's speed", None, beside)


def _consume(items: Iterator[object]) -> None:
    for _ in items:
        pass


def _write(out: Path, sensor: SensorSize, parts: list[Events]) -> None:
    with EventWriter(out, sensor, overwrite=True) as writer:
        for part in parts:
            writer.append(part)


def bench_formats(options: Options) -> Iterator[Figure]:
    """Files of 10 M events: decode, read with checks, read a part, write. CPU time, compared with other libraries."""
    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as name:
        folder = Path(name)
        events = ten_million(options.data)
        np.save(folder / "events.npy", _as_faery(events))
        files = write_files(folder, events, options.data)

        for label, path in files.items():
            yield from _measure_reading(f"formats/{label}", path, options)
            if path.stem == "written":
                yield from _measure_writing(f"formats/{label}", path, folder / "events.npy", events, options)

        for source, suffix in ((files["evt3"], ".h5"), (files["hdf5"], ".aedat4")):
            peak_mb = _peak_mb(source, folder / f"converted{suffix}")
            label = f"formats/{source.suffix[1:]}_to_{suffix[1:]}_memory"
            yield Figure(label, 400 / peak_mb, "x below 400 MB", 1, {"MB": peak_mb})


def ten_million(data: Path | None) -> Events:
    """Return 10 M events, 1280 x 720: the real EVT3 recording repeated, or without it random events in bursts."""
    if data and (data / REAL_EVT3).exists():
        once = read(data / REAL_EVT3)
        again = -(-EVENTS // len(once))
        return concatenate(join_streams([[once]] * again, 1000), once.sensor)

    rng = np.random.default_rng(0)
    sensor = SensorSize(width=1280, height=720)
    t = np.sort(rng.integers(0, 10_000, EVENTS)) + 100_000 * np.sort(rng.integers(0, 100, EVENTS))
    centre = np.stack([640 + 500 * np.sin(t / 1e6), 360 + 250 * np.cos(t / 1e6)])
    x, y = np.rint(centre + 30 * rng.standard_normal((2, EVENTS))).astype(np.int64)

    return Events(np.sort(t), x.clip(0, 1279), y.clip(0, 719), rng.integers(0, 2, EVENTS), sensor)


def _as_faery(events: Events) -> NDArray[np.void]:
    array = np.empty(len(events), [("t", "<u8"), ("x", "<u2"), ("y", "<u2"), (("p", "on"), "?")])
    array["t"], array["x"], array["y"], array["on"] = events.t, events.x, events.y, events.p
    return array


def write_files(folder: Path, events: Events, data: Path | None) -> dict[str, Path]:
    """Write a file per format, by dvspipe's writers (`written`) or by the encoders of this folder."""
    size = SensorSize(width=128, height=128)
    small = Events(events.t - events.t[0], events.x // 10, events.y // 6, events.p, size)
    files = {}
    for suffix in (".h5", ".aedat4", ".raw", ".dat", ".es", ".csv", ".npz", ".bin"):
        path = folder / f"written{suffix}"
        write(path, small if suffix == ".bin" else events)
        files[open_source(path)[0]] = path

    words = encode_evt3(events)
    if data and (data / REAL_EVT3).exists():  # keeps its vector words
        content = (data / REAL_EVT3).read_bytes()
        start = parse_header(content[:HEAD_BYTES]).size
        words = content[:start] + content[start:] * -(-EVENTS // REAL_EVT3_EVENTS)

    for name, content in (
        ("evt3.raw", words),
        ("evt21.raw", encode_evt21(events)),
        ("aedat2.aedat", encode_aedat2(small)),
        ("aedat3.aedat", encode_aedat3(small)),
    ):
        path = folder / name
        path.write_bytes(content)
        files[open_source(path)[0]] = path

    return files


def _measure_reading(name: str, path: Path, options: Options) -> Iterator[Figure]:
    """M events/s of the decoder alone and of `read`, and the latency of reading 10 ms in the middle."""
    _, source = open_source(path)
    sensor = source.sensor or SensorSize(width=1280, height=720)
    events = read(path, sensor=sensor)
    count = len(events)
    middle_us = int(events.t[count // 2])
    del events  # frees the memory for the measurements

    decode = _measure(lambda: _decode(path), FORMAT_REPEATS)
    yield Figure(f"{name}_decode", count / decode.cpu_s / 1e6, "M events/s")

    # Other libraries keep all events, too.
    peers = {library: count / cpu_s / 1e6 for library, cpu_s in _run_peers(["read", str(path)], options).items()}
    total = _measure(lambda: read(path, sensor=sensor), FORMAT_REPEATS)
    beside = peers | {"by wall clock": count / total.wall_s / 1e6}
    yield Figure(f"{name}_read", count / total.cpu_s / 1e6, "M events/s, checked", _near_faery(peers), beside)

    found = open_recording(path, sensor=sensor)
    part = _measure(lambda: [*found.chunks(middle_us, middle_us + 10_000)], FORMAT_REPEATS)
    yield Figure(f"{name}_part", 1 / part.wall_s, "parts of 10 ms/s", None, {"ms": 1000 * part.wall_s})


def _near_faery(peers: dict[str, float]) -> float | None:
    """Return the target of a reader or writer, from the speeds of other libraries: not much slower than faery."""
    return peers["faery"] / 1.3 if "faery" in peers else None


def _decode(path: Path) -> None:
    _, source = open_source(path)
    _consume(source.chunks())


def _measure_writing(name: str, path: Path, stored: Path, events: Events, options: Options) -> Iterator[Figure]:
    """M events/s of `write`."""
    events = read(path) if path.suffix == ".bin" else events
    spent = _measure(lambda: write(path, events, overwrite=True), FORMAT_REPEATS)

    beside = stored.with_name(f"beside{path.suffix}")
    peers = {
        library: len(events) / cpu_s / 1e6
        for library, cpu_s in _run_peers(["write", str(beside), str(stored)], options).items()
    }
    own = {"by wall clock": len(events) / spent.wall_s / 1e6, "bytes/event": path.stat().st_size / len(events)}
    yield Figure(f"{name}_write", len(events) / spent.cpu_s / 1e6, "M events/s", _near_faery(peers), peers | own)


def _run_peers(task: list[str], options: Options) -> dict[str, float]:
    """Return the CPU seconds of a task of peers.py, per library in this Python or in the peers' Python."""
    pythons = dict.fromkeys((options.peers, sys.executable))
    script = [str(PEERS_SCRIPT), *task, str(FORMAT_REPEATS)]
    found: dict[str, float] = {}
    for python in pythons:
        found |= json.loads(_run([python, *script], RAYON_NUM_THREADS="1").splitlines()[-1])

    return found


SIZED = {  # real recordings, and their sensor where the file does not name it
    "recordings/tonic_sample_nmnist.bin": SensorSize(width=34, height=34),
    "gesture/8.bs2": SensorSize(width=128, height=128),
    "recordings/faery_dvs.es": None,
    "recordings/faery_evt2.raw": SensorSize(width=640, height=480),
    REAL_EVT3: None,
}
SIZED_SUFFIXES = (".h5", ".npz", ".raw", ".evt3.raw", ".aedat4", ".es")


def bench_sizes(options: Options) -> Iterator[Figure]:
    """Real recordings in each format: events per KB, and CPU time to write and read. Beside them: mfc-codec."""
    if not options.data:
        return _skip("sizes", "needs --data")

    for source, sensor in SIZED.items():
        if not (options.data / source).exists():
            _skip(f"sizes/{source}", "not in --data")
            continue

        events = read(options.data / source, sensor=sensor)
        with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as folder:
            for suffix in SIZED_SUFFIXES:
                name = f"sizes/{Path(source).stem}{suffix}"
                yield _measure_size(name, Path(folder, f"written{suffix}"), events)
            yield from _measure_mfc(f"sizes/{Path(source).stem}_mfc", Path(folder, "events.npy"), events, options)
    return None


def _measure_size(name: str, path: Path, events: Events) -> Figure:
    writing = _measure(lambda: write(path, events, overwrite=True), SIZE_REPEATS)
    reading = _measure(lambda: read(path, sensor=events.sensor), SIZE_REPEATS)
    return _make_size_figure(name, len(events), path.stat().st_size, {"write": writing.cpu_s, "read": reading.cpu_s})


def _measure_mfc(name: str, stored: Path, events: Events, options: Options) -> Iterator[Figure]:
    np.save(stored, _as_faery(events))
    for python in dict.fromkeys((options.peers, sys.executable)):
        command = [python, str(PEERS_SCRIPT), "compress", str(stored), str(SIZE_REPEATS)]
        found = json.loads(_run(command, RAYON_NUM_THREADS="1").splitlines()[-1])
        if found:
            yield _make_size_figure(name, len(events), int(found["bytes"]), {"write": found["seconds"]})
            return


def _make_size_figure(name: str, events: int, size: int, cpu_s: dict[str, float]) -> Figure:
    spent = {f"ns/event, {work}": 1e9 * seconds / events for work, seconds in cpu_s.items()}
    return Figure(name, 1000 * events / size, "events/KB", None, {"bytes/event": size / events} | spent)


NETWORK_PEERS = ("norse", "norse_lift", "snntorch", "spikingjelly")
NETWORK_SHAPES = ((20, 16, 34), (60, 16, 34), (20, 8, 64))
NETWORK_ROUNDS = 3
ONE_THREAD = {"OMP_NUM_THREADS": "1", "MALLOC_MMAP_THRESHOLD_": str(2**32), "MALLOC_TRIM_THRESHOLD_": str(2**33)}
"""One thread; glibc keeps large blocks instead of returning them to the system every step, in all libraries."""


def bench_network(options: Options) -> Iterator[Figure]:
    """The same spiking CNN in several libraries: CPU time of one thread, each in its own process, run in turns."""
    for T, B, side in NETWORK_SHAPES:
        found = _run_network_peers(options.peers, T, B, side)
        ours = found["dvspipe"]
        floor = found["relu"]  # a CNN of the same shape on every step
        norse = found["norse"]

        for work in ("forward", "train"):
            beside = {f"{name} ms": 1000 * measured[work] for name, measured in found.items()}
            name = f"network/{T}x{B}x2x{side}x{side}_{work}"
            yield Figure(f"{name}_floor", 1.1 * floor[work] / ours[work], "x below 1.10 of the CNN's time", 1, beside)
            target = 2.0 if work == "train" else 2.3
            yield Figure(f"{name}_norse", norse[work] / ours[work], "x Norse's step loop", target)
            if work == "train" and "spikingjelly" in found:
                yield Figure(f"{name}_jelly", found["spikingjelly"][work] / ours[work], "x SpikingJelly", 1.8)

        beside = {f"{name} MB": measured["memory_mb"] for name, measured in found.items()}
        name = f"network/{T}x{B}x2x{side}x{side}_memory"
        yield Figure(name, 2 / 3 * norse["memory_mb"] / ours["memory_mb"], "x below 2/3 of Norse's", 1, beside)
        print("  rates:", ", ".join(f"{name} {measured['rates']}" for name, measured in found.items()), flush=True)


def _run_network_peers(python: str, T: int, B: int, side: int) -> dict[str, dict[str, Any]]:
    """Return the medians over several runs of network_peers.py, per available library."""
    script = str(PEERS_SCRIPT.with_name("network_peers.py"))
    rounds: dict[str, list[dict[str, Any]]] = {}
    for _ in range(NETWORK_ROUNDS):
        for library in ("relu", "dvspipe", *NETWORK_PEERS):
            if not has_module(python, library.partition("_")[0].replace("relu", "torch")):
                continue

            measured = json.loads(_run([python, script, library, str(T), str(B), str(side)], **ONE_THREAD))
            rounds.setdefault(library, []).append(measured)

    return {
        library: {"rates": measured[0]["rates"]}
        | {key: statistics.median(run[key] for run in measured) for key in ("forward", "train", "memory_mb")}
        for library, measured in rounds.items()
    }


LEARNING_WAYS = {
    "bptt": ("segment_10", "segment_20", "segment_50"),
    "bptt_weight": (
        "segment_weight_10",
        "segment_weight_20",
        "segment_weight_50",
        "ottt",
        "sltt",
        "stllr",
        "decolle",
        "spikingjelly_ottt",
    ),
    "spikingjelly_stdp": ("stdp",),
}
"""Training methods of learning_peers.py, by the method that they are compared with."""

LEARNING_STEPS = (24, 100, 400)
LEARNING_LONG = 1600
LEARNING_LONGEST = 3200
LEARNING_SHAPE = (4, 64)
LEARNING_MAX_MIB = 60  # target for segments of LEARNING_LONG steps


def bench_learning(options: Options) -> Iterator[Figure]:
    """Gradients of three blocks at 64 x 64, batch 4, compared with BPTT: CPU time of one thread and peak memory."""
    for T in (*LEARNING_STEPS, LEARNING_LONG):
        for beside, ways in LEARNING_WAYS.items():
            yield from _measure_learning(options, T, beside, ways)

    for way in ("segment_20", "segment_weight_20", "ottt"):
        short, *others = (
            _run_learning_peers(options.peers, way, T) for T in (LEARNING_STEPS[-1], LEARNING_LONG, LEARNING_LONGEST)
        )
        for T, long in zip((LEARNING_LONG, LEARNING_LONGEST), others, strict=True):
            assert short is not None
            assert long is not None
            flat = short["memory_mib"] / long["memory_mib"]
            yield Figure(f"learning/T{T}_{way}_flat", flat, f"memory of T = {LEARNING_STEPS[-1]} / this", 0.9, long)


def _measure_learning(options: Options, T: int, beside: str, ways: tuple[str, ...]) -> Iterator[Figure]:
    """Measure one training method, and others relative to it."""
    reference = _run_learning_peers(options.peers, beside, T)
    if reference is None:
        _skip(f"learning/T{T}_{beside}", f"{options.peers} has no spikingjelly, or no tensorboard for it")
        return

    yield Figure(f"learning/T{T}_{beside}", T / reference["cpu_s"], "steps/s", None, reference)
    for way in ways:
        name = f"learning/T{T}_{way}"
        found = _run_learning_peers(options.peers, way, T)
        if found is None:
            _skip(name, f"{options.peers} has no spikingjelly")
            continue

        segment = way.startswith("segment")
        speed = reference["cpu_s"] / found["cpu_s"]
        yield Figure(f"{name}_time", speed, f"x the speed of {beside}", 1 / 1.3 if segment else None, found)
        if way != "stdp":
            saved = reference["memory_mib"] / found["memory_mib"]
            yield Figure(f"{name}_memory", saved, f"x less memory than {beside}")

        if segment and T == LEARNING_LONG:
            share = LEARNING_MAX_MIB / found["memory_mib"]
            yield Figure(f"{name}_goal", share, f"x below {LEARNING_MAX_MIB} MiB", 1)


def _run_learning_peers(python: str, way: str, T: int) -> dict[str, float] | None:
    """Return the figures of learning_peers.py; None if a library is missing."""
    if "jelly" in way and not has_module(python, "spikingjelly", *(["tensorboard"] if "stdp" in way else [])):
        return None

    script = str(PEERS_SCRIPT.with_name("learning_peers.py"))
    measured: dict[str, float] = json.loads(
        _run([python, script, way, str(T), *map(str, LEARNING_SHAPE)], **ONE_THREAD).splitlines()[-1]
    )
    return measured


def bench_encoding(options: Options) -> Iterator[Figure]:
    """Encode 10 M events in memory as a spike tensor: CPU time of one core, compared with Tonic's ToFrame."""
    for width, height, steps, target in ((128, 128, 100, 25), (1280, 720, 10, 12)):
        events = random_events(SensorSize(width=width, height=height))
        yield from _measure_encoding(f"encoding/{width}x{height}_in_{steps}", events, steps, target)

    if options.data and (options.data / REAL_EVT3).exists():
        yield from _measure_encoding("encoding/real_1280x720_in_10", ten_million(options.data), 10, 12)
    else:
        _skip("encoding/real_1280x720_in_10", f"no {REAL_EVT3} in --data or DVSPIPE_TEST_DATA")


def random_events(sensor: SensorSize) -> Events:
    """Return independent events, uniform over one second: the worst case for a cache."""
    rng = np.random.default_rng(0)
    t = np.sort(rng.integers(0, 1_000_000, EVENTS))
    x, y, p = (rng.integers(0, bound, EVENTS) for bound in (sensor.width, sensor.height, 2))
    return Events(t, x, y, p, sensor)


def _measure_encoding(name: str, events: Events, steps: int, target: float) -> Iterator[Figure]:
    """CPU time of Tonic / ours; time to sum the columns / ours; speed of the other forms and of a stream of parts."""
    from tonic.transforms import ToFrame

    config = BinConfig(steps=steps, step_us=events.duration_us // steps + 1)
    rows = events.structured()
    size = (events.sensor.width, events.sensor.height, 2)
    frames = ToFrame(sensor_size=size, n_time_bins=steps)
    to_spikes = ToSpikes(config, size)

    tonic_s = _measure(lambda: frames(rows)).cpu_s
    ours_s = _measure(lambda: encode(events, config)).cpu_s
    transform_s = _measure(lambda: to_spikes(rows)).cpu_s
    reading_s = _measure(lambda: add_up(events.t, events.x, events.y, events.p)).cpu_s

    speeds = {"M events/s": len(events) / ours_s / 1e6, "Tonic's M events/s": len(events) / tonic_s / 1e6}
    yield Figure(name, tonic_s / ours_s, "x ToFrame's speed", target, speeds)
    beside = {"M events/s": len(events) / transform_s / 1e6}
    yield Figure(f"{name}_transform", tonic_s / transform_s, "x ToFrame's speed", None, beside)

    beside = {"M events/s read": len(events) / reading_s / 1e6}
    yield Figure(f"{name}_bound", reading_s / ours_s, "x the speed of reading once", None, beside)

    parts = [events.slice_events(first, first + CHUNK_EVENTS) for first in range(0, len(events), CHUNK_EVENTS)]
    works: dict[str, Callable[[], object]] = {
        form: lambda form=form: encode(events, config.model_copy(update={"form": form}))
        for form in ("binary", "voxel", "surface")
    }
    works["downsampled"] = lambda: encode(events, config.model_copy(update={"downsample": 3}))
    works["stream"] = lambda: _consume(encode_stream(parts, config))
    for label, work in works.items():
        yield Figure(f"{name}_{label}", len(events) / _measure(work).cpu_s / 1e6, "M events/s")


@njit(error_model="numpy")
def add_up(t: NDArray[np.int64], x: NDArray[np.int16], y: NDArray[np.int16], p: NDArray[np.bool_]) -> int:
    """Return the sum of four columns: the cost of reading each once."""
    total = 0
    for event in range(t.size):
        total += t[event] + x[event] + y[event] + p[event]
    return total


LOADER_WORKERS = 2
LOADER_BATCH = 32
LOADER_EPOCHS = 7
LOADER_BINS = BinConfig(steps=20, step_us=16_000)


def bench_loader(options: Options) -> Iterator[Figure]:
    """Recordings/s of N-MNIST with two workers, wall clock, compared with Tonic's ToFrame and DiskCachedDataset.

    The first epoch starts the workers, encodes and fills the caches; later epochs read the caches. Both loaders are
    measured in turns.
    """
    root = options.data and options.data / "nmnist"
    if not root or not root.is_dir():
        _skip("loader/nmnist", "no nmnist in --data or DVSPIPE_TEST_DATA")
        return

    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as folder:
        ours = _build_own_loader(root, Path(folder, "dvspipe"))
        theirs = _build_tonic_loader(root, Path(folder, "tonic"))
        spent = {"first": [(_time_epoch(ours), _time_epoch(theirs))]}
        spent["next"] = [(_time_epoch(ours), _time_epoch(theirs)) for _ in range(LOADER_EPOCHS)]

    for epoch, seconds in spent.items():
        own_s = statistics.median(own for own, _ in seconds)
        tonic_s = statistics.median(tonic for _, tonic in seconds)
        count = len(ours.dataset)
        beside = {"recordings/s": count / own_s, "Tonic's recordings/s": count / tonic_s}
        target = 5 if epoch == "next" else None
        yield Figure(f"loader/nmnist_{epoch}_epoch", tonic_s / own_s, "x Tonic's speed", target, beside)


def _time_epoch(batches: Any) -> float:
    """Return the seconds of an epoch."""
    began = time.perf_counter()
    assert sum(len(labels) for _, labels in batches) == len(batches.dataset)
    return time.perf_counter() - began


def _build_own_loader(root: Path, cache: Path) -> Any:
    from dvspipe.torch import SpikeDataset, loader

    dataset = SpikeDataset({"kind": "nmnist", "root": root, "cache": cache}, LOADER_BINS)
    return loader(dataset, LOADER_BATCH, shuffle=True, num_workers=LOADER_WORKERS, persistent_workers=True)


def _build_tonic_loader(root: Path, cache: Path) -> Any:
    """Return Tonic's documented pipeline, without its check for a complete copy of N-MNIST."""
    from tonic import DiskCachedDataset
    from tonic.collation import PadTensors
    from tonic.datasets import NMNIST
    from tonic.transforms import ToFrame
    from torch.utils.data import DataLoader

    dataset = NMNIST.__new__(NMNIST)
    NMNIST.__bases__[0].__init__(
        dataset, str(root), transform=ToFrame(sensor_size=NMNIST.sensor_size, n_time_bins=LOADER_BINS.steps)
    )
    dataset.first_saccade_only = dataset.stabilize = False
    dataset.data = [str(path) for path in sorted(root.glob("*/*/*.bin"))]
    dataset.targets = [int(Path(path).parent.name) for path in dataset.data]
    cached = DiskCachedDataset(dataset, cache_path=str(cache))

    return DataLoader(
        cached,
        LOADER_BATCH,
        shuffle=True,
        num_workers=LOADER_WORKERS,
        persistent_workers=True,
        collate_fn=PadTensors(batch_first=False),
    )


def bench_synthesis(_options: Options) -> Iterator[Figure]:
    """Synthetic clips of 1.5 s per CPU second, rendered and simulated. Target: 1,000 in 5 minutes on 2 cores."""
    record_gesture(GestureClip(0, person=0, clip=0, seed=0))  # compiles
    began = time.process_time()
    for label in range(len(GESTURES)):
        for person in range(SYNTHETIC_PEOPLE):
            record_gesture(GestureClip(label, person=person, clip=0, seed=0))

    count = len(GESTURES) * SYNTHETIC_PEOPLE
    cpu_s = (time.process_time() - began) / count
    beside = {"minutes for 1,000 on 2 cores": 1000 * cpu_s / 120}
    yield Figure("synthesis/gestures", 1 / cpu_s, "clips/CPU s", 1000 / 600, beside)


def bench_inference(_options: Options) -> Iterator[Figure]:
    """`dvspipe infer` as a command, startup included: seconds of recording / seconds; peak memory; latency.

    The events are random. ON and OFF form stripes that change every second, to keep many events after scaling. The
    network is the included gesture classifier.
    """
    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as place:
        folder = Path(place)
        network = "gesture-films"
        for name, sensor, rate, lasts_s, target, further in (
            ("128x128", GESTURE_SENSOR, 100_000, 600, 20, []),
            ("720p", SensorSize(width=1280, height=720), 5_000_000, 60, 3, ["--fit", "scale"]),
        ):
            recording = folder / f"{name}.h5"
            _write_random(recording, sensor, rate, lasts_s)
            for cores in (1, 2):
                spent, peak_mb = _time_inference(network, recording, cores, *further)
                beside = {"wall s": spent.wall_s, "cpu s": spent.cpu_s, "peak MB": peak_mb}
                seconds = spent.cpu_s if cores == 1 else spent.wall_s  # equal on one core of an idle machine
                yield Figure(f"inference/{name}_{cores}_core", lasts_s / seconds, "x real time", target, beside)

            if lasts_s == 600:
                yield Figure("inference/10_minutes_memory", 600 / peak_mb, "x below 600 MB", 1, {"MB": peak_mb})
                spent, peak_mb = _time_inference(network, recording, 2, "--stateful")
                yield Figure(f"inference/{name}_stateful", lasts_s / spent.wall_s, "x real time", None, {"MB": peak_mb})
                spent, peak_mb = _time_inference(network, recording, 2, "--out", str(folder / "out"))
                yield Figure(f"inference/{name}_pictures", lasts_s / spent.wall_s, "x real time", None, {"MB": peak_mb})

        short = folder / "short.h5"
        _write_random(short, GESTURE_SENSOR, 100_000, 2)
        python = sys.executable
        for name, command in (
            ("first_answer", [python, "-m", "dvspipe", "infer", network, str(short)]),
            ("start_import_torch", [python, "-c", "import torch"]),
            ("start_import_inference", [python, "-c", "import dvspipe.inference"]),
        ):
            _warm_up, *runs = (_time_command(command) for _ in range(CONVERT_REPEATS + 1))
            wall_s = statistics.median(times.wall_s for times in runs)
            cpu_s = statistics.median(times.cpu_s for times in runs)
            beside = {"wall s": wall_s, "cpu s": cpu_s}
            goal = 1 if name == "first_answer" else None
            yield Figure(f"inference/{name}", 5 / wall_s, "x faster than 5 s", goal, beside)


def _write_random(path: Path, sensor: SensorSize, rate: int, lasts_s: int) -> None:
    rng = np.random.default_rng(0)
    with EventWriter(path, sensor) as writer:
        for second in range(lasts_s):
            t = 1_000_000 * second + np.sort(rng.integers(0, 1_000_000, rate))
            x = rng.integers(0, sensor.width, rate)
            y = rng.integers(0, sensor.height, rate)
            writer.append(Events(t, x, y, (x // 32 + second) % 2, sensor))


def _time_inference(network: str, recording: Path, cores: int, *further: str) -> tuple[Times, float]:
    """Return the times of the command on `cores` cores, and its peak memory in MB."""
    allowed = ",".join(map(str, sorted(os.sched_getaffinity(0))[:cores]))
    with tempfile.NamedTemporaryFile("r") as peak:
        command = [sys.executable, "-c", PRINT_PEAK, "infer", network, str(recording), *further]
        spent = _time_command(["taskset", "-c", allowed, "sh", "-c", f'"$@" > {peak.name}', "sh", *command], str(cores))
        return spent, _as_mb(peak.read().split()[-1])


def _time_command(command: list[str], threads: str = "2") -> Times:
    """Return the times of a command."""
    began = time.perf_counter()
    before = os.times()
    _run(command, OMP_NUM_THREADS=threads)

    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return Times(time.perf_counter() - began, cpu_s)


def bench_hour(options: Options) -> Iterator[Figure]:
    """Cost of an hour of 720p video without startup, with little motion and with motion everywhere."""
    if options.data is None:
        return _skip("hour", "--data gives no videos")

    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as place:
        folder = Path(place)
        out = str(folder / "events.h5")
        for name in ("walk.mkv", "cockatoo.mp4"):
            source = open_video(options.data / "video" / name, VideoSettings(resize="1280x720"))
            frames = _copy_frames(source.frames())
            videos = [folder / f"{name}.{count}.webm" for count in HOUR_FRAMES]
            for count, video in zip(HOUR_FRAMES, videos, strict=True):
                there_and_back = itertools.islice(itertools.cycle(frames + frames[::-1]), count)
                timed = (replace(frame, t_us=round(i * 1e6 / FPS)) for i, frame in enumerate(there_and_back))
                write_video(video, timed)

            few, many = HOUR_FRAMES
            more_s = (many - few) / FPS
            for work, *arguments in (
                ("convert", "convert", "-o", out, "--overwrite"),
                ("noisy", "convert", "-o", out, "--overwrite", "--preset", "noisy"),
                ("upsample", "convert", "-o", out, "--overwrite", "--upsample", "auto"),
                ("infer", "infer", "gesture-films"),
            ):
                command = [sys.executable, "-m", "dvspipe", *arguments]
                short, long = (_time_command([*command, str(video)]) for video in videos)
                cost = (long.cpu_s - short.cpu_s) / more_s
                title = f"hour/{Path(name).stem}_{work}"
                yield Figure(title, 1 / cost, "h of video per core hour", None, {"core hours per hour": cost})


def bench_scale(_options: Options) -> Iterator[Figure]:
    """Many files: compared with two processes started by hand; memory and CPU time of the main process."""
    with tempfile.TemporaryDirectory(prefix="dvspipe-bench-") as place:
        folder = Path(place)
        video = folder / "video.webm"
        write_video(video, moving_texture(128, 96, SCALE_FRAMES, 0.5))
        for number in range(SCALE_VIDEOS):
            half = folder / "videos" / str(number % 2)
            half.mkdir(parents=True, exist_ok=True)
            shutil.copy(video, half / f"{number}.webm")

        halves = [_convert_all(folder / "videos" / half, folder / "by hand" / half) for half in "01"]
        _run(halves[0])  # warms the caches of kernels and files
        shutil.rmtree(folder / "by hand")

        began = time.perf_counter()
        running = [subprocess.Popen(half, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) for half in halves]
        codes = [process.wait() for process in running]
        assert codes == [0, 0], codes
        by_hand_s = time.perf_counter() - began

        engines = [("local", 0.9, ["--jobs", "2"])]
        if has_module(sys.executable, "ray"):
            engines.append(("ray", 0.8, ["--engine", "ray"]))

        for name, target, options in engines:
            spent = _time_command(_convert_all(folder / "videos", folder / name, *options))
            beside = {"wall s": spent.wall_s, "by hand s": by_hand_s, "load": os.getloadavg()[0]}
            yield Figure(f"scale/{name}", by_hand_s / spent.wall_s, "of by hand", target, beside)

        peaks_mb = []
        cpu_s = []
        for count in SCALE_RECORDINGS:
            recordings = folder / f"{count} recordings"
            recordings.mkdir()
            for number in range(count):
                (recordings / f"{number}.bin").write_bytes(bytes([number % 34, 5, 0x80, 0, 9]) * 20)
            # PRINT_COST replaces `python -m dvspipe`.
            arguments = _convert_all(recordings, folder / f"{count} events", "--jobs", "2")[3:]
            *_, peak_kib, spent_s = _run([sys.executable, "-c", PRINT_COST, *arguments]).split()
            peaks_mb.append(_as_mb(peak_kib))
            cpu_s.append(float(spent_s))

        few, many = SCALE_RECORDINGS
        few_mb, many_mb = peaks_mb
        few_s, many_s = cpu_s
        beside = {f"MB of {few}": few_mb, f"MB of {many}": many_mb}
        yield Figure("scale/driver_memory", few_mb / many_mb, f"x the memory for {many} files", 0.9, beside)
        per_100_s = (many_s - few_s) / (many - few) * 100
        yield Figure("scale/driver_cpu", 1 / per_100_s, "x below 1 s per 100 files", 1, {"s": per_100_s})


def _convert_all(source: Path, out: Path, *options: str) -> list[str]:
    return [sys.executable, "-m", "dvspipe", "convert", str(source), "-o", str(out), *options]


BENCHES: dict[str, Callable[[Options], Iterator[Figure]]] = {
    "convert": bench_convert,
    "encoding": bench_encoding,
    "formats": bench_formats,
    "hour": bench_hour,
    "inference": bench_inference,
    "learning": bench_learning,
    "loader": bench_loader,
    "network": bench_network,
    "scale": bench_scale,
    "simulator": bench_simulator,
    "sizes": bench_sizes,
    "start": bench_start,
    "synthesis": bench_synthesis,
    "upsampling": bench_upsampling,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=["all", *sorted(BENCHES)])
    parser.add_argument("--json", type=Path, help="also write the figures to FILE, one JSON object per line")
    parser.add_argument(
        "--peers",
        default=sys.executable,
        help="Python that has the peer libraries; `auto`: create an environment for them (default: this Python)",
    )
    data = os.environ.get("DVSPIPE_TEST_DATA")
    parser.add_argument("--data", type=Path, default=data, help="folder with video/ and recordings/")
    arguments = parser.parse_args()
    options = Options(make_environment() if arguments.peers == "auto" else arguments.peers, arguments.data)
    figures: list[dict[str, Any]] = []

    for name in BENCHES if arguments.name == "all" else [arguments.name]:
        for figure in BENCHES[name](options):
            print(figure.line(), flush=True)
            figures.append(asdict(figure))

    if arguments.json:
        arguments.json.write_text("".join(json.dumps(figure) + "\n" for figure in figures), encoding="utf-8")


if __name__ == "__main__":
    main()
