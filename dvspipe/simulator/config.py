"""Settings of the pixel model."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Self, TypedDict, Unpack

from pydantic import Field

from ..base.config import Model, Settings, as_settings, build, plain_settings
from ..base.errors import escape_controls
from ..base.patterns import SENSOR_PATTERN
from ..base.trees import merge_settings
from ..base.yaml_files import read_yaml, shipped_configs

DERIVED_SEED_BITS = 53  # integers of 53 bits are exact in every JSON reader


class SimulatorConfig(Settings):
    """Settings of the pixel model, named as in v2e where possible (Hu, Liu and Delbruck 2021, section 3).

    The defaults describe an ideal sensor: no mismatch, no noise, no bandwidth limit, no refractory period.

    Example:
        >>> SimulatorConfig(pos_thres=0.3, neg_thres=0.3, shot_noise_rate_hz=1).noisy
        True
    """

    sensor_size: str = Field(default="keep", pattern=SENSOR_PATTERN)
    """Size of the sensor, WIDTHxHEIGHT: a video that is converted is cropped to its shape, in the middle, and scaled to
    it; `resize` takes precedence over the size, but does not distort the picture. `keep`: all pixels of the video."""
    pos_thres: float = Field(default=0.2, ge=0.001, le=10)
    """ON contrast threshold: rise of the log intensity per ON event, 0.001 to 10."""
    neg_thres: float = Field(default=0.2, ge=0.001, le=10)
    """OFF contrast threshold: fall of the log intensity per OFF event, 0.001 to 10."""
    sigma_thres: float = Field(default=0.0, ge=0, le=1)
    """Standard deviation of the thresholds over the pixels, in log intensity; each threshold is at least 0.01."""
    intensity_map: Literal["log", "linlog"] = "log"
    """Map from intensity I in [0, 1] to level L. `log`: L = ln(I + log_offset). `linlog`, as in v2e: ln(255 I) above
    255 I = 20, and a straight line through the origin below (Hu et al. 2021, section 3.2)."""
    log_offset: float = Field(default=1 / 255, gt=0, le=1)
    """Epsilon in L = ln(I + epsilon): intensity added to the light, like a dark current."""
    cutoff_hz: float = Field(default=0.0, ge=0)
    """Photoreceptor bandwidth at white in Hz; 0: unlimited. The low-pass has tau = 1 / (2 pi cutoff_hz) at white. At
    intensity I the bandwidth is multiplied by (I + 0.1) / 1.1: dark pixels are slower (after Hu et al. 2021, section
    3.3)."""
    cutoff_order: Literal[1, 2] = 1
    """Number of identical low-pass stages in series."""
    leak_rate_hz: float = Field(default=0.0, ge=0, le=1000)
    """Leak events (always ON) per pixel and second, caused by drift of the reference (Nozaki and Delbruck 2017)."""
    leak_jitter_fraction: float = Field(default=0.1, ge=0, le=0.3)
    """Standard deviation of the interval between two leak events, as a fraction of its mean."""
    shot_noise_rate_hz: float = Field(default=0.0, ge=0, le=10_000)
    """Shot noise events (ON and OFF) per pixel and second in the dark; at white, a quarter of this (factor of v2e)."""
    hot_pixel_fraction: float = Field(default=0.0, ge=0, le=1)
    """Fraction of randomly chosen pixels that fire ON events without input."""
    hot_pixel_rate_hz: float = Field(default=100.0, ge=0, le=100_000)
    """Events per second of each hot pixel."""
    refractory_period: float = Field(default=0.0, ge=0, le=1)
    """Dead time of a pixel after an event: a crossing during this time fires no event, but still moves the reference.
    In seconds."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Random seed of the sensor: mismatch and hot pixels. Together with `noise_seed`, also of the noise."""
    noise_seed: int | None = Field(default=None, ge=0, lt=2**63)
    """Random seed of the noise in a recording: phase and jitter of leak events, shot noise, events of hot pixels.
    Default: derived from the name of a video; 0 for frames and arrays."""

    @classmethod
    def from_preset(cls, name: str, **named: Unpack[SimulatorKeywords]) -> Self:
        """Create the settings of an included sensor preset (see `list_presets`), or of a YAML file.

        Args:
            name: Name of the preset, or path of the file.
            named: Settings that take precedence.

        Raises:
            ConfigError: If the preset or file does not exist, or a setting is wrong.

        Example:
            >>> SimulatorConfig.from_preset("noisy", seed=3).seed
            3
        """
        return as_settings(cls, read_preset(name), named)

    def for_recording(self, name: str) -> Self:
        """Return the settings for a recording: its noise seed is derived from its name, unless it is set.

        Recordings of one sensor share `seed`, and with it mismatch and hot pixels, but not the noise.

        Args:
            name: Path of the video, relative to the folder that is converted, with forward slashes; for a single video,
                its file name.

        Example:
            >>> noisy = SimulatorConfig(shot_noise_rate_hz=1)
            >>> noisy.for_recording("wave/a.mp4").noise_seed == noisy.for_recording("wave/b.mp4").noise_seed
            False
            >>> SimulatorConfig().for_recording("wave/a.mp4").noise_seed is None
            True
        """
        if not self.noisy or self.noise_seed is not None:
            return self

        digest = hashlib.blake2b(escape_controls(name).encode(), digest_size=8).digest()
        derived = int.from_bytes(digest) >> (64 - DERIVED_SEED_BITS)
        return self.model_copy(update={"noise_seed": derived})

    @property
    def noisy(self) -> bool:
        """Whether any noise source is enabled."""
        return bool(
            self.leak_rate_hz or self.shot_noise_rate_hz or (self.hot_pixel_fraction and self.hot_pixel_rate_hz)
        )

    @property
    def refractory_period_us(self) -> int:
        """Refractory period in microseconds."""
        return round(self.refractory_period * 1e6)


class SimulatorKeywords(TypedDict, total=False):
    """Settings of `SimulatorConfig` by name."""

    sensor_size: str
    pos_thres: float
    neg_thres: float
    sigma_thres: float
    intensity_map: Literal["log", "linlog"]
    log_offset: float
    cutoff_hz: float
    cutoff_order: Literal[1, 2]
    leak_rate_hz: float
    leak_jitter_fraction: float
    shot_noise_rate_hz: float
    hot_pixel_fraction: float
    hot_pixel_rate_hz: float
    refractory_period: float
    seed: int
    noise_seed: int | None


def list_presets() -> list[str]:
    """List the names of the included sensor presets, sorted."""
    return shipped_configs("sensors")


def read_preset(name: str) -> dict[str, Any]:
    """Read the settings of an included sensor preset, such as `noisy` or `davis346`, or of a YAML file.

    Raises:
        ConfigError: If the preset or file does not exist.

    Example:
        >>> config = SimulatorConfig(**read_preset("noisy"))
    """
    return read_yaml(name, kind="sensors")


def as_settings_on_preset(
    model: type[Model],
    preset: str | Path | None,
    given: Model | Mapping[str, object] | None,
    named: Mapping[str, object],
    function: Callable[..., object],
) -> Model:
    """Create settings as `as_settings`; a sensor preset, if there is one, has the settings that are not given.

    Example:
        >>> settings = as_settings_on_preset(SimulatorConfig, "davis346", None, {"pos_thres": 0.3}, read_preset)
        >>> settings.pos_thres, settings.neg_thres
        (0.3, 0.157)
    """
    if preset is None:
        return as_settings(model, given, named, function)
    base = plain_settings(model, read_preset(str(preset)))
    return build(model, merge_settings(base, plain_settings(model, given, named, function)), function.__name__)
