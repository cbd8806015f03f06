"""Tonic transforms as augmentation: applied to the events of training recordings in every epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard, cast

import numpy as np
from pydantic import Field, JsonValue

from ..base.config import Settings
from ..base.errors import ConfigError, DataError
from ..events import Events, SensorSize

PLAIN_DTYPE = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
"""Input dtype of transforms. Some fail for bool polarities (`UniformNoise`), others for small integers."""


class TransformConfig(Settings):
    """Class of `tonic.transforms` with its arguments."""

    name: str
    """Name of the class, such as DropEvent."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Keyword arguments of the class; lists become tuples, and `sensor_size` is set automatically."""


def apply_transforms(events: Events, configs: Sequence[TransformConfig], rng: np.random.Generator) -> Events:
    """Apply Tonic transforms to a recording, in order.

    Args:
        events: Recording; for the transforms, its first event is at time 0.
        configs: Transforms and their arguments.
        rng: Generator of all random draws.

    Returns:
        Events on the same sensor, sorted by time, without events outside the sensor; possibly none.

    Raises:
        ConfigError: If a transform is unknown, rejects its arguments, or does not return events.
        DataError: If a transform fails.

    Example:
        >>> events = Events([5, 9], [3, 4], [1, 6], [True, False], SensorSize(width=12, height=7))
        >>> config = TransformConfig(name="RandomFlipLR", options={"p": 1})
        >>> apply_transforms(events, [config], np.random.default_rng(0)).x
        array([8, 7], dtype=int16)
    """
    if not len(events):
        return events

    sensor = events.sensor

    # Transforms expect times from 0, and integers of 64 bits; see `PLAIN_DTYPE`.
    rows: Any = events.shift_time(-int(events.t[0])).structured().astype(PLAIN_DTYPE)

    with _seeded(rng):
        for config in configs:
            # Create it again: some keep state from the first recording.
            transform = make_transform(config, sensor)
            try:
                rows = transform(rows)
            except Exception as error:  # whatever Tonic raises
                text = f"{type(error).__name__}: {error}".removesuffix(": ")
                raise DataError(f"augment.tonic: {config.name} fails ({text})") from error

            names = getattr(getattr(rows, "dtype", None), "names", None) or ()
            if not {"x", "y", "t", "p"} <= set(names):
                raise ConfigError(f"augment.tonic: {config.name} returns no events (expected rows of x, y, t and p)")

    # Transforms may move events out of the sensor, and out of order.
    inside = (rows["x"] >= 0) & (rows["x"] < sensor.width) & (rows["y"] >= 0) & (rows["y"] < sensor.height)

    return Events.from_structured(rows[inside], sensor, sort=True)


def make_transform(config: TransformConfig, sensor: SensorSize) -> Callable[[Any], Any]:
    """Create a Tonic transform.

    Args:
        config: Class and arguments of the transform.
        sensor: Sensor of the recordings.

    Raises:
        ConfigError: If the transform is unknown, or rejects its arguments.
    """
    from tonic import transforms

    kind = getattr(transforms, config.name, None)
    if not _is_transform(kind):
        names = ", ".join(name for name, member in vars(transforms).items() if _is_transform(member))
        raise ConfigError(f"augment.tonic: no transform {config.name} (expected one of {names})")

    # Lists come from YAML and JSON; Tonic expects tuples as ranges.
    options = {key: tuple(value) if isinstance(value, list) else value for key, value in config.options.items()}

    known = inspect.signature(kind).parameters
    unknown = next((key for key in options if key not in known), None)
    if unknown is not None:
        expected = ", ".join(known) or "none"
        raise ConfigError(f"augment.tonic: {config.name} has no argument {unknown} (expected one of: {expected})")

    if "sensor_size" in known:
        options = {"sensor_size": (sensor.width, sensor.height, 2), **options}

    try:
        return cast(Callable[[Any], Any], kind(**options))
    except (TypeError, ValueError, AssertionError) as error:
        raise ConfigError(f"augment.tonic: {config.name} does not take these arguments ({error})") from error


def _is_transform(member: Any) -> TypeGuard[type[Any]]:
    return inspect.isclass(member) and member.__module__ == "tonic.transforms" and callable(member)


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed NumPy's global generator, used by the transforms, and restore its state afterwards."""
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
