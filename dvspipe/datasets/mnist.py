"""MNIST (LeCun et al. 1998): its published files, and the data set of their images, encoded by spike codes."""

from __future__ import annotations

import gzip
import math
import zlib
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError, DataError, FormatError
from ..base.files import read_bytes
from ..encoding import CODES, BinConfig, Contrast, SpikeCode
from ..events import SensorSize
from ..results.splits import Part
from .config import DataConfig
from .samples import DataSet, Sample
from .source import DataSource

DIGIT_PX = 28
DIGIT_CLASSES = tuple(str(digit) for digit in range(10))
GZIP_HEAD = b"\x1f\x8b"
MnistPart = Literal["train", "test"]
IDX_FILES: Mapping[MnistPart, tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
SUBFOLDERS = ("", "MNIST/raw")  # torchvision uses the second
UNSIGNED_BYTES = b"\0\0\x08"  # start of all MNIST files


def read_idx(path: Path) -> NDArray[np.uint8]:
    """Read an IDX file of unsigned bytes, gzipped or not.

    Layout: two zero bytes, the type of the values, the number of dimensions, the size of each dimension as a 32-bit
    big-endian integer, then the values (http://yann.lecun.com/exdb/mnist).
    """
    content = read_bytes(path)
    if content.startswith(GZIP_HEAD):
        try:
            content = gzip.decompress(content)
        except (OSError, EOFError, zlib.error) as error:
            raise FormatError(f"{path}: corrupted gzip file ({error})") from error

    # The header has the number of dimensions in its fourth byte, and 4 bytes for each of them.
    dimensions = content[3] if content[:3] == UNSIGNED_BYTES and len(content) > 3 else 0
    begin = 4 + 4 * dimensions
    if not dimensions or len(content) < begin:
        found = f"found {len(content)} bytes that start with {content[:4].hex(' ') or 'nothing'}"
        raise FormatError(
            f"{path}: not an IDX file of bytes, or truncated ({found}, expected 00 00 08, the number of dimensions and "
            "the size of each)"
        )

    shape = tuple(np.frombuffer(content, ">u4", dimensions, 4).tolist())
    values = len(content) - begin
    if values != math.prod(shape):
        expected = f"{' x '.join(map(str, shape))} = {math.prod(shape)}"
        raise FormatError(f"{path}: wrong number of values (found {values}, expected {expected})")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)


def read_mnist(folder: Path, part: MnistPart) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Read the images and labels of one part of MNIST.

    Args:
        folder: Folder that contains the four MNIST files, gzipped or not, directly or in MNIST/raw.
        part: Training or test set.

    Returns:
        Images, uint8 [N, 28, 28] (255 is ink), and digits, uint8 [N].

    Raises:
        DataError: If a file is missing, or images and labels do not match.
        FormatError: If a file is corrupted.
    """
    paths = [_find_file(folder, name) for name in IDX_FILES[part]]
    images, labels = map(read_idx, paths)

    if images.ndim != 3 or images.shape[1:] != (DIGIT_PX, DIGIT_PX):
        raise DataError(f"{paths[0]}: not images (found an array of {images.shape}, expected N x 28 x 28)")
    if labels.shape != images.shape[:1]:
        raise DataError(f"{paths[1]}: wrong number of labels (found {labels.shape}, expected {len(images)})")
    if len(labels) and labels.max() > 9:
        row = int(labels.argmax()) + 1
        raise DataError(f"{paths[1]}: wrong label in row {row} (found {labels.max()}, expected 0 to 9)")
    return images, labels


def _find_file(folder: Path, name: str) -> Path:
    tried = [folder / subfolder / f"{name}{suffix}" for subfolder in SUBFOLDERS for suffix in ("", ".gz")]
    for path in tried:
        if path.is_file():
            return path
    raise DataError(f"{folder}: no file {name} or {name}.gz found (expected the four files of MNIST)")


class Constant(SpikeCode):
    """Constant input current: the values (0 to 1, float32) at every step, without spikes."""

    def _encode(self, values: NDArray[np.float64], _rng: np.random.Generator | None) -> NDArray[Any]:
        return np.broadcast_to(values.astype(np.float32), (self.steps, 1, *values.shape))


def build_code(config: DataConfig, bins: BinConfig) -> SpikeCode:
    """Return the spike code of images that a configuration names, with the steps of its bins."""
    kinds: Mapping[str, type[SpikeCode]] = {"constant": Constant, "contrast": Contrast, **CODES}
    steps = {"steps": bins.steps, "step_us": bins.step_us}
    try:
        return kinds[config.code].model_validate({**config.code_settings, **steps})
    except ConfigError as error:
        raise error.named("code_settings") from error


def open_mnist(source: DataSource) -> DataSet:
    """Return MNIST: 60,000 images for training and validation, and 10,000 test images.

    Raises:
        DataError: If a file is missing, or the files do not match each other.
        FormatError: If a file is corrupted.
        ConfigError: If a setting of the spike code is wrong.
    """
    root = source.root
    code = build_code(source.config, source.bins)

    parts: dict[Part, list[Sample]] = {}
    for part in get_args(MnistPart):
        images, labels = read_mnist(root, part)

        # Every image is its own group. Its version is its row: the files of MNIST do not change.
        parts[part] = [
            Sample(
                name=f"{root}/{part} image {row + 1}",
                label=int(labels[row]),
                group=f"{part} {row + 1}",
                load=partial(images.__getitem__, row),
                version=partial(str, row),
                code=code,
            )
            for row in range(len(images))
        ]

    sensor = SensorSize(width=DIGIT_PX, height=DIGIT_PX)
    return DataSet("MNIST", DIGIT_CLASSES, sensor).with_parts(parts)
