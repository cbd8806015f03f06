"""Pictures as data sets: MNIST through the codes of static values."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..config import build
from ..encoding import CODES, BinConfig, SpikeCode
from ..events import SensorSize
from ..synthesis import read_mnist
from .config import DataConfig
from .samples import DataSet, Image, Sample, divide

DIGITS = tuple(str(digit) for digit in range(10))


class Constant(SpikeCode):
    """No code: the values 0 to 1 at every step, float32, as the current of an input that never changes."""

    def _encode(self, values: NDArray[np.float64], _rng: np.random.Generator | None) -> NDArray[Any]:
        return np.broadcast_to(values.astype(np.float32), (self.steps, 1, *values.shape))


def code_of(config: DataConfig, bins: BinConfig) -> SpikeCode:
    """The code of pictures that a configuration names, with the steps of its bins.

    Raises:
        ConfigError: A setting of the code is wrong.
    """
    kind = Constant if config.code == "constant" else CODES[config.code]
    steps = {"steps": bins.steps, "step_us": bins.step_us}
    return build(kind, {**config.code_settings, **steps}, f"data.code_settings of {config.code}")


def open_mnist(config: DataConfig, root: Path, seed: int, bins: BinConfig) -> DataSet:
    """MNIST (LeCun et al. 1998): its 60,000 training images, of which some are for validation, and 10,000 test images.

    Raises:
        DataError: A file is missing, or they do not belong together.
        FormatError: A file is damaged.
        ConfigError: A setting of the code is wrong.
    """
    code, parts = code_of(config, bins), {}
    for part in ("train", "test"):
        images, labels = read_mnist(root, part)
        parts[part] = [
            Sample(
                name=f"{root}/{part} image {row + 1}",
                label=int(labels[row]),
                group=f"{part} {row + 1}",
                load=partial(_image, images, row),
                version=partial(str, row),
                code=code,
            )
            for row in range(len(images))
        ]
    train, validation = divide(parts["train"], config.validation, seed)
    height, width = parts["train"][0].load().shape if parts["train"] else (28, 28)  # type: ignore[union-attr]
    return DataSet(
        "MNIST", DIGITS, SensorSize(width=width, height=height), False,
        tuple(train), tuple(validation), tuple(parts["test"]), brings_test=True,
    )  # fmt: skip


def _image(images: Image, row: int) -> Image:
    image: Image = images[row]
    return image
