"""Image data sets: MNIST, encoded by spike codes of static values."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray

from ..base.errors import ConfigError
from ..encoding import CODES, BinConfig, Contrast, SpikeCode
from ..events import SensorSize
from .config import DataConfig
from .mnist import DIGIT_PX, MnistPart, read_mnist
from .samples import DataSet, Image, Sample, divide
from .source import DataSource

DIGITS = tuple(str(digit) for digit in range(10))


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
    """Return MNIST (LeCun et al. 1998): 60,000 images for training and validation, and 10,000 test images.

    Raises:
        DataError: If a file is missing, or the files do not match each other.
        FormatError: If a file is corrupted.
        ConfigError: If a setting of the spike code is wrong.
    """
    root = source.root
    code = build_code(source.config, source.bins)

    parts: dict[str, list[Sample]] = {}
    for part in get_args(MnistPart):
        images, labels = read_mnist(root, part)

        # Every image is its own group. Its version is its row: the files of MNIST do not change.
        parts[part] = [
            Sample(
                name=f"{root}/{part} image {row + 1}",
                label=int(labels[row]),
                group=f"{part} {row + 1}",
                load=partial(_take_row, images, row),
                version=partial(str, row),
                code=code,
            )
            for row in range(len(images))
        ]

    train, validation = divide(parts["train"], source.config.validation, source.config.seed)
    return DataSet(
        title="MNIST",
        classes=DIGITS,
        sensor=SensorSize(width=DIGIT_PX, height=DIGIT_PX),
        train=tuple(train),
        validation=tuple(validation),
        test=tuple(parts["test"]),
        fixed_test=True,
    )


def _take_row(images: Image, row: int) -> Image:
    image: Image = images[row]
    return image
