"""Commands for `faults.py` to disturb, their inputs, and digests of their outputs."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import struct
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from PIL import Image
from safetensors.numpy import load_file

from dvspipe import train
from dvspipe.base.config import build
from dvspipe.base.files import MANIFEST
from dvspipe.base.trees import merge_settings
from dvspipe.events import Events, SensorSize
from dvspipe.formats import read, write
from dvspipe.training import TrainConfig
from dvspipe.video.frames import frames_from_arrays
from dvspipe.video.opening import open_video
from dvspipe.video.writing import write_video

SENSOR = SensorSize(width=16, height=12)
CLASSES = ("right", "left")
FRAME = (48, 64)
LIMIT_S = 600.0  # timeout of an undisturbed command
TIMES = ("seconds", "data_seconds")  # columns that differ from run to run
TRAINING: dict[str, Any] = {
    "name": "bars",
    "device": "cpu",
    "seed": 1,
    "jobs": 1,
    "data": {"kind": "folder", "root": "bars", "cache": "none"},
    "bins": {"steps": 5, "step_us": 20_000},
    "network": {"channels": [4, 8]},
    "optimiser": {"epochs": 3, "batch": 8},
    "baseline": False,
}


@dataclass(frozen=True)
class Command:
    """Command to disturb. It runs in a folder that contains the inputs as `in`.

    Args:
        name: Name in reports.
        arguments: Arguments of `dvspipe`.
        output: Output file or folder, relative to the folder.
        repeated: Arguments to repeat the command if its output exists; None: the output is complete if it exists.
    """

    name: str
    arguments: tuple[str, ...]
    output: str
    repeated: tuple[str, ...] | None = None


def _command(name: str, line: str, output: str, repeated: str | None = None) -> Command:
    return Command(name, tuple(line.split()), output, None if repeated is None else tuple(repeated.split()))


TREE = "convert in/tree -o out --jobs 2"
INFER = "infer in/best.safetensors in/bars/right -o out --pictures=false --jobs 2"
SYNTH = "synth nmnist -o out --mnist in/mnist --count 6 --jobs 2"
COMMANDS = (
    _command("convert", "convert in/tree/0.webm -o out.h5 --pos-thres 0.02 --neg-thres 0.02", "out.h5"),
    _command("tree", TREE, "out", TREE),
    _command(
        "train",
        "train in/bars.yaml data.root=in/bars -o out",
        "out",
        "train in/bars.yaml data.root=in/bars --resume -o out",
    ),
    _command("infer", INFER, "out", INFER),
    _command("synth", SYNTH, "out", SYNTH),
    _command("view", "view in/long.h5 -o out.webm", "out.webm"),
)


def start(arguments: tuple[str, ...], folder: Path, **options: Any) -> subprocess.Popen[str]:
    """Start `dvspipe` with arguments in a new session."""
    environment = os.environ | {"COLUMNS": "200", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "dvspipe", *arguments],
        cwd=folder,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        **options,
    )


def finish(arguments: tuple[str, ...], folder: Path) -> None:
    """Run `dvspipe` with arguments.

    Raises:
        RuntimeError: If the exit code is not 0.
    """
    with start(arguments, folder) as running:
        _, printed = running.communicate(timeout=LIMIT_S)
    if running.returncode:
        raise RuntimeError(f"{' '.join(arguments)}: exit code {running.returncode}: {printed.strip()}")


def make_inputs(folder: Path) -> None:
    """Write the inputs of all commands to a folder."""
    rng = np.random.default_rng(0)
    (folder / "tree").mkdir(parents=True)
    for number in range(4):
        texture = rng.integers(0, 256, (FRAME[0], FRAME[1] + 64), np.uint8)
        images = np.stack([texture[:, 2 * k : 2 * k + FRAME[1]] for k in range(24)])
        write_video(folder / "tree" / f"{number}.webm", frames_from_arrays(images, fps=30))

    for label, name in enumerate(CLASSES):
        for number in range(6):
            write(folder / "bars" / name / f"{number}.h5", _moving_bar(label, number))

    _make_mnist(folder / "mnist", rng)
    write(folder / "long.h5", _moving_bar(0, 0, windows=60))
    _make_files_to_change(folder)
    (folder / "bars.yaml").write_text(yaml.safe_dump(TRAINING))
    root = merge_settings(TRAINING, {"data": {"root": str(folder / "bars")}})
    run = train(build(TrainConfig, root, "bars"), folder / "run")
    (folder / "best.safetensors").write_bytes(run.checkpoint.read_bytes())


def _make_files_to_change(folder: Path) -> None:
    """Write videos, a preset, labels and times for the mutations."""
    rng = np.random.default_rng(1)
    images = [rng.integers(0, 256, (24, 32, 3), np.uint8) for _ in range(6)]
    write_video(folder / "clip.webm", frames_from_arrays((image[..., 0] for image in images), fps=30))
    for suffix, code in (("avi", "MJPG"), ("mp4", "mp4v")):
        writer = cv2.VideoWriter(str(folder / f"clip.{suffix}"), cv2.VideoWriter.fourcc(*code), 30, (32, 24))
        for image in images:
            writer.write(image)
        writer.release()

    first, *others = map(Image.fromarray, images)
    first.save(folder / "clip.gif", save_all=True, append_images=others, duration=40)
    (folder / "preset.yaml").write_text("pos_thres: 0.2\nneg_thres: 0.3\nsigma_thres: 0.03\nseed: 1\n")
    (folder / "labels.csv").write_text("class,start_us,end_us\nright,0,50000\nleft,50000,100000\n")
    (folder / "times.csv").write_text("# time [us]\n" + "".join(f"{33_333 * k}\n" for k in range(6)))


def _make_mnist(folder: Path, rng: np.random.Generator) -> None:
    folder.mkdir()
    for part in ("train", "t10k"):
        images = np.pad(rng.integers(0, 256, (10, 12, 12), np.uint8), ((0, 0), (8, 8), (8, 8)))
        for name, array in (("images-idx3", images), ("labels-idx1", np.arange(10, dtype=np.uint8))):
            head = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / f"{part}-{name}-ubyte").write_bytes(head + array.tobytes())


def _moving_bar(label: int, seed: int, windows: int = 1) -> Events:
    """Return a bar that moves right (label 0) or left (label 1) in 100 ms."""
    rng = np.random.default_rng([label, seed])
    t = np.sort(rng.integers(0, 100_000 * windows, 400 * windows))
    along = np.clip(t % 100_000 // 8334 + rng.integers(0, 2, t.size), 0, 11).astype(int)
    x = 2 + along if label == 0 else 13 - along
    return Events(t, x, rng.integers(0, 12, t.size), rng.integers(0, 2, t.size), SENSOR)


def digest(path: Path) -> Mapping[str, str]:
    """Return a digest per output file, equal for equal content; measured times and the manifest are ignored."""
    files = [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())
    files = [file for file in files if MANIFEST not in file.parts]  # its file names contain process numbers
    return {str(file.relative_to(path.parent)): _digest_of(file) for file in files}


def _digest_of(file: Path) -> str:
    if file.suffix == ".h5":
        events = read(file)
        return _hash(*(getattr(events, name).tobytes() for name in "txyp"))

    if file.suffix == ".safetensors":
        tensors = load_file(file)
        return _hash(*(name.encode() + tensors[name].tobytes() for name in sorted(tensors)))

    if file.suffix == ".csv":
        with file.open(newline="") as rows:
            kept = [{k: v for k, v in row.items() if k not in TIMES} for row in csv.DictReader(rows)]
        return json.dumps(kept)

    if file.suffix == ".webm":  # contains a random number
        return _hash(*(frame.image.tobytes() for frame in open_video(file).frames()))
    if file.suffix in (".json", ".jsonl", ".html", ".png"):
        return "exists"  # contains times

    return _hash(file.read_bytes())


def _hash(*parts: bytes) -> str:
    return hashlib.sha256(b"".join(parts)).hexdigest()
