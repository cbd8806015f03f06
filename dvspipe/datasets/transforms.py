"""Transforms of Tonic as augmentation: applied to the events of training recordings, in every epoch."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeGuard, cast

import numpy as np
from pydantic import Field, JsonValue

from ..config import Settings
from ..errors import ConfigError, DataError
from ..events import Events, SensorSize

PLAIN_DTYPE = np.dtype([("x", np.int64), ("y", np.int64), ("t", np.int64), ("p", np.int64)])
"""Of what transforms are given: several are wrong for polarities of bool (`UniformNoise`), or for small integers."""


class TransformConfig(Settings):
    """A class of `tonic.transforms` with its arguments."""

    name: str
    """The class, such as DropEvent."""
    options: dict[str, JsonValue] = Field(default_factory=dict)
    """Its arguments by their names; lists are tuples, and `sensor_size` is known."""


def apply_transforms(events: Events, configs: Sequence[TransformConfig], rng: np.random.Generator) -> Events:
    """Return a recording to which transforms of Tonic are applied, one after the other; it may have no events.

    Args:
        events: The recording; for the transforms, its first event is at time 0.
        configs: Their names and arguments.
        rng: Generator of all draws.

    Returns:
        Events on the same sensor, sorted by time, without those that left the sensor.

    Raises:
        ConfigError: There is no such transform, it does not take these arguments, or it returns no events.
        DataError: A transform cannot be applied.

    Example:
        >>> events = Events([5, 9], [3, 4], [1, 6], [True, False], SensorSize(width=12, height=7))
        >>> config = TransformConfig(name="RandomFlipLR", options={"p": 1})
        >>> apply_transforms(events, [config], np.random.default_rng(0)).x
        array([8, 7], dtype=int16)
    """
    if not len(events):
        return events
    sensor = events.sensor
    rows: Any = events.shift_time(-int(events.t[0])).structured().astype(PLAIN_DTYPE)
    with _seeded(rng):
        for config in configs:
            transform = make_transform(config, sensor)  # again, as some keep what they find in the first recording
            try:
                rows = transform(rows)
            except Exception as error:  # whatever Tonic raises
                text = f"{type(error).__name__}: {error}".removesuffix(": ")
                raise DataError(f"augment.tonic: {config.name} fails ({text})") from error
            if not {"x", "y", "t", "p"} <= set(getattr(getattr(rows, "dtype", None), "names", None) or ()):
                raise ConfigError(f"augment.tonic: {config.name} returns no events (expected rows of x, y, t and p)")
    inside = (rows["x"] >= 0) & (rows["x"] < sensor.width) & (rows["y"] >= 0) & (rows["y"] < sensor.height)
    return Events.from_structured(rows[inside], sensor, sort=True)


def make_transform(config: TransformConfig, sensor: SensorSize) -> Callable[[Any], Any]:
    """Return a transform of Tonic.

    Args:
        config: Its name and arguments.
        sensor: The sensor of the recordings.

    Raises:
        ConfigError: There is no such transform, or it does not take these arguments.
    """
    from tonic import transforms

    kind = getattr(transforms, config.name, None)
    if not _is_transform(kind):
        names = ", ".join(name for name, found in vars(transforms).items() if _is_transform(found))
        raise ConfigError(f"augment.tonic: no transform {config.name} (expected one of {names})")
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


def _is_transform(found: Any) -> TypeGuard[type[Any]]:
    return inspect.isclass(found) and found.__module__ == "tonic.transforms" and callable(found)


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed the global generator of NumPy, from which the transforms draw, and restore its state afterwards."""
    before = np.random.get_state(legacy=False)  # noqa: NPY002
    np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002
