"""The images of MNIST (LeCun et al. 1998), from the files in which they are published."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import DataError, FormatError
from ..formats.source import open_binary

DIGIT_PX = 28
FILES: dict[Literal["train", "test"], tuple[str, str]] = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}
PLACES = ("", "MNIST/raw")  # the second is torchvision's
UNSIGNED_BYTES = 0x08  # the only kind of values that MNIST has


def read_idx(path: Path) -> NDArray[np.uint8]:
    """The array of an IDX file of unsigned bytes, gzipped or not.

    The layout: two zero bytes, the kind of the values, the number of dimensions, the size of each as a 32-bit
    big-endian number, then the values (http://yann.lecun.com/exdb/mnist).

    Raises:
        FileError: It cannot be read.
        FormatError: It is no such file, or has more or fewer values than its sizes say.
    """
    with open_binary(path) as file:
        content = file.read()
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] != UNSIGNED_BYTES or not content[3]:
        raise FormatError(
            f"{path}: begins with {content[:4].hex(' ') or 'nothing'}, expected 00 00 08 and the number of dimensions, "
            "as an IDX file of bytes"
        )
    begin = 4 + 4 * content[3]
    if len(content) < begin:
        raise FormatError(f"{path}: breaks off inside its head, after {len(content)} bytes")
    shape = np.frombuffer(content, ">u4", content[3], 4).tolist()
    values = len(content) - begin
    if values != math.prod(shape):
        sizes = " x ".join(map(str, shape))
        raise FormatError(f"{path}: holds {values} values, expected {sizes} = {math.prod(shape)}")
    return np.frombuffer(content, np.uint8, offset=begin).reshape(shape)


def read_mnist(folder: Path, part: Literal["train", "test"]) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """The images uint8 [N, 28, 28], 255 where there is ink, and the digits uint8 [N] of a part.

    Args:
        folder: Holds the four files of MNIST, gzipped or not, or MNIST/raw with them.
        part: Which of them.

    Raises:
        DataError: A file is missing, or they do not belong together.
        FormatError: A file is damaged.
    """
    paths = [_find(folder, name) for name in FILES[part]]
    images, labels = map(read_idx, paths)
    if images.ndim != 3 or images.shape[1:] != (DIGIT_PX, DIGIT_PX):
        raise DataError(f"{paths[0]}: holds an array {_shape(images)}, expected images of 28 x 28")
    if labels.shape != images.shape[:1]:
        raise DataError(
            f"{paths[1]}: holds an array {_shape(labels)}, expected a label for each of {len(images)} images"
        )
    if len(labels) and labels.max() > 9:
        raise DataError(f"{paths[1]}: row {int(labels.argmax()) + 1} has the label {labels.max()}, expected 0 to 9")
    return images, labels


def _shape(array: NDArray[Any]) -> str:
    return " x ".join(map(str, array.shape))


def _find(folder: Path, name: str) -> Path:
    tried = [folder / place / f"{name}{suffix}" for place in PLACES for suffix in ("", ".gz")]
    for path in tried:
        if path.is_file():
            return path
    raise DataError(f"{folder}: holds no file {name} or {name}.gz; put the four files of MNIST there")
